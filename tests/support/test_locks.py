"""One process at a time in a folder."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from medprobclip.support.locks import HOLDER, LockedError, locked_folder

HOLD = """
import sys, time
from pathlib import Path
from medprobclip.support.locks import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_kept_out_until_it_is_gone(tmp_path):
    process = hold(tmp_path / "run")
    try:
        with pytest.raises(LockedError, match=f"process {process.pid} on {socket.gethostname()} works in it"):
            with locked_folder(tmp_path / "run"):
                pass
    finally:
        process.kill()  # no chance to give it back
        process.wait()
    assert (tmp_path / "run" / HOLDER).exists()
    with locked_folder(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / HOLDER).read_text())["process"] == os.getpid()
    assert not (tmp_path / "run" / HOLDER).exists()


def test_a_process_of_another_host_is_not_judged(tmp_path):
    (tmp_path / HOLDER).write_text(json.dumps({"host": "elsewhere", "process": 1, "since": "yesterday"}))
    with pytest.raises(LockedError, match=r"process 1 on elsewhere.*since yesterday.*delete .*\.lock\.json"):
        with locked_folder(tmp_path):
            pass


def test_a_lock_is_given_back_after_an_error_and_can_be_taken_twice(tmp_path):
    def stopped():
        with locked_folder(tmp_path):
            with locked_folder(tmp_path):
                assert (tmp_path / HOLDER).exists()
            assert (tmp_path / HOLDER).exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not (tmp_path / HOLDER).exists()


def test_a_note_that_cannot_be_read_is_nobodys(tmp_path):
    (tmp_path / HOLDER).write_text("{")
    with locked_folder(tmp_path):
        assert json.loads((tmp_path / HOLDER).read_text())["process"] == os.getpid()


def test_a_note_of_this_very_process_number_is_no_lock(tmp_path):
    """A container that was started again: the same host, the same number, another process."""
    old = {"host": socket.gethostname(), "process": os.getpid(), "since": "before"}
    (tmp_path / HOLDER).write_text(json.dumps(old))
    with locked_folder(tmp_path):
        assert json.loads((tmp_path / HOLDER).read_text())["since"] != "before"
    assert not (tmp_path / HOLDER).exists()


def test_another_process_is_waited_for(tmp_path):
    """As long as asked; when it goes meanwhile, the folder is ours."""
    process = hold(tmp_path)
    try:
        with pytest.raises(LockedError, match=f"process {process.pid} on"):
            with locked_folder(tmp_path, wait=0.2):
                pass
        threading.Timer(0.2, process.kill).start()
        with locked_folder(tmp_path, wait=60):
            assert process.wait() != 0
            assert json.loads((tmp_path / HOLDER).read_text())["process"] == os.getpid()
    finally:
        process.kill()
        process.wait()
