"""The default analysis over problems, from records: blocks, failures, gaps, noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from synthetic import make_suite, plan, record

from reports import statistics
from reports.analysis.analysis import analyse
from reports.analysis.results import Results
from reports.page.warnings import warnings
from reports.records import Labels, Record
from suites.schema import Suite

GAIN = {"l1": 0.0, "taylor": 0.05, "obd": 0.02, "random": -0.06}


def suite_of(problems: int, **changes: Any) -> Suite:
    return make_suite(
        **{
            "models": [f"m{i}" for i in range(problems)],
            "methods": list(GAIN),
            "recoveries": ["none"],
            "bases": 2,
            "repeats": 2,
        }
        | changes
    )


def scored(one: Labels) -> float:
    """A share that differs by problem, base, repeat and budget, in ways that never cancel."""
    jitter = (hash_of(one) % 1009) / 1009 - 0.5
    return 0.6 + GAIN[one.method] + 0.1 * (one.budget or 0) + 0.01 * jitter


def hash_of(one: Labels) -> int:
    text = f"{one.problem}{one.method}{one.base}{one.repeat}{one.budget}"
    return sum((i + 7) * ord(letter) ** 2 for i, letter in enumerate(text))


def made(suite: Suite, outcome: Callable[[Labels], Record | None]) -> Results:
    found = [outcome(one) for one in plan(suite)]
    return analyse(suite, [one for one in found if one is not None], plan(suite))


def whole(one: Labels) -> Record:
    return record(one, scored(one))


def test_ranking_is_the_statistics_of_problem_scores() -> None:
    suite = suite_of(9)
    results = made(suite, whole)
    found = results.ranking["none"]
    assert found.methods == tuple(GAIN)
    assert found.scores.shape == (9, 4)  # of 9 x 4 x 3 budgets x 2 bases x 2 repeats trials
    kept = suite.budgets.kept
    weights = dict(zip(kept, statistics.budget_weights(kept), strict=True))
    trials = results.trials
    mine = trials[(trials["problem"] == "m3 on digits") & (trials["method"] == "obd")]
    by_hand = sum(weights[b] * rows["retained_top1"].mean() for b, rows in mine.groupby("budget"))
    assert found.scores[3, 2] == pytest.approx(by_hand)
    assert found.pairwise is not None
    bases = np.array([results.averaged["m3 on digits", "none", one].mean(axis=1) for one in GAIN])
    assert found.scores[3] == pytest.approx(bases.mean(axis=1))
    assert (found.left_out, found.waiting, found.failed) == ((), (), ())


def test_what_has_not_run_is_no_failure() -> None:
    def outcome(one: Labels) -> Record | None:
        not_run = one.method == "random" or (one.method == "obd" and one.model in ("m1", "m2"))
        return None if not_run else whole(one)

    results = made(suite_of(6), outcome)
    found = results.ranking["none"]
    assert found.waiting == ("random",)
    assert found.methods == ("l1", "taylor", "obd")
    assert found.left_out == (
        ("m1 on digits", "not finished: obd"),
        ("m2 on digits", "not finished: obd"),
    )
    assert found.problems == tuple(f"m{i} on digits" for i in (0, 3, 4, 5))
    assert found.failed == ()
    over = results.overall.set_index("method")
    assert list(over["failed"]) == ["", "", ""]
    assert over.loc["taylor", "n_problems"] == 6  # a pair waits for nobody else


def test_nothing_has_run() -> None:
    results = made(suite_of(3), lambda _: None)
    found = results.ranking["none"]
    assert (found.methods, found.waiting, found.pairwise) == ((), tuple(GAIN), None)
    assert results.noise.empty
    assert results.overall["p"].isna().all()


def test_noise_by_hand() -> None:
    suite = suite_of(1, methods=["l1", "taylor"], budgets={"macs": [0.5]})
    # Bases at 70 and 72 %, repeats one point around them.
    tops = {(0, 0): 0.69, (0, 1): 0.71, (1, 0): 0.71, (1, 1): 0.73}
    results = made(suite, lambda one: record(one, tops[one.base, one.repeat]))
    row = results.noise.set_index("method").loc["l1"]
    # Repeats: variance 2. Base means 70 and 72: 2 = base + 2 / 2.
    assert row["repeat_sd"] ** 2 == pytest.approx(2)
    assert row["base_sd"] ** 2 == pytest.approx(1)
    assert row["aa_sd"] == pytest.approx(np.sqrt(2 * 2 / 4))
    assert "differs from itself by up to 1.00 points" in "\n".join(warnings(results))


def test_thresholds_of_a_knob_are_averaged_plainly() -> None:
    suite = suite_of(2, methods=["l1", "rgd"], budgets={"threshold": [0.9, 0.5, 0.4]}, bases=1)
    level = {0.9: 0.9, 0.5: 0.6, 0.4: 0.0}
    found = [
        record(one, level[one.budget or 0], macs=500_000, params=50_000) for one in plan(suite)
    ]
    results = analyse(suite, found, plan(suite))
    assert results.ranking["none"].scores == pytest.approx(50.0 - 90.0)
