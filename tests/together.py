"""Several gloo processes on this machine, each of which calls the same function."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

TESTS = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def together(
    number: int, module: str, *arguments: object, timeout: float = 180, devices: str = ""
) -> list[str]:
    """Run `python module arguments` as that many processes, as a launcher does; what each printed.

    Raises AssertionError with the outputs where one ends with an error.
    """
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": devices,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, TESTS / "forked.py", number, free_port(), folder, *module.split()]
        running = subprocess.Popen(
            [*map(str, command), *map(str, arguments)], env=environment, cwd=TESTS.parent,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = running.wait(timeout)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
        outputs = [Path(folder, f"{rank}.txt").read_text(encoding="utf-8") for rank in range(number)]
    assert code == 0, "\n".join(outputs)
    return outputs
