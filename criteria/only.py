"""What can be pruned, and options that mean something for one kind of it only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel

Unit = Literal["channels", "single weights"]


@dataclass(frozen=True)
class Only:
    """Marks the type of an option: `x: Annotated[bool, Only("channels", why)] = False`.

    Attributes:
        unit: what the option is about.
        why: it could only be ignored where other units are pruned.
    """

    unit: Unit
    why: str


Bias = Annotated[bool, Only("channels", "a single weight has no bias")]


def without_effect(options: BaseModel, unit: Unit) -> Iterator[tuple[str, str]]:
    """Options that differ from their default where these units make nothing of them, and why."""
    for name, option in type(options).model_fields.items():
        for mark in option.metadata:
            if isinstance(mark, Only) and mark.unit != unit:
                value, default = getattr(options, name), option.default
                if value != default:
                    yield name, f"{mark.why}; leave it at {default!r}"
