"""What every part of a suite has in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._~+=-]{0,79}$")]


class Section(BaseModel):
    """Every part of a suite: immutable, no unknown keys, no silent conversions of type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def refuse_twice(what: str, names: Sequence[str]) -> None:
    """Names in tables and paths stand for one thing each."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what}: {', '.join(twice)} occurs twice; name one with `as`")


def meant(name: str, known: Iterable[str]) -> str:
    """Near matches, as a part of a sentence."""
    near = get_close_matches(name, list(known), n=3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
