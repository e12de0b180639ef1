"""Papers' suites hold what the authors' scripts set: authors.csv, value by value."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from authors import Setting, found, resolved, same, settings

from suites import Suite, library, load_suite, scales_of

SETTINGS = settings()
PAPERS = [name for name in library() if "paper" in scales_of(name) and name != "grand"]


@cache
def whole(name: str) -> dict[str, Any]:
    suite = load_suite(name)
    assert isinstance(suite, Suite)
    return resolved(suite)


@pytest.mark.parametrize("one", SETTINGS, ids=lambda one: f"{one.suite}: {one.key}")
def test_a_setting_is_the_authors(one: Setting) -> None:
    try:
        ours = found(whole(one.suite), one.key)
    except KeyError as missing:
        pytest.fail(f"{one.suite} has no {one.key}: nothing stands at {missing}")
    assert same(ours, one.value), (
        f"{one.suite}: {one.key} = {ours}, but the authors have {one.value} ({one.source}); "
        "restore it, or say in the suite's header why it differs and take the row out"
    )


def test_there_are_many_and_every_papers_suite_has_some() -> None:
    assert len(SETTINGS) >= 150
    assert len({(one.suite, one.key) for one in SETTINGS}) == len(SETTINGS)
    assert {one.suite for one in SETTINGS} == set(PAPERS)


def test_a_setting_that_drifts_is_noticed() -> None:
    place = whole("tpp-resnet56")
    assert found(place, "base.drops") == [100, 150]
    assert not same(found(place, "base.drops"), [100, 160])
    assert not same(True, 1.5)
    with pytest.raises(KeyError, match="bas"):
        found(place, "bas.drops")


@pytest.mark.parametrize("name", PAPERS)
def test_what_differs_is_said_in_one_list(name: str) -> None:
    head = library()[name].read_text(encoding="utf-8").partition("\nsuite: ")[0]
    assert head.count("What stays different from the authors, and why:") == 1
    assert "On purpose otherwise" not in head
