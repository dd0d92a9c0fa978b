"""The notebooks: where things lie, pictures that move, exercises, headless runs, one page to send.

Each imports only from those above it:

    style.py       the look of every picture
    widgets.py     a function state -> Figure as a grid of states and under sliders
    lessons/       pictures, toy trainings and tables to teach with
    exercises/     what is right, and which hint fits, a file a notebook
    checks.py      exercises: an answer -> right, or a hint
    corpus.py      the tables: the demo's, or one's own
    workspace.py   where tables, runs and figures lie
    flags.py       --tables and --show_text -> parameters
    headless.py    the notebooks without a browser
    report.py      executed notebooks -> one page of HTML
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
