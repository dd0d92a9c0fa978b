"""The notebooks: where things lie, headless runs, one page to send.

Each imports only from those above it:

    workspace.py   where corpus, runs and figures lie
    headless.py    the notebooks without a browser
    report.py      executed notebooks -> one page of HTML
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
