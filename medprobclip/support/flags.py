"""Frozen dataclasses -> command-line flags, one a field, with its help, choices and default; and back.

transformers' HfArgumentParser does the same; importing it alone takes the second within which help starts.
"""

from __future__ import annotations

import sys
from argparse import Action, ArgumentDefaultsHelpFormatter, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Config = TypeVar("Config")


class HelpWithDefaults(ArgumentDefaultsHelpFormatter):
    """Shows the default behind each flag's help, but for flags without one."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def print_anywhere() -> None:
    """Let standard output and errors print on a terminal of any encoding: what it cannot show becomes "?"."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def truth(word: str) -> bool:
    """ "True" or "False" as written on a command line. Raises ArgumentTypeError for another word."""
    if word.lower() not in ("true", "false"):
        raise ArgumentTypeError(f"'{word}' is neither True nor False")
    return word.lower() == "true"


def add_flags(parser: ArgumentParser, config: Any, required: bool = True) -> None:
    """A flag `--<field>` for each field of a dataclass: of an instance, whose values are the defaults, or of
    a class, whose fields without a default are required, unless they may come from elsewhere. The help is
    the field's metadata "help"."""
    hints = get_type_hints(config if isinstance(config, type) else type(config))
    for field in fields(config):
        default = getattr(config, field.name, MISSING)
        settings: dict[str, Any] = {"help": field.metadata["help"]}
        settings |= {"required": required} if default is MISSING else {"default": default}
        hint = hints[field.name]
        if get_origin(hint) is UnionType:  # float | None: None is the default and has no word
            hint = next(kind for kind in get_args(hint) if kind is not type(None))
        if get_origin(hint) is Literal:
            settings |= {"choices": get_args(hint), "type": type(get_args(hint)[0])}
        elif hint is bool:  # --flag, --flag True, --flag False
            settings |= {"type": truth, "nargs": "?", "const": True, "metavar": "True|False"}
        else:
            settings["type"] = hint
        parser.add_argument(f"--{field.name}", **settings)


def from_flags(config: Config | type[Config], arguments: Namespace) -> Config:
    """The dataclass with the values of its flags. Raises what the dataclass does for bad ones."""
    values = {field.name: getattr(arguments, field.name) for field in fields(config)}
    return config(**values) if isinstance(config, type) else replace(config, **values)


def given_flags(parser: ArgumentParser, arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The flags that stand on the command line with their values, no defaults; and the words not understood.

    The parser may have no required flags.
    """
    unsaid = object()
    flags = vars(parser.parse_known_args([])[0])
    found, rest = parser.parse_known_args(arguments, Namespace(**dict.fromkeys(flags, unsaid)))
    return {name: value for name, value in vars(found).items() if value is not unsaid}, rest
