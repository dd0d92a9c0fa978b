"""Configuration files, YAML or JSON: every key once, every value of its field's kind; and written back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from medprobclip.support.files import replaced_file


class ConfigFileError(ValueError):
    """A configuration file cannot be read; the message names it."""


def read_mapping(path: Path) -> dict[str, Any]:
    """What a YAML or JSON file (by its ending: .json) maps names to. Raises ConfigFileError.

    A key that stands twice in one mapping is refused: every reader would silently take the last.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = _json(text) if path.suffix.lower() == ".json" else _yaml(text)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise ConfigFileError(f"{path}: {reason}") from error
    if not isinstance(found, dict):
        raise ConfigFileError(f"{path}: holds no names with values, such as `epochs: 20`")
    return found


def write_mapping(path: Path, content: Mapping[str, Any], comment: str) -> None:
    """Write YAML in place whole, after a line of comment."""
    import yaml

    with replaced_file(path) as temporary:
        text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
        temporary.write_text(f"# {comment}\n{text}", encoding="utf-8")


def fitting(value: Any, hint: Any) -> Any:
    """A value from a file as a field with this type hint takes it. Raises ValueError that says what it takes.

    Whole numbers do for float fields, and `1e-3`, which YAML reads as a word; nothing else is turned.
    """
    if get_origin(hint) is UnionType:
        if value is None:
            return None
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) is Literal:
        # By type, too: True == 1.
        if any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            return value
        raise ValueError(f"{value!r} is none of {', '.join(map(str, get_args(hint)))}")
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and not isinstance(value, bool) and isinstance(value, int | float | str):
        try:
            return float(value)
        except ValueError:
            pass
    elif type(value) is hint:
        return value
    kinds = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", Path: "a path"}
    raise ValueError(f"{value!r} is not {kinds[hint]}")


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """The names, three at most, that someone may have meant."""
    return get_close_matches(name.replace("-", "_").lower(), list(names), n=3, cutoff=0.7)


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _refuse_twice([key for key, _ in pairs])
        return dict(pairs)

    return json.loads(text, object_pairs_hook=once)


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML's, but that a key may stand once only."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            _refuse_twice([self.construct_object(key, deep=True) for key, _ in node.value])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _refuse_twice(keys: list) -> None:
    if twice := [key for i, key in enumerate(keys) if key in keys[:i]]:
        raise ValueError(f"{twice[0]} stands twice")
