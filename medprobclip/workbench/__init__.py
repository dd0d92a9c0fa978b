"""The notebooks: where things lie, headless runs, one page to send.

Each imports only from those above it:

    workspace.py   where corpus, runs and figures lie
    headless.py    the notebooks without a browser
    report.py      executed notebooks -> one page of HTML
"""
