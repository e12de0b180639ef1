"""Suites that cross criteria, schedules and recoveries, and records of made-up numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
from synthetic import make_suite, plan, record

from reports.records import Labels, Record
from suites.schema import Suite

SCHEDULES: dict[str, dict[str, Any]] = {
    "one-shot": {},
    "iterative": {"iterative": {"steps": 3}},
    "decay": {"procedure": {"name": "decay", "recipe": "decay"}},
}
RECOVERIES: dict[str, Any] = {
    "none": "none",
    "bn": "bn",
    "finetune": {"finetune": "short"},
    "rewind": {"rewind": "weights", "to": 0},
}
FACTORS = ["criterion", "schedule", "recovery"]


def make(
    criteria: Iterable[str] = ("l2", "taylor"),
    schedules: Iterable[str] = ("one-shot", "iterative"),
    recoveries: Sequence[str] = ("finetune", "equivalent"),
    **changes: Any,
) -> Suite:
    """Every combination, one budget and problem; `equivalent` is the methods' own finetuning."""
    methods = [
        {"criterion": criterion, "as": f"{criterion}-{schedule}", **SCHEDULES[schedule]}
        for criterion, schedule in product(criteria, schedules)
    ]
    own = [{**one, "as": f"{one['as']}-ep", "finetuning": "equivalent"} for one in methods]
    given: dict[str, Any] = {
        "models": ["m1"],
        "methods": methods + (own if "equivalent" in recoveries else []),
        "recoveries": [RECOVERIES[one] for one in recoveries if one in RECOVERIES],
        "budgets": {"macs": [0.5]},
    }
    analysis: dict[str, Any] = {"control": methods[0]["as"], "factors": FACTORS}
    return make_suite(**given | changes | {"analysis": analysis | changes.get("analysis", {})})


def labels(suite: Suite) -> list[Labels]:
    """Its plan: of a method with its own way of finetuning, only where that is done."""
    there = {cell for several in suite.crossing(suite.methods).values() for cell in several}
    return [one for one in plan(suite) if (one.recovery, one.method) in there]


def records(suite: Suite, points: Callable[[tuple[str, ...], Labels], float]) -> list[Record]:
    """Each trial loses so many points, by the levels of its combination and its labels."""
    levels_of = {
        cell: levels
        for levels, several in suite.crossing(suite.methods).items()
        for cell in several
    }
    return [
        record(one, 0.9 + points(levels_of[one.recovery, one.method], one) / 100)
        for one in labels(suite)
    ]


def plausible(suite: Suite, seed: int = 0, noise: float = 0.4) -> list[Record]:
    """Levels that differ, most by recovery; two criteria gain from steps; bases that vary."""
    rng = np.random.default_rng(seed)
    by = {"l2": -2.0, "taylor": 0.8, "jacobian": 1.2, "oba": 0.4, "iterative": 0.6, "decay": -0.3}
    by |= {"equivalent": 1.0, "rewind": -1.5, "none": -20.0}
    together = {("taylor", "iterative"): 1.1, ("oba", "decay"): -0.9}

    def points(levels: tuple[str, ...], one: Labels) -> float:
        both = sum(more for pair, more in together.items() if set(pair) <= set(levels))
        lost = -8.0 * (1 - one.budget) - 0.3 * one.base
        return lost + both + sum(by.get(each, 0.0) for each in levels) + noise * rng.normal()

    return records(suite, points)
