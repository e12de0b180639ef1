"""Options of criteria and phases with their defaults, what is allowed, and what they mean."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from typing import Any

from pydantic_core import PydanticUndefined

from criteria.options import NoOptions


def option_lines(kind: type[NoOptions]) -> Iterator[str]:
    """A line an option, `name = default (allowed): meaning`, and then what is said of all.

    Meanings are read from the docstrings of the options and of what they inherit: lines `name:
    meaning`, or `one, other: meaning`, that go on indented.
    """
    meanings, rest = _documented(kind)
    for name, field in kind.model_fields.items():
        default = "" if field.default is PydanticUndefined else f" = {_plain(field.default)}"
        meaning = f": {meanings[name]}" if name in meanings else ""
        yield f"{name}{default} ({_allowed(field.annotation)}){meaning}"
    if rest:
        yield rest


_ENTRY = re.compile(r"^(\w+(?:, \w+)*): (.*)$")


def _documented(kind: type[NoOptions]) -> tuple[dict[str, str], str]:
    """What docstrings say of each option, and the rest of what that of the class itself says."""
    meanings: dict[str, str] = {}
    rest = ""
    for one in reversed(kind.__mro__):
        if not (issubclass(one, NoOptions) and one is not NoOptions and one.__doc__):
            continue
        names: list[str] = []
        others = []
        for line in inspect.cleandoc(one.__doc__).splitlines():
            entry = _ENTRY.match(line)
            known = entry and [name for name in entry[1].split(", ") if name in kind.model_fields]
            if entry and known:
                names = known
                meanings |= dict.fromkeys(names, entry[2])
            elif names and line.startswith("    "):
                meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
            else:
                names = []
                others.append(line.strip())
        rest = " ".join(filter(None, others)) if one is kind else ""
    return meanings, rest


def _allowed(annotation: Any) -> str:
    """A type as people write it: the values of a choice, the kinds of others."""
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
    inner = typing.get_args(annotation)
    if inner and type(None) in inner:
        return " | ".join([*(_allowed(one) for one in inner if one is not type(None)), "null"])
    if isinstance(annotation, type) and issubclass(annotation, NoOptions):
        return "{" + ", ".join(annotation.model_fields) + "}"
    return getattr(annotation, "__name__", str(annotation))


def _plain(value: Any) -> str:
    """As YAML writes it."""
    known = {None: "null", True: "true", False: "false"}
    plain = value is None or isinstance(value, bool)
    return known[value] if plain else str(value)
