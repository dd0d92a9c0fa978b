"""Several gloo processes on this machine, each of which calls the same function."""

import os
import socket
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def together(number: int, module: str, *arguments: object, timeout: float = 120) -> list[str]:
    """Run `python module arguments` as that many processes, as a launcher does; what each printed.

    Raises AssertionError with the outputs where one ends with an error.
    """
    shared = {
        **os.environ, "WORLD_SIZE": str(number), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    command = [sys.executable, *module.split(), *map(str, arguments)]
    running = [
        subprocess.Popen(
            command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, text=True, cwd=TESTS.parent,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for rank in range(number)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=timeout)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * number, "\n".join(outputs)
    return outputs
