"""What a run is known by, compared and turned back into a profile; loads nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from medprobclip.settings import AugmentationConfig, EncoderConfig, ObjectiveConfig, ScalingConfig
from medprobclip.training.profiles import PROFILES, Profile
from medprobclip.training_settings import TrainingConfig

CONFIG = "config.yaml"  # what a run was asked for, in its folder: a file for `--config`
CONFIG_COMMENT = (
    "What this run was asked for; `medprobclip train --config` takes this file, flags win over it"
)
_PARTS = {
    "encoders": EncoderConfig(),
    "training": TrainingConfig(),
    "objective": ObjectiveConfig(),
    "augmentation": AugmentationConfig(),
}
# What was done before a field came, where its default does something else.
_BEFORE = {"training": {"decay_all": True}}


def completed(settings: dict) -> dict:
    """The settings of a run with the fields that came after it, at what was done before them.

    That is their default, or stands in `_BEFORE`. Parts that are missing as a whole stay so.
    """
    return settings | {
        part: asdict(new) | _BEFORE.get(part, {}) | settings[part]
        for part, new in _PARTS.items()
        if part in settings
    }


def profile_of(settings: dict) -> Profile:
    """The profile whose `settings` these are, as JSON gives them back; inverse of `Profile.settings`.

    What is no part of them (machine, notebooks' sizes) is the profile's of that name, or the default. Raises
    ValueError for fields that are not known here.
    """
    found = completed(settings)
    unknown = [
        f"{part}.{name}" for part, new in _PARTS.items() for name in found.get(part, {}).keys() - asdict(new)
    ]
    if unknown:
        raise ValueError(f"settings that this version does not know: {', '.join(sorted(unknown))}")
    known = PROFILES.get(found["name"])
    return Profile(
        found["name"],
        **{part: type(new)(**found.get(part, {})) for part, new in _PARTS.items()},
        **{name: found[name] for name in ("showcase_px", "corpus_studies") if name in found},
        scaling=known.scaling if known else ScalingConfig(),
        needs_own_tables=bool(known and known.needs_own_tables),
    )


def differences(found: dict, wanted: dict, parts: Iterable[str]) -> dict[str, tuple[Any, Any]]:
    """What differs between a run's settings and others, by "part.field": what the run has, what is asked.

    Both are compared as JSON gives them back (tuples are lists there).
    """
    found, wanted = (json.loads(json.dumps(settings)) for settings in (found, wanted))
    pairs = {}
    for part in parts:
        one, other = found.get(part), wanted.get(part)
        if isinstance(one, dict) and isinstance(other, dict):
            pairs |= {f"{part}.{name}": (one.get(name), other.get(name)) for name in {**one, **other}}
        else:
            pairs["profile" if part == "name" else part] = (one, other)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def in_words(name: str, had: Any, asked: Any) -> str:
    """A difference as one line: "training.learning_rate: the run has 5e-05, asked for 0.001"."""
    if name.startswith("tables."):
        return f"{name}: the {name.removeprefix('tables.')} table or its pictures are not those of the run"
    return f"{name}: the run has {_word(had)}, asked for {_word(asked)}"


def _word(value: Any) -> str:
    return "none" if value is None else json.dumps(value) if isinstance(value, dict) else str(value)
