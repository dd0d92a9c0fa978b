"""One process at a time in a folder."""

import json
import os
import socket
import subprocess
import sys

import pytest

from medprobclip.support.locks import NAME, LockedError, locked_folder

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
    assert (tmp_path / "run" / NAME).exists()
    with locked_folder(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / NAME).read_text())["process"] == os.getpid()
    assert not (tmp_path / "run" / NAME).exists()


def test_a_process_of_another_host_is_not_judged(tmp_path):
    (tmp_path / NAME).write_text(json.dumps({"host": "elsewhere", "process": 1, "since": "yesterday"}))
    with pytest.raises(LockedError, match=r"process 1 on elsewhere.*since yesterday.*delete .*\.lock"):
        with locked_folder(tmp_path):
            pass


def test_a_lock_is_given_back_after_an_error_and_can_be_taken_twice(tmp_path):
    def stopped():
        with locked_folder(tmp_path):
            with locked_folder(tmp_path):
                assert (tmp_path / NAME).exists()
            assert (tmp_path / NAME).exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not (tmp_path / NAME).exists()


def test_a_lock_that_cannot_be_read_is_respected(tmp_path):
    (tmp_path / NAME).write_text("{")
    with pytest.raises(LockedError, match=r"process \?"):
        with locked_folder(tmp_path):
            pass
