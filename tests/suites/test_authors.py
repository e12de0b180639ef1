"""Papers' suites hold what the authors' scripts set: authors.csv, value by value."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
from authors import Setting, found, resolved, same, settings

from bench.pruning.network import Schedule
from suites import Suite, library, load_suite

SETTINGS = settings()
OF_PAPERS = ("oba-", "obc-", "rgd-", "tpp-", "dpm-", "pruningbench-", "pruning-at-", "rewinding")
PAPERS = [name for name in library() if name.startswith(OF_PAPERS)]


@cache
def whole(name: str) -> dict[str, Any]:
    suite = load_suite(name)
    assert isinstance(suite, Suite)
    return resolved(suite)


def drifted(one: Setting) -> str | None:
    """What is wrong with a setting, if anything is."""
    try:
        ours = found(whole(one.suite), one.key)
    except KeyError as missing:
        return f"{one.key}: nothing stands at {missing}"
    if same(ours, one.value):
        return None
    return (
        f"{one.key} = {ours}, but the authors have {one.value} ({one.source}); "
        "restore it, or say in the suite's header why it differs and take the row out"
    )


@pytest.mark.parametrize("name", PAPERS)
def test_every_setting_is_the_authors(name: str) -> None:
    assert [wrong for one in SETTINGS if one.suite == name and (wrong := drifted(one))] == []


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


@pytest.mark.parametrize(
    ("budget", "ratios"),
    [
        (1.4893, (0.3, 0.3, 0.3, 0.14)),
        (2.308, (0.6, 0.6, 0.6, 0.21)),
        (2.564, (0.74, 0.74, 0.6, 0.21)),
        (3.063, (0.68, 0.68, 0.68, 0.5)),
    ],
)
def test_stages_keep_the_channels_that_the_authors_ratios_leave(
    budget: float, ratios: tuple[float, ...]
) -> None:
    """Theirs removes ceil(ratio * n) of n; ours keeps ceil(share * n)."""
    shares = found(whole("tpp-imagenet"), f"models.resnet50.selection.by_budget.{budget}.layers")
    for stage, (ratio, width) in enumerate(zip(ratios, (64, 128, 256, 512), strict=True), 1):
        kept = math.ceil(shares[f"layer{stage}"] * width)
        assert kept == width - math.ceil(ratio * width)


@pytest.mark.parametrize(
    ("name", "method", "scored"),
    [  # 22.4, 23.2, 23.7 steps of OBA, 28.7, 32.3, 35.8 of the others; 43.9 and 62.9 on ViT-B/16
        ("oba-oneshot-cifar", "oba", {0.4: 23, 0.25: 24, 0.14: 24}),
        ("oba-oneshot-cifar", "l1", {0.4: 29, 0.25: 33, 0.14: 36}),
        ("oba-imagenet", "oba", {0.686: 44}),
        ("oba-imagenet", "l1", {0.686: 63}),
    ],
)
def test_networks_are_scored_as_often_as_the_authors_pruner_does(
    name: str, method: str, scored: dict[float, int]
) -> None:
    """Theirs takes as many channels a step as leads to 0.9 of the target in fifty steps."""
    iterative = next(one.iterative for one in load_suite(name).methods if one.name == method)
    assert iterative is not None
    for budget, often in scored.items():
        own = iterative.at(budget)
        assert isinstance(own.steps, int)
        assert not isinstance(own.to, dict)
        assert len(Schedule(own.steps, own.schedule, own.to).stops([budget])) == often


def test_single_weights_are_scored_at_49_steps() -> None:
    suite = load_suite("oba-unstructured")
    assert isinstance(suite, Suite)
    assert len(Schedule(49, "geometric").stops(suite.budgets.kept)) == 49


@pytest.mark.parametrize("name", PAPERS)
def test_what_differs_is_said_in_one_list(name: str) -> None:
    head = library()[name].read_text(encoding="utf-8").partition("\nsuite: ")[0]
    assert head.count("What stays different from the authors, and why:") == 1
    assert "On purpose otherwise" not in head
