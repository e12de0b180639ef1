"""Every key of a suite is named in docs/suites.md, or where that page sends its readers."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from suites.fidelity import FidelitySuite
from suites.protocol import Rewind
from suites.schema import Suite

DOCS = Path(__file__).parents[2] / "docs"
# Sections that have a page of their own, to which suites.md leads.
ELSEWHERE = {"Recipe": "training.md", "Averaging": "training.md", "Distillation": "training.md"}
ELSEWHERE |= {"FidelitySpec": "fidelity.md"}


def sections(*kinds: type[BaseModel]) -> set[type[BaseModel]]:
    """Sections, and all inside them."""
    found, more = set[type[BaseModel]](), set(kinds)
    while more:
        found |= more
        fields = (field for kind in more for field in kind.model_fields.values())
        more = {inner for field in fields for inner in inside(field.annotation)} - found
    return found


def inside(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from inside(argument)


def named(page: str) -> set[str]:
    """Words of the code of a page."""
    code = re.findall(r"`[^`]*`", (DOCS / page).read_text(encoding="utf-8"))
    return set(re.findall(r"\w+", " ".join(code)))


# `what` of a rewinding is the name that stands before its epoch: {rewind: weights, to: 3}.
ALL = sorted(sections(Suite, FidelitySuite) - {Rewind}, key=lambda one: one.__name__)


@pytest.mark.parametrize("section", ALL, ids=lambda one: one.__name__)
def test_every_key_is_documented(section: type[BaseModel]) -> None:
    known = named("suites.md")
    if section.__name__ in ELSEWHERE:
        page = ELSEWHERE[section.__name__]
        assert page in (DOCS / "suites.md").read_text(encoding="utf-8")
        known |= named(page)
    keys = {field.alias or name for name, field in section.model_fields.items()}
    assert keys - known == set()
    assert keys


def test_a_key_that_is_not_documented_is_found() -> None:
    class Odd(BaseModel):
        unheard_of: int = 0

    assert {"unheard_of"} - named("suites.md") == {"unheard_of"}
    assert sections(Odd) == {Odd}
