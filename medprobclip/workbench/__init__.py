"""The notebooks: where things lie, headless runs, one page to send.

workspace.py   where corpus, runs and figures lie
headless.py    the notebooks without a browser
report.py      executed notebooks -> one page of HTML
"""
