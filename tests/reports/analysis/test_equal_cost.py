"""Differences at equal parameters, where budgets hold MACs equal."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import make_suite, plan, record

from reports.analysis.analysis import analyse
from reports.analysis.results import Results
from reports.page.method_tables import equal_cost_table
from reports.records import Labels
from suites.schema import Suite


def suite_of(**changes: object) -> Suite:
    return make_suite(
        models=["m0", "m1"],
        methods=["l1", {"criterion": "taylor", "as": "a"}],
        recoveries=["none"],
        **{"budgets": {"macs": [0.8, 0.4, 0.2]}} | changes,
    )


def share(one: Labels) -> float:
    """At equal MACs, `a` keeps half as many parameters."""
    assert one.budget is not None
    return one.budget * (0.5 if one.method == "a" else 1.0)


def made(suite: Suite) -> Results:
    """Accuracy falls with the log of the parameters kept, alike for both but for half a point."""

    def outcome(one: Labels) -> object:
        extra = 0.005 if one.method == "a" else 0.0
        jitter = 0.001 * np.sin(one.base * 7 + len(one.model) + (one.method == "a"))
        top1 = 0.9 + 0.2 * np.log(share(one)) + extra + jitter
        return record(one, top1, 0.95, params=round(100_000 * share(one)))

    return analyse(suite, [outcome(one) for one in plan(suite)], plan(suite))  # type: ignore[misc]


def test_what_is_ahead_only_by_keeping_more_is_not_at_equal_parameters() -> None:
    results = made(suite_of())
    row = results.equal_cost.iloc[0]
    at_macs = results.overall.iloc[0]
    # At equal MACs `a` loses 20 log(2) points, but for its half point.
    assert at_macs["mean"] == pytest.approx(0.5 - 20 * np.log(2), abs=0.15)
    assert row["mean"] == pytest.approx(0.5, abs=0.15)
    assert row["low"] < row["mean"] < row["high"]
    # l1 keeps 20 to 80 % of the parameters, a 10 to 40 %.
    assert (row["share_low"], row["share_high"]) == pytest.approx((0.2, 0.4), abs=1e-6)
    assert (row["cost"], row["n_problems"]) == ("params", 2)
    table = equal_cost_table(results, "none")
    assert table is not None
    assert "20 to 40 %" in table.markdown


def test_without_a_common_stretch_there_is_nothing() -> None:
    one_budget = made(suite_of(budgets={"macs": [0.5]}))
    assert one_budget.equal_cost.empty
    assert equal_cost_table(one_budget, "none") is None
    apart = made(suite_of(budgets={"macs": [0.8, 0.5]}))  # 50 to 80 and 25 to 40 %
    assert apart.equal_cost.empty
