"""What every part of a suite has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._~+=-]{0,79}$")]


class Section(BaseModel):
    """Every part of a suite: immutable, no unknown keys, no silent conversions of type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
