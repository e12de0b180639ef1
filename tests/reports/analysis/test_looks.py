"""Decided look by look: what is needed next is a function of the records, and errors add up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import failed, make_suite, plan, record

from reports.analysis.analysis import analyse
from reports.analysis.looks import Course, course
from reports.analysis.over_problems import decided
from reports.declared import Declaration, design_of
from reports.records import Labels, Record
from reports.statistics import Look, looks, on_these_problems, spent
from reports.statistics import pairwise as every_pair
from suites.schema import Suite

LEVELS = {"far": 0.9, "near": 0.525, "same": 0.5, "l1": 0.5, "l1~same": 0.4}
METHODS: list[Any] = [
    "l1",
    *({"criterion": "taylor", "as": one} for one in ("far", "near")),
    {"criterion": "l2", "as": "same", "matched": ["l1"]},
]


def a_suite(**changes: Any) -> Suite:
    """Two problems, a method far better than l1, one a little, one alike; its own control worse."""
    given: dict[str, Any] = {
        "models": ["m1", "m2"],
        "methods": METHODS,
        "budgets": {"macs": [0.5]},
        "recoveries": ["none"],
        "bases": 8,
        "analysis": {"control": "l1", "looks": [3, 5, 8]},
    }
    return make_suite(**given | changes)


def measured(one: Labels, noise: float = 0.01) -> Record:
    """A record whose noise is its own, whenever it is made."""
    seed = [1, *(ord(letter) for letter in f"{one.model}{one.method}{one.recovery}{one.base}")]
    return record(one, LEVELS[one.method] + noise * np.random.default_rng(seed).standard_normal())


def run(suite: Suite, how: Any = measured) -> tuple[list[Record], list[Course]]:
    """All that is needed, look by look, with the course before each step."""
    expected, known, steps = plan(suite), {}, [course(suite, [], plan(suite))]
    while not steps[-1].ended:
        for one in steps[-1].needed:
            known.setdefault(one, how(one))
        steps.append(course(suite, list(known.values()), expected))
    return list(known.values()), steps


def bases(needed: Sequence[Labels]) -> dict[str, int]:
    return {one.method: len({other.base for other in needed if other.method == one.method})
            for one in needed}  # fmt: skip


# --- what is needed next --------------------------------------------------------------------------


def test_methods_stop_when_they_are_decided_and_the_control_goes_on_with_the_others() -> None:
    records, steps = run(a_suite())
    assert bases(steps[0].needed) == dict.fromkeys(["l1", "far", "near", "same", "l1~same"], 3)
    assert bases(steps[1].needed) == {"l1": 5, "far": 3, "near": 5, "same": 5, "l1~same": 3}
    assert bases(steps[-1].needed) == {"l1": 8, "far": 3, "near": 5, "same": 8, "l1~same": 3}
    assert [one.last_look for one in steps[1:]] == [
        "look 1 of 3, 3 bases: 2 of 4 comparisons decided (2 better); 2 methods go on",
        "look 2 of 3, 5 bases: 3 of 4 comparisons decided (3 better); 1 method goes on",
        "look 3 of 3, 8 bases: 3 of 4 comparisons decided (3 better)",
    ]
    assert steps[-1].outcome == (
        "cap reached: 1 comparison undecided, with 54 of 80 trials; 26 saved"
    )
    assert len(records) == 54


def test_a_matched_control_goes_on_with_its_method_alone() -> None:
    """`same` is told from l1 here, and not from the control of its widths."""
    suite = a_suite(methods=["l1", {"criterion": "l2", "as": "same", "matched": ["l1"]}])

    def how(one: Labels) -> Record:
        return record(one, 0.5 if one.method == "l1" else 0.9 + 0.01 * (one.base % 3 - 1) * (
            1 if one.method == "same" else -1))  # fmt: skip

    _, steps = run(suite, how)
    assert bases(steps[-1].needed) == {"l1": 3, "same": 8, "l1~same": 8}


def test_recoveries_are_decided_apart() -> None:
    suite = a_suite(methods=METHODS[:2], recoveries=["none", "bn"])

    def how(one: Labels) -> Record:
        ahead = 0.4 if one.method == "far" and one.recovery == "bn" else 0
        return record(one, 0.5 + ahead + 0.01 * np.cos(one.base * len(one.method)))

    _, steps = run(suite, how)
    none, bn = ([one for one in steps[-1].needed if one.recovery == r] for r in ("none", "bn"))
    assert (bases(none), bases(bn)) == ({"l1": 8, "far": 8}, {"l1": 3, "far": 3})


def test_without_looks_the_whole_plan_is_needed() -> None:
    suite = a_suite(analysis={"control": "l1"})
    found = course(suite, [], plan(suite))
    assert found.needed == plan(suite)
    assert (found.taken, found.ended) == ([], False)


@pytest.mark.parametrize("seed", range(5))
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(seed: int) -> None:
    """With any part of the records, in any order, nothing is asked for that a whole run does not
    need; and with all of them the same has been decided."""
    suite, rng = a_suite(), np.random.default_rng(seed)
    records, steps = run(suite)
    kept = [records[i] for i in rng.permutation(len(records))[: rng.integers(len(records))]]
    asked = course(suite, kept, plan(suite))
    assert set(asked.needed) <= set(steps[-1].needed)
    known = {one.labels: one for one in kept}
    while not asked.ended:
        known |= {one: measured(one) for one in asked.needed if one not in known}
        asked = course(suite, list(known.values()), plan(suite))
    assert asked == steps[-1]


def test_what_is_decided_stays_decided_whatever_is_there_of_later_bases() -> None:
    """Of a full plan run before, nothing beyond a method's last look counts."""
    suite = a_suite()
    records, _ = run(suite)
    everything = [measured(one) for one in plan(suite)]
    stopped, full = (analyse(suite, some, plan(suite)) for some in (records, everything))
    pd.testing.assert_frame_equal(stopped.overall, full.overall)
    pd.testing.assert_frame_equal(stopped.paired, full.paired)
    assert full.ignored == len(everything) - len(records)


def test_looks_taken_up_after_results_are_exploratory() -> None:
    """Three bases looked at with the whole level, and then as many more as it takes."""
    plain = a_suite(bases=3, analysis={"control": "l1"})
    early = Declaration(
        design=design_of(plain, plan(plain)), date="2026-01-01T00:00", finished=0, trials=30
    )
    records, _ = run(a_suite())
    found = analyse(a_suite(), records, plan(a_suite()), [early]).footing
    (said,) = (one for one in found.exploratory if one.startswith("looks added after"))
    assert said.endswith("3, 5, 8")
    assert not found.interim


# --- failures -------------------------------------------------------------------------------------


def test_what_fails_after_a_decision_does_not_undo_it() -> None:
    """The control fails on a later base of one problem: who was told before stays told."""
    suite = a_suite()

    def how(one: Labels) -> Record:
        lost = one.method == "l1" and one.base == 4 and one.model == "m1"
        return failed(one, "out of memory") if lost else measured(one)

    records, steps = run(suite, how)
    before = analyse(suite, [one for one in records if one.labels.base < 3], plan(suite)).overall
    after = analyse(suite, records, plan(suite)).overall
    told = before["word"] == "better"
    assert list(before["method"][told]) == ["far", "same"]
    columns = ["method", "mean", "p", "word", "bases", "n_problems"]
    pd.testing.assert_frame_equal(after[columns][told], before[columns][told])
    assert steps[-1].ended


def test_a_method_that_fails_on_most_problems_does_not_go_on_for_ever() -> None:
    suite = a_suite(methods=["l1", {"criterion": "taylor", "as": "near"}])
    fails = lambda one: failed(one, "no") if one.method == "near" else measured(one)  # noqa: E731
    records, steps = run(suite, fails)
    assert len(steps) == 2
    assert steps[-1].last_look == (
        "look 1 of 3, 3 bases: 0 of 1 comparison decided (1 not compared)"
    )
    assert {one.labels.base for one in records} == {0, 1, 2}


# --- the level ------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.floats(0.001, 0.2))
def test_looks_spend_the_level_and_no_more(steps: list[int], alpha: float) -> None:
    at = list(np.cumsum(steps))
    found = looks([int(one) for one in at], alpha)
    assert sum(one.alpha for one in found) == pytest.approx(alpha, abs=1e-9)
    assert all(a.bases < b.bases for a, b in pairwise(found))
    bases = np.where(np.arange(at[-1]) < np.array(at)[:, None], 0.0, np.nan)
    assert spent(found, bases[:, None]).tolist() == [one.alpha for one in found]


def test_one_look_is_the_test_without_looks() -> None:
    cube = np.random.default_rng(0).normal(1, 1, (6, 3, 8))
    alone = a_suite(analysis={"control": "l1"})
    with_one = a_suite(analysis={"control": "l1", "looks": [8]})
    tables = [decided(cube, [Look(8, 0.05)], one, ["none"] * 6)[0] for one in (alone, with_one)]
    pd.testing.assert_frame_equal(*tables)


def test_pairs_are_held_against_the_level_of_the_look_at_which_they_stopped() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal([[[0.0]], [[1.0]], [[2.0]]], 1, (3, 2, 8))
    scores[0, :, 3:] = np.nan
    found = every_pair(scores, looks=looks([3, 5, 8], 0.05))
    differences = np.stack([scores[i] - scores[j] for i, j in ((0, 1), (0, 2), (1, 2))])
    plain = on_these_problems(differences, floor=True).p_values
    p = [plain[0] * 64 / 9, plain[1] * 64 / 9, plain[2] * 64 / 39]
    smallest = int(np.argmin(p))
    rows = [(0, 1), (0, 2), (1, 2)]
    assert found.adjusted[rows[smallest]] == pytest.approx(min(3 * p[smallest], 1))
