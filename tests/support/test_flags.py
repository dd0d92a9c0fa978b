"""Dataclasses as flags: every kind of field there and back, defaults in the help, bad words refused."""

from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from medprobclip.support.flags import HelpWithDefaults, add_flags, from_flags


def described(default, text: str):
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Settings:
    epochs: int = described(3, "passes")
    rate: float = described(0.5, "of learning")
    limit: float | None = described(None, "largest; none by default")
    kind: Literal["soft", "hard"] = described("soft", "of target")
    views: Literal[1, 2] = described(2, "radiographs")
    learned: bool = described(True, "is it learned?")
    folder: Path = described(Path("a"), "where")

    def __post_init__(self) -> None:
        if self.views == 1 and self.kind == "hard":
            raise ValueError("hard needs two views")


@dataclass(frozen=True)
class Tables:
    table: Path = field(metadata={"help": "the one that is needed"})


def parse(line: str, config=None):
    parser = ArgumentParser(allow_abbrev=False)
    add_flags(parser, Settings() if config is None else config)
    return from_flags(Settings() if config is None else config, parser.parse_args(line.split()))


def test_every_kind_of_field_comes_back():
    line = "--epochs 7 --rate 1e-3 --limit 100 --kind hard --views 2 --learned False --folder b/c"
    assert parse(line) == Settings(7, 1e-3, 100.0, "hard", 2, False, Path("b/c"))
    assert type(parse("--limit 100").limit) is float


def test_what_is_not_given_is_the_instance_s_own():
    given = Settings(9, kind="hard", learned=False)
    assert parse("", given) == given
    assert parse("--epochs 1", given) == Settings(1, kind="hard", learned=False)


@pytest.mark.parametrize(("words", "value"), [("", True), ("True", True), ("false", False)])
def test_a_switch_may_be_spelled_out(words, value):
    assert parse(f"--learned {words}").learned is value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--kind medium", "invalid choice: 'medium'"),
        ("--views 3", "invalid choice: 3"),
        ("--epochs many", "invalid int value"),
        ("--learned maybe", "'maybe' is neither True nor False"),
        ("--epoch 3", "unrecognized arguments"),
    ],
)
def test_bad_words_are_usage_errors(line, message, capsys):
    with pytest.raises(SystemExit):
        parse(line)
    assert message in capsys.readouterr().err


def test_values_that_do_not_go_together_reach_the_caller():
    with pytest.raises(ValueError, match="hard needs two views"):
        parse("--kind hard --views 1")


def test_fields_without_a_default_are_required(capsys):
    assert parse("--table x.csv", Tables) == Tables(Path("x.csv"))
    with pytest.raises(SystemExit):
        parse("", Tables)
    assert "the following arguments are required: --table" in capsys.readouterr().err


def test_help_shows_defaults_where_there_are_any():
    parser = ArgumentParser(formatter_class=HelpWithDefaults)
    add_flags(parser, Settings())
    add_flags(parser, Tables)
    text = " ".join(parser.format_help().split())
    assert "passes (default: 3)" in text
    assert "is it learned? (default: True)" in text
    assert "{soft,hard}" in text
    assert "None" not in text
