"""How a training went, where it lies, and what to type next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

METRICS, TENSORBOARD = "metrics.jsonl", "tensorboard"  # in a run folder: numbers of every step


def end_summary(
    history: Sequence[dict], out: Path, rate: float = 0.0, next_commands: Sequence[str] = ()
) -> str:
    """What came out, where it lies and what to type next; `rate` in studies a second, 0 where none is known.

    `history` has one row an epoch, as `train` makes them.
    """
    best = max(history, key=lambda row: row["val_rsum"])  # the first of equals, which is the checkpoint's
    opening = f"Best of {len(history)} epochs: {best['epoch']}," if len(history) > 1 else "One epoch:"
    lines = [
        f"{opening} validation RSUM {best['val_rsum']:.1f}, R@10 {best['val_R@10_i2t']:.1f} % image to "
        f"report, {best['val_R@10_t2i']:.1f} % report to image.",
        f"Time: {duration(sum(row['seconds'] for row in history))}" + (f", {speed(rate)}." if rate else "."),
        f"Checkpoint: {out / 'checkpoint'}. Every step: {out / METRICS}, {out / TENSORBOARD}.",
    ]
    if len(history) > 1 and best is history[-1]:
        more = len(history) + math.ceil(len(history) / 2)
        lines.append(
            f"The last epoch was the best, still rising: the same command with --epochs {more} goes on."
        )
    return "\n".join([*lines, *(["Next:"] if next_commands else []), *(f"  {c}" for c in next_commands)])


def commands_after(out: Path, calibrated: bool) -> list[str]:
    """What one types next; in capitals the user's own tables."""
    run = shlex.quote(str(out))
    index = shlex.quote(f"{out}-index")
    calibrate = [] if calibrated else [f"medprobclip calibrate --run {run} --csv CALIBRATE.csv"]
    return [
        *calibrate,
        f"medprobclip index TABLE.csv --run {run} --out {index}",
        f"tensorboard --logdir {shlex.quote(str(out / TENSORBOARD))}",
    ]


def speed(rate: float) -> str:
    """ "0.32 studies/s", "1,234 studies/s"."""
    return f"{rate:,.0f} studies/s" if rate >= 99.5 else f"{rate:.3g} studies/s"


def duration(seconds: float) -> str:
    """In the two largest units that matter: "45 s", "19 min", "5 h 12 min", "2 d 3 h"."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 24 * 60 else f"{hours // 24} d {hours % 24} h"
