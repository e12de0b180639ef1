"""Which suites are factorial: levels follow from methods and recoveries, all combinations once."""

from __future__ import annotations

from itertools import product
from typing import Any

import crossed
import pytest

from suites import expand

METHODS: list[Any] = [
    "l2",
    {"criterion": "l2", "iterative": {"steps": 3}},
    "taylor",
    {"criterion": "taylor", "iterative": {"steps": 3}},
]
TWO: dict[str, Any] = {"analysis": {"control": "l2", "factors": ["criterion", "schedule"]}}
TWO |= {"methods": METHODS, "recoveries": ["none"]}


def test_levels_follow_from_the_suite() -> None:
    suite = crossed.make(
        ["l2", "taylor"], ["one-shot", "iterative", "decay"], ["finetune", "equivalent", "rewind"]
    )
    found = suite.crossing(suite.methods)
    levels = [["l2", "taylor"], ["one-shot", "iterative", "decay"]]
    assert set(found) == set(product(*levels, ["finetune", "equivalent", "rewind"]))
    assert found["taylor", "decay", "equivalent"] == [("finetune-short", "taylor-decay-ep")]
    assert found["l2", "one-shot", "rewind"] == [("rewind-weights-0", "l2-one-shot")]
    # They are all that a plan has trials of.
    trials = {(case.recovery.name, case.method_name) for case in expand(suite)}
    assert trials == {cell for (cell,) in found.values()}


def test_matched_controls_are_no_combinations() -> None:
    methods = [{"criterion": "l2", "matched": ["random"]}, *METHODS[1:]]
    suite = crossed.make(**TWO | {"methods": methods})
    assert len(suite.crossing(suite.methods)) == len(METHODS)


def test_a_procedure_with_steps_is_the_procedure() -> None:
    both = {**crossed.SCHEDULES["iterative"], **crossed.SCHEDULES["decay"]}
    methods = ["l2", {"criterion": "l2", "as": "l2-b", **both}, "taylor",
               {"criterion": "taylor", "as": "taylor-b", **both}]  # fmt: skip
    suite = crossed.make(**TWO | {"methods": methods})
    assert {schedule for _, schedule in suite.crossing(suite.methods)} == {"one-shot", "decay"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": METHODS[:3]},
         "analysis.factors: taylor × iterative is no method; each combination of levels takes one "
         "method under one recovery"),
        ({"methods": [*METHODS, {"criterion": "l2", "as": "again"}]},
         "analysis.factors: l2 × one-shot is l2 under none and again under none;"),
        ({"recoveries": ["none", "bn"]},
         "analysis.factors: l2 × one-shot is l2 under none and l2 under bn;"),
        ({"methods": ["l2", "taylor"]},
         "analysis.factors: a factor has one level, one-shot, and no effect"),
        ({"analysis": {"factors": ["criterion"]}},
         "analysis.factors = ['criterion']: give two or three, each once"),
        ({"analysis": {"factors": ["criterion", "criterion"]}}, "give two or three, each once"),
        ({"analysis": {"factors": ["criterion", "budget"]}}, "analysis.factors.1"),
        ({"models": [{"name": "m1", "methods": {"l2": {"criterion": "l1"}}}]},
         "analysis.factors: a model's `methods` give some other levels there"),
    ],
)  # fmt: skip
def test_what_is_no_full_crossing_is_refused(changes: dict[str, Any], said: str) -> None:
    analysis = TWO["analysis"] | changes.get("analysis", {})
    with pytest.raises(ValueError) as error:  # noqa: PT011
        crossed.make(**TWO | changes | {"analysis": analysis})
    assert said in " ".join(str(error.value).split())


def test_without_factors_nothing_is_asked_of_a_suite() -> None:
    rules = {"control": "l2", "factors": []}
    assert crossed.make(**TWO | {"analysis": rules, "methods": METHODS[:3]}).methods
