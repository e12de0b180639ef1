"""Options of criteria and phases, and marks on those that mean nothing for some units."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Unit = Literal["channels", "single weights"]


class Options(BaseModel):
    """Base of all options: immutable, no unknown keys, no conversions of type.

    The docstring below an option says what it means, where its type does not.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


class NoOptions(Options):
    """Options of what has none."""


@dataclass(frozen=True)
class Only:
    """A mark on the type of an option: `x: Annotated[bool, Only("channels", why)] = False`."""

    unit: Unit  # what the option is about
    why: str  # it could only be ignored where other units are pruned


Bias = Annotated[
    bool,
    Only("channels", "a single weight has no bias"),
    Field(description="whether a channel's bias counts."),
]
Flatten = Annotated[
    Literal["feature", "block"],
    Only("channels", "a single weight is one entry"),
    Field(
        description="where a channel has several entries in a layer (after a flatten, in grouped "
        "convolutions, over heads), each is a block of its own, or all are one."
    ),
]
BatchNormMode = Annotated[
    Literal["eval", "batch"],
    Field(description="batch norm by its running statistics (eval) or by those of the batch."),
]
