"""Settings that are out of range are refused, all at once, each with what it means."""

from __future__ import annotations

import math
from typing import Any


def refuse_out_of_range(config: Any, ranges: dict[str, bool]) -> None:
    """Raise ValueError with a line for every field of a dataclass that does not fit, with its help.

    A float that is no number (NaN, infinite) fits nowhere.
    """
    helps = {name: field.metadata["help"] for name, field in config.__dataclass_fields__.items()}
    values = {name: getattr(config, name) for name in helps}
    ranges = ranges | {n: False for n, v in values.items() if isinstance(v, float) and not math.isfinite(v)}
    rules = [f"{n} = {values[n]} is out of range: {helps[n]}" for n, fits in ranges.items() if not fits]
    if rules:
        raise ValueError("\n".join(rules))
