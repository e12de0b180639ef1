"""Criteria that are made of other criteria."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from .criterion import NoOptions


class Part(NoOptions):
    """A criterion inside another, its options filled in, so that equal parts have equal keys."""

    criterion: str
    options: dict[str, Any] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {"criterion": given} if isinstance(given, str) else given

    @field_validator("criterion")
    @classmethod
    def _known(cls, name: str) -> str:
        from .registry import find

        entry = find(name)
        if entry.selector is not None:
            raise ValueError(f"{name} picks sets, and has no scores to be a part of others")
        return entry.name

    @model_validator(mode="after")
    def _filled(self) -> Part:
        from .registry import resolve_options

        filled = resolve_options(self.criterion, self.options).model_dump()
        self.__dict__["options"] = filled  # frozen for everyone else
        return self


def parts_of(options: Any) -> list[Part]:
    """The parts among a criterion's options."""
    if isinstance(options, Part):
        return [options]
    if isinstance(options, NoOptions):
        return parts_of([getattr(options, name) for name in type(options).model_fields])
    if isinstance(options, Mapping):
        return parts_of(list(options.values()))
    if isinstance(options, list | tuple):
        return [part for one in options for part in parts_of(one)]
    return []
