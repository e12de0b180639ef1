"""Faults in what people write, put into words: names that are none, values that do not fit."""

import re
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

SHOWN = 100  # characters of what somebody gave

_UNPRINTABLE = re.compile("[^\\n\\t -~\\xa0-\\ud7ff\\ue000-\\U0010ffff]")


def printable(text: str, most: int = sys.maxsize) -> str:
    r"""The text with escapes for what a terminal would obey and no file can hold, cut visibly.

    >>> print(printable("a\x1b[2J, \ud800, and much more", 18))
    a\x1b[2J, \ud800, and much…
    """
    cut = text if len(text) <= most else text[:most] + "…"
    return _UNPRINTABLE.sub(lambda one: one[0].encode("unicode_escape").decode(), cut)


def shown(value: object) -> str:
    """What was given, as it is shown to whoever gave it."""
    return printable(repr(value), SHOWN)


def meant(name: str, known: Iterable[str]) -> str:
    """Near matches of a misspelt name, as a part of a sentence; "" where there are none.

    >>> meant("taylr", ["taylor", "l1"])
    ' (did you mean taylor?)'
    """
    by_small = {one.lower(): one for one in known}
    near = [by_small[one] for one in get_close_matches(name[:SHOWN].lower(), by_small, n=3)]
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that nothing of its kind bears.

    >>> no_such("suite", "quickstrat", ["quickstart", "grand"])
    "there is no suite 'quickstrat' (did you mean quickstart?); there are quickstart, grand"
    """
    names = list(known)
    there = ", ".join(names) or "none"
    return f"there is no {what} {shown(name)}{meant(name, names)}; there are {there}"


@cache
def _sentences(file: Path) -> dict[str, str]:
    return yaml.safe_load(file.read_text("utf-8"))


def sentence(file: Path, what: str, /, **known: Any) -> str:
    """A sentence of a YAML file, over what is known."""
    return _sentences(file)[what].format(**known)


fault = partial(sentence, Path(__file__).with_suffix(".yaml"))


def none_of(key: str, what: str, names: Iterable[str], known: Sequence[str]) -> Iterator[str]:
    """A sentence about each name given at a key that is none of those that the suite has."""
    for name in names:
        if name not in known:
            there = f"{what}{meant(name, known)}: {', '.join(known)}"
            yield f"{key}: {shown(name)} is none of the {there}"


def explained(error: ValidationError, kind: type[BaseModel]) -> str:
    """A sentence for each fault of a section: the key, what was given, what is allowed."""
    return "; ".join(faults_in(error, kind))


def faults_in(error: ValidationError, kind: type[BaseModel]) -> Iterator[str]:
    """A sentence about each fault of a section."""
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        given = f" = {shown(fault['input'])}" if not isinstance(fault["input"], dict | list) else ""
        if fault["type"] == "extra_forbidden":
            allowed = _keys_at(kind, fault["loc"][:-1])
            hint = meant(str(fault["loc"][-1]), allowed)
            said = f"unknown key {key!r}{hint}. Allowed here: {', '.join(allowed) or 'none'}"
        elif fault["type"] == "model_type":
            said = f"{key}{given}: expected a mapping of {', '.join(_keys_at(kind, fault['loc']))}"
        elif fault["type"] == "missing":
            said = f"the key {key!r} is missing"
        else:
            message = fault["msg"].removeprefix("Value error, ")
            if fault["type"] == "literal_error":
                choices = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
                message += meant(str(fault["input"]), choices)
            said = f"{key + given + ': ' if key else ''}{message}"
        yield said


def _keys_at(model: type[BaseModel], loc: Sequence[Any]) -> list[str]:
    """Keys of the section that a place in the file belongs to."""
    kind: Any = model
    for part in loc:
        if isinstance(part, str) and isinstance(kind, type) and issubclass(kind, BaseModel):
            fields: Mapping[str, Any] = {
                (field.alias or name): field for name, field in kind.model_fields.items()
            }
            kind = fields[part].annotation if part in fields else kind
        kind = _section_in(kind) or kind
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return []


def _section_in(annotation: Any) -> Any:
    """The section inside `list[Section]`, `Section | None`, `dict[str, Section]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_in, typing.get_args(annotation))), None)
