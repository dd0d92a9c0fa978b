"""Kills a training at random moments until it is done, and compares it with one that was left alone.

    python tests/killed.py TRAIN.csv VALIDATE.csv FOLDER [KILLS] [PROCESSES] [SEED] [VISION TEXT]

Each sitting is forked from this process, which never trains: torch is imported once. Prints the kills by
where they hit, and whether the final weights are bitwise equal; ends with 1 where they are not.
"""

import itertools
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from together import free_port

from medprobclip.settings import AugmentationConfig, EncoderConfig
from medprobclip.training.profiles import Profile
from medprobclip.training.runs import train_run
from medprobclip.training.state import read_progress
from medprobclip.training_settings import MachineConfig, TrainingConfig

EPOCHS = 5


def profile(vision: str, text: str) -> Profile:
    """Dropout, crops, varied sentences and spoilt films: every kind of random state matters."""
    return Profile(
        "killed",
        EncoderConfig(vision, text, embed_dim=8, image_size=32, max_tokens=32, vocab_size=100),
        TrainingConfig(epochs=EPOCHS, batch_size=8, learning_rate=3e-3, threads=1),
        MachineConfig(save_every=2),
        augmentation=AugmentationConfig(sentence_shuffle=True, degraded_share=0.5),
    )


def sitting(tables: list[str], out: Path, how: Profile, processes: int) -> list[int]:
    """Fork the processes of one training; returns their ids."""
    port, children = str(free_port()), []
    for rank in range(processes):
        child = os.fork()
        if child:
            children.append(child)
            continue
        code = 1
        try:
            log = os.open(f"{out}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            if processes > 1:
                told = {"WORLD_SIZE": processes, "RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", **{name: str(n) for name, n in told.items()}}
            train_run(*tables, out, how)
            code = 0
        finally:
            os._exit(code)
    return children


def wait(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def weights(out: Path) -> bytes:
    return (out / "checkpoint" / "model.safetensors").read_bytes()


def last_state(out: Path) -> list[bytes]:
    """Model and optimizer as they were at the very end."""
    last = max((out / "states").glob("epoch-*"))
    return [(last / name).read_bytes() for name in ("model.safetensors", "optimizer.bin")]


def main() -> int:
    train, validate, folder, *more = sys.argv[1:]
    kills, processes, seed = (int(given) for given in [*more, *"20 1 0".split()[len(more) :]][:3])
    how = profile(*(more[3:5] or ("tiny-resnet", "tiny-bert")))
    chance, folder, tables = random.Random(seed), Path(folder), [train, validate]
    began = time.perf_counter()
    if any(wait(sitting(tables, folder / "whole", how, processes))):
        sys.exit((folder / "whole.log").read_text())
    length, hit, made = time.perf_counter() - began, Counter(), 0
    for number in itertools.count():
        out, finished = folder / f"killed-{number}", False
        while not finished:
            children = sitting(tables, out, how, processes)
            ends = time.monotonic() + chance.uniform(0.05, 0.6) * length
            while time.monotonic() < ends and not (finished := os.waitid(os.P_PID, children[0], LOOK)):
                time.sleep(0.002)
            killed = not finished and made < kills
            if killed:
                for child in chance.sample(children, len(children)):  # one, and a moment later the other
                    os.kill(child, signal.SIGKILL)
                    time.sleep(chance.choice([0, 0.01]))
            codes = wait(children)
            if killed:
                made += 1
                saving = any((out / "states").glob("*.new"))
                progress = read_progress(out)
                hit["while saving" if saving else "within an epoch" if progress.step else "else"] += 1
            elif any(codes):
                sys.exit((folder / f"killed-{number}.log").read_text())
            finished = not killed
        equal = weights(out) == weights(folder / "whole") and last_state(out) == last_state(folder / "whole")
        print(f"training {number}: {'bitwise equal' if equal else 'DIFFERENT'}", flush=True)
        if not equal:
            return 1
        if made >= kills:
            break
    print(f"{made} kills ({dict(hit)}), {time.perf_counter() - began:.0f} s")
    return 0


LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT
if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
