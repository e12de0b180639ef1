"""What every part of a suite has in common."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

# A section that a name alone may stand for.
ByName = BeforeValidator(lambda given: {"name": given} if isinstance(given, str) else given)
Several = Annotated[int, Field(ge=1, le=10_000)]  # of what a suite counts: bases, repeats, steps
MOST = 1_000  # entries of a list
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._~+=-]{0,79}$")]


class Section(BaseModel):
    """Every part of a suite: immutable, no unknown keys, no silent conversions of type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="after")
    def _faultless(self) -> Self:
        if fault := next(self.faults(), None):
            raise ValueError(fault)
        return self

    def faults(self) -> Iterator[str]:
        """What is wrong with fields that are right one by one; the first is told."""
        yield from ()

    @property
    def identity(self) -> dict[str, Any]:
        """All fields that decide a result, for the keys of trials."""
        return self.model_dump()


class Chosen(Section):
    """Something by its name, with options of its own."""

    name: str
    options: dict[str, Any] = Field(default={})


def refuse_twice(what: str, names: Sequence[str], key: str = "as") -> None:
    """Names in tables and paths stand for one thing each; at `key` others can be given."""
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise ValueError(f"{what}: {', '.join(twice)} occurs twice; name one with `{key}`")


_SLUG = re.compile(r"[^a-z0-9._~+=-]+")


def slug(text: str) -> str:
    """A name that is safe as a part of a path; a long one ends in its hash."""
    safe = _SLUG.sub("-", text.lower()).strip("-.") or "unnamed"
    if len(safe) <= 80:
        return safe
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{safe[:71]}-{digest[:8]}"
