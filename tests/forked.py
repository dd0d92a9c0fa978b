"""Starts several processes of one module from one that has imported what takes long; `together` calls it.

    python tests/forked.py NUMBER PORT FOLDER (FILE.py | -m MODULE) ARGUMENTS…

Each writes what it prints into `FOLDER/<rank>.txt`; ends with the first code that is not 0.
"""

import os
import runpy
import sys
import traceback
from pathlib import Path

import medprobclip.training.calibrating
import medprobclip.training.preflight  # noqa: F401


def child(rank: int, number: int, port: str, folder: Path, what: list[str]) -> None:
    log = os.open(folder / f"{rank}.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    told = {"WORLD_SIZE": number, "RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in told.items()}}
    code = 0
    try:
        if what[0] == "-m":
            sys.argv = what[1:]
            runpy.run_module(what[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = what
            runpy.run_path(what[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> int:
    number, port, folder, *what = sys.argv[1:]
    children = []
    for rank in range(int(number)):
        pid = os.fork()
        if pid == 0:
            child(rank, int(number), port, Path(folder), what)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    return next((abs(code) for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
