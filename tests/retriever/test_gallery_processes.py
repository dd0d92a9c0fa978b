"""Processes that append to one folder: killed at every step, several at once, and readers meanwhile."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medprobclip.retriever.gallery import Gallery

HERE = str(Path(__file__).parent.parent)
# Every call by which an append changes the disk, before and after which a process may end.
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from galleries import drawn_studies, rows, rows_of
from medprobclip.retriever import gallery as module
from medprobclip.support import files

module.SMALL = 4
folder = Path(sys.argv[1])
built = module.Gallery(3, "model")
built.save(folder)
first, new = drawn_studies(3), drawn_studies(["a", "b"], seed=1)
built.append(first)
expected = [rows_of(first), rows_of(first) + rows_of(new)]
steps = []

def dying(function, at):
    def call(*arguments, **settings):
        for moment in ("before", "after"):
            steps.append(moment)
            if len(steps) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            if moment == "before":
                result = function(*arguments, **settings)
        return result
    return call

step, killed = 0, True
while killed:
    step += 1
    here = folder.parent / f"step-{step}"
    os.system(f"cp -r {folder} {here}")
    if not (child := os.fork()):
        for owner, name in ((module, "save_file"), (os, "replace"), (Path, "unlink"), (Path, "write_text")):
            setattr(owner, name, dying(getattr(owner, name), step))
        module.Gallery.open(here).append(new)
        os._exit(0)
    killed = os.waitpid(child, 0)[1] == signal.SIGKILL
    found = rows(module.Gallery.open(here))
    assert found in expected, (step, found)
    again = module.Gallery.open(here)
    assert again.append(new) == (0 if found == expected[1] else 2), step
    assert rows(module.Gallery.open(here)) == rows(again) == expected[1], step
    more = drawn_studies(["c"], seed=2)
    again.append(more)
    assert rows(module.Gallery.open(here)) == expected[1] + rows_of(more), step
    assert not list(here.glob("*.tmp")), step
print(step)
"""
APPEND = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from galleries import drawn_studies
from medprobclip.retriever import gallery as module

module.SMALL = 4
gallery = module.Gallery.open(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
worker, added = sys.argv[3], 0
for i in range(20):
    added += gallery.append(drawn_studies([f"{worker}-{i}", f"all-{i}"], seed=i))
print(added)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_is_killed_at_any_step_loses_nothing(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "index"), HERE]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 16  # lock's note, part, manifest, and what they replace: each twice


def test_two_processes_that_append_at_once_lose_nothing(tmp_path):
    """And whoever reads meanwhile sees whole studies, ever more of them, each at the number it had."""
    Gallery(3, "model").save(tmp_path)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, str(tmp_path), HERE, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in "xy"
    ]  # fmt: skip
    try:
        assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 2
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        seen: list[str] = []
        while any(worker.poll() is None for worker in workers):
            gallery = Gallery.open(tmp_path)
            ids = [study_id for part in gallery.parts for study_id in part.study_ids]
            assert ids[: len(seen)] == seen
            seen = ids
        added = [int(worker.communicate()[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    gallery = Gallery.open(tmp_path)
    ids = [gallery.study(number)[0] for number in range(len(gallery))]
    assert ids[: len(seen)] == seen
    expected = {f"{name}-{i}" for name in ("x", "y", "all") for i in range(20)}
    assert set(ids) == expected
    assert sum(added) == len(ids) == 60
