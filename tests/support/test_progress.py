"""Bars move where somebody looks; elsewhere one line stands at the end, and it stands on stdout."""

import ast
import os
import pty
import select
import sys
import termios

import pytest
from jupyter_client.manager import start_new_kernel
from sources import MODULES, PACKAGE, imported
from transformers.utils import logging

from medprobclip.support import progress
from medprobclip.support.progress import lent_terminal, progress_bar, with_progress, without_model_bars


@pytest.fixture
def no_wait(monkeypatch):
    """All work is long."""
    monkeypatch.setattr(progress, "LONG", 0.0)


@pytest.fixture
def terminal():
    """What is seen in a terminal, and its writing end."""
    screen, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    with os.fdopen(end, "w", encoding="utf-8") as written:

        def seen() -> str:
            print("END", file=written, flush=True)
            text = b""
            while b"END" not in text:  # it comes in pieces
                assert select.select([screen], [], [], 20)[0]
                text += os.read(screen, 10_000)
            return text.decode().partition("END")[0]

        yield seen, written
    os.close(screen)


def work(**settings):
    with progress_bar(3, "drawing", "film", **settings) as bar:
        for _ in range(3):
            bar.update()
            bar.refresh()


def test_a_pipe_gets_a_line_at_the_end_and_no_bar(no_wait, capsys):
    work()
    assert capsys.readouterr() == ("drawing: 3 films in 0 s\n", "")


def test_nothing_is_said_of_what_is_done_in_a_moment(capsys):
    work()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("settings", [{"shown": False}, {"line": False}])
def test_the_line_can_be_left_out(no_wait, capsys, settings):
    work(**settings)
    assert capsys.readouterr() == ("", "")


def test_an_error_is_not_called_done(no_wait, capsys):
    with pytest.raises(ValueError, match="broken"), progress_bar(3, "drawing", "film"):
        raise ValueError("broken")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("total", "start", "unit", "said"),
    [(3419, 1000, "study", "2,419 studies"), (1, 0, "run", "1 run"), (2, 0, "batch", "2 batches")],
)
def test_what_was_done_this_time_is_counted_in_words(no_wait, capsys, total, start, unit, said):
    with progress_bar(total, "drawing", unit, start):
        pass
    assert capsys.readouterr().out == f"drawing: {said} in 0 s\n"


def test_items_come_in_order_and_a_stopped_loop_is_not_called_done(no_wait, capsys):
    assert list(with_progress([3, 1, 2], "drawing", "film")) == [3, 1, 2]
    assert capsys.readouterr().out == "drawing: 3 films in 0 s\n"
    for item in with_progress([3, 1, 2], "drawing", "film"):
        if item == 1:
            break
    assert capsys.readouterr().out == ""


def test_a_terminal_shows_a_bar_that_goes(no_wait, capsys, terminal, monkeypatch):
    seen, written = terminal
    monkeypatch.setattr(sys, "stderr", written)
    work()
    text = seen()
    assert "drawing: 100%" in text
    *_, blanked, rest = text.split("\r")
    assert (blanked.strip(), rest) == ("", "")
    assert capsys.readouterr().out == "drawing: 3 films in 0 s\n"


CODE = """
from medprobclip.support import progress
progress.LONG = 0.0
with progress.progress_bar(3, "drawing", "film") as bar:
    for _ in range(3):
        bar.update()
        bar.refresh()
"""


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel(kernel_name="python3")

    def run(code: str, allow_stdin: bool) -> dict[str, str]:
        written = {"stdout": "", "stderr": ""}

        def hook(message):
            if message["msg_type"] == "stream":
                written[message["content"]["name"]] += message["content"]["text"]
            assert message["msg_type"] != "error", message["content"]

        client.execute_interactive(code, allow_stdin=allow_stdin, output_hook=hook, timeout=60)
        return written

    yield run
    client.stop_channels()
    manager.shutdown_kernel()


def test_a_notebook_before_a_reader_shows_a_bar_and_no_red(kernel):
    written = kernel(CODE, allow_stdin=True)
    assert "drawing: 100%" in written["stdout"]
    assert written["stdout"].endswith("drawing: 3 films in 0 s\n")
    assert written["stderr"] == ""


def test_a_notebook_that_runs_by_itself_keeps_a_line(kernel):
    assert kernel(CODE, allow_stdin=False) == {"stdout": "drawing: 3 films in 0 s\n", "stderr": ""}


def test_and_moves_its_bar_in_the_terminal_of_who_started_it(kernel, terminal, monkeypatch):
    seen, written = terminal
    monkeypatch.setattr(sys, "stderr", written)
    with lent_terminal():
        name = os.environ[progress.TERMINAL]
    assert progress.TERMINAL not in os.environ
    lent = f"import os\nos.environ['{progress.TERMINAL}'] = '{name}'\n{CODE}"
    assert kernel(lent, allow_stdin=False) == {"stdout": "drawing: 3 films in 0 s\n", "stderr": ""}
    assert "drawing: 100%" in seen()


def test_a_terminal_that_is_gone_stops_no_work(kernel, tmp_path):
    lent = f"import os\nos.environ['{progress.TERMINAL}'] = '{tmp_path / 'no' / 'terminal'}'\n{CODE}"
    assert kernel(lent, allow_stdin=False) == {"stdout": "drawing: 3 films in 0 s\n", "stderr": ""}


def test_without_a_terminal_none_is_lent():
    with lent_terminal():
        assert progress.TERMINAL not in os.environ


def test_models_load_without_bars_and_the_setting_is_left_as_it_was():
    before = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    try:
        with without_model_bars():
            assert not logging.is_progress_bar_enabled()
        assert logging.is_progress_bar_enabled()
        with without_model_bars(off=False):  # may be downloaded
            assert logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        with without_model_bars():
            pass
        assert not logging.is_progress_bar_enabled()
    finally:
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()


def test_nobody_else_draws_bars():
    users = {name for name in MODULES if "tqdm.tqdm" in imported(ast.parse((PACKAGE / name).read_text()))}
    assert users == {"support/progress.py"}
