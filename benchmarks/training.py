"""Studies a second of whole training steps: the real loop beside a plain one in the published style.

.venv/bin/python benchmarks/training.py

Same encoders (the demo's), studies, batch and precision. Each way of training runs in a process of its own;
they take turns, a few steps at a time, so that other work on the machine falls on all alike, and the median
of their turns counts. From the published style to the real loop one thing changes after the other: the
milliseconds saved add up to the whole difference. `cpu_ms` is processor time, of all threads together, which
tells more than the clock on a busy machine. Then, by torch's profiler, what the operations of the real loop
are. Below the real loop: what it does with other settings, each beside it. The processes hold some 12 GB
together. The training corpus must be there (`make run` renders it).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from dataclasses import fields, replace
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd
import torch
from published_style import TOKENS, Loop, Ways, enlarged
from torch.profiler import ProfilerActivity, profile

from medprobclip.data.dataset import StudyDataset
from medprobclip.settings import AugmentationConfig, EncoderConfig
from medprobclip.support.flags import HelpWithDefaults
from medprobclip.support.precision import has_bfloat16
from medprobclip.support.progress import progress_bar
from medprobclip.training import loop as real, updates
from medprobclip.training.encoders import build_model, training_tokenizer
from medprobclip.training.profiles import get_profile
from medprobclip.training.runs import open_table

FEW = 3  # batches that are enlarged; every way goes through them again and again
PUBLISHED, OURS = "published style", "the real loop"
BUCKETED, VARIED, COMPILED = "batches of like length", "sentences vary, as in the demo", "encoders compiled"
STEPS = {  # what is changed, in this order
    "radiographs from the cache, no unchanged copies": "cached",
    "views made in batches": "batched",
    "texts tokenised once": "tokenised",
    "padded to the longest of a batch": "short",
    "in groups of similar length": "grouped",
    "attention by plain products": "plain_attention",
    "one forward for both views": "one_forward",
    "channels last in memory": "channels_last",
    "scores by the kernels": "tiled",
    "freed memory is kept": "keeps_memory",
}
KINDS = {  # of operations, by words in their names; the first that fits
    "convolutions": ("conv",),
    "matrix products": ("addmm", "mm", "bmm", "baddbmm", "linear"),
    "normalisation": ("norm",),
    "optimizer": ("adam", "foreach", "lerp", "addcdiv", "addcmul"),
    "copies and casts": ("copy_", "cat", "stack", "contiguous", "clone"),
    "pooling, activation, softmax": ("relu", "gelu", "pool", "softmax", "dropout", "threshold"),
}


class DoneError(Exception):
    """Enough was measured."""


class Turns:
    """Called after every step, it lets so many steps go on as the parent asks for, and tells what they took.

    Seconds by the clock and of the processor, and seconds by operation where these were asked for.
    """

    def __init__(self, parent: Connection) -> None:
        self.parent, self.left, self.profiler = parent, 0, None
        self.started = (0.0, 0.0)

    def __call__(self) -> None:
        self.left -= 1
        if self.left > 0:
            return
        seconds = [now - then for now, then in zip(clocks(), self.started, strict=True)]
        if self.profiler:
            self.profiler.__exit__(None, None, None)
            rows = [(e.key, e.self_cpu_time_total / 1e6) for e in self.profiler.key_averages()]
            self.parent.send((seconds, rows))
            self.profiler = None
        else:
            self.parent.send((seconds, []))
        self.left, profiled = self.parent.recv()
        if not self.left:
            raise DoneError
        if profiled:
            self.profiler = profile(activities=[ProfilerActivity.CPU])
            self.profiler.__enter__()
        self.started = clocks()


def clocks() -> tuple[float, float]:
    """Seconds by the clock, and of the processor for this process."""
    return time.perf_counter(), time.process_time()


def given(corpus: Path) -> tuple[StudyDataset, EncoderConfig]:
    """The training studies with the demo's tokenizer, and the settings of its encoders."""
    encoders = replace(get_profile("demo").encoders, max_tokens=TOKENS)
    table = open_table(corpus / "train.csv", encoders.image_size)
    tokenizer = training_tokenizer(encoders, table.studies, 1)
    return StudyDataset(table.studies, table.images, tokenizer), encoders


def one_way(parent: Connection, name: str, ways: Ways | None, data: tuple, arguments) -> None:
    """In a process of its own: train in one way, None for the real loop, until the parent has enough."""
    torch.set_num_threads(arguments.threads)
    turns = Turns(parent)
    studies, encoders, films = data
    torch.manual_seed(0)
    model = build_model(encoders, studies.tokenizer)
    settings = {"batch_size": arguments.batch, "length_buckets": 8 if name == BUCKETED else 0}
    training = replace(get_profile("demo").training, epochs=100, threads=None, **settings)
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        tempfile.TemporaryDirectory() as out,
        contextlib.suppress(DoneError),
    ):
        if ways is not None:
            while True:
                Loop(model, studies, training, ways, arguments.workers, films, turns).run()
        if name == COMPILED:  # in place: the weights keep their names
            model.vision_model.compile()
            model.text_model.compile(dynamic=True)
        step = updates.Updates.step

        def told(self, *given, **named):
            result = step(self, *given, **named)
            turns()
            return result

        updates.Updates.step = told
        augmentation = get_profile("demo").augmentation if name == VARIED else AugmentationConfig()
        validation = studies.part(slice(arguments.batch))
        real.train(model, studies.tokenizer, studies, validation, Path(out), training, None, augmentation)


def all_ways(compiled: bool) -> dict[str, Ways | None]:
    """Name -> what it does otherwise than the published style, None for the real loop."""
    found, so_far = {PUBLISHED: Ways()}, Ways()
    assert sorted(STEPS.values()) == sorted(field.name for field in fields(Ways))
    for name, change in STEPS.items():
        found[name] = so_far = replace(so_far, **{change: True})
    return found | {OURS: None, BUCKETED: None, VARIED: None} | ({COMPILED: None} if compiled else {})


def measured(arguments, data: tuple) -> tuple[dict[str, list[list[float]]], tuple[list[float], list]]:
    """Seconds a step of every way, a pair of `clocks` a turn; seconds and operations of the real loop."""
    servers = "forkserver" in multiprocessing.get_all_start_methods()  # which imports once for all
    context = multiprocessing.get_context("forkserver" if servers else "spawn")
    if servers:
        context.set_forkserver_preload(["published_style", "medprobclip.training.loop"])
    children, seconds = {}, {}
    ways = all_ways(arguments.compile)
    try:
        with progress_bar(len(ways) * (1 + arguments.turns), "timing", "turn") as bar:
            for name, way in ways.items():
                ours, theirs = context.Pipe()
                child = context.Process(
                    target=one_way, args=(theirs, name, way, data, arguments), daemon=True
                )
                child.start()
                theirs.close()
                children[name] = (child, ours)
                ours.recv()  # its first step
                ours.send((arguments.warm_up, False))
                ours.recv()
                bar.update()
            for turn in range(arguments.turns):
                for name in list(ways)[:: 1 if turn % 2 else -1]:
                    children[name][1].send((arguments.steps, False))
                    spent, _ = children[name][1].recv()
                    seconds.setdefault(name, []).append([s / arguments.steps for s in spent])
                    bar.update()
        children[OURS][1].send((arguments.steps, True))
        return {name: seconds[name] for name in ways}, children[OURS][1].recv()
    finally:
        for child, pipe in children.values():
            with contextlib.suppress(OSError):
                pipe.send((0, False))
            child.join(5)
            child.kill()


def by_kind(whole: float, operations: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Share of the seconds `whole` of each kind of operation; the rest is outside of any."""
    shares = dict.fromkeys((*KINDS, "other operations", "outside of operations"), 0.0)
    for name, seconds in operations:
        plain = name.removeprefix("aten::").removeprefix("mkldnn::")
        if not name.startswith(("aten::", "mkldnn::")):
            continue
        kind = next((k for k, words in KINDS.items() if any(w in plain for w in words)), "other operations")
        shares[kind] += seconds / whole
    shares["outside of operations"] = 1 - sum(shares.values())
    return shares


def main() -> None:
    command = ArgumentParser(description=__doc__, formatter_class=HelpWithDefaults)
    command.add_argument("--corpus", type=Path, default=Path("data/openi-sim-128px"), help="study tables")
    command.add_argument("--batch", type=int, default=64, help="studies a step")
    command.add_argument("--threads", type=int, default=2, help="that compute, in every way alike")
    command.add_argument("--workers", type=int, default=0, help="processes that read for the published style")
    command.add_argument(
        "--original_px", type=int, default=0, help="decode films of this size; 0: as they are"
    )
    command.add_argument("--turns", type=int, default=3, help="of which the median counts")
    command.add_argument("--steps", type=int, default=2, help="a turn")
    command.add_argument(
        "--warm_up", type=int, default=1, help="steps before the first turn, after the first step"
    )
    command.add_argument("--compile", action="store_true", help="the encoders, too, by torch.compile")
    command.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"), help="CSV file")
    arguments = command.parse_args()
    if not (arguments.corpus / "train.csv").exists():
        raise SystemExit(f"{arguments.corpus} holds no train.csv: `make run` renders it, or give --corpus")
    studies, encoders = given(arguments.corpus)  # and the radiographs are in the cache
    with tempfile.TemporaryDirectory() as folder:
        films = {}
        if arguments.original_px:
            studies = studies.part(slice(FEW * arguments.batch))
            films = enlarged(studies, arguments.original_px, Path(folder))
        seconds, (whole, operations) = measured(arguments, (studies, encoders, films))
    clock, cpu = (
        {name: 1000 * statistics.median(turn[which] for turn in turns) for name, turns in seconds.items()}
        for which in (0, 1)
    )
    rows, before = [], PUBLISHED
    for name in seconds:
        rows.append(
            {
                "what": name,
                "ms_a_step": clock[name],
                "saved_ms": clock[before] - clock[name],
                "studies_per_s": 1000 * arguments.batch / clock[name],
                "times_published": clock[PUBLISHED] / clock[name],
                "cpu_ms": cpu[name],
                "cpu_saved_ms": cpu[before] - cpu[name],
                "cpu_times_published": cpu[PUBLISHED] / cpu[name],
            }
        )
        before = OURS if name in (OURS, BUCKETED, VARIED) else name
    shares = by_kind(whole[0], operations)
    table = pd.DataFrame(rows + [{"what": f"share: {k}", "share": v} for k, v in shares.items()])
    table.to_csv(arguments.out, index=False, float_format="%.4g")
    precision = "bfloat16" if has_bfloat16(torch.device("cpu")) else "float32"
    print(f"{arguments.threads} threads, torch {torch.__version__}, {precision}, batch {arguments.batch}")
    print(pd.DataFrame(rows).to_string(index=False, na_rep="", float_format=lambda x: f"{x:.3g}"))
    print("\nOf the time of the real loop's steps")
    print("\n".join(f"{kind:>30} {100 * share:5.1f} %" for kind, share in shares.items()))


if __name__ == "__main__":
    main()
