"""Settings that differ by budget, and groups that are skipped: from the file to the record."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy
from inline_runs import go, measured
from pages import text_of

from bench.plan.plan import make_plan
from reports.build import build_report


@pytest.mark.usefixtures("inkless")
def test_each_budget_is_a_path_of_its_own_and_skipped_groups_leave_it_short(tmp_path: Path) -> None:
    suite = toy.suite(
        methods=[
            {"criterion": "bn_scale", "iterative": {"steps": {0.6: 1, 0.2: 3}}},
            {"criterion": "fpgm", "as": "l1"},
        ],
        budgets={"channels": [0.6, 0.2]},
        recoveries=["none"],
        selection={
            "protect": 0.0,
            "emptied": "skip",
            "by_budget": {0.2: {"layers": {"features.0": 1.0}}},
        },
    )
    plan = make_plan(suite)
    assert go(tmp_path, plan) == {"done": 4}
    assert len(list((tmp_path / "paths").glob("*.json"))) == 4
    kept = {}
    for one in toy.records(tmp_path):
        widths = measured(one).widths
        dense = sum(whole for _, whole in widths.values())
        kept[one.labels.method, one.labels.budget] = (
            sum(left for left, _ in widths.values()) / dense
        )
        if one.labels.budget == 0.2:
            assert widths["features.0"] == (32, 32)
    assert all(share >= int(budget * 448) / 448 for (_, budget), share in kept.items())
    assert kept["l1", 0.2] > 0.3, "whole layers were wanted, and stayed"
    labels = [trial.labels for trial in plan.trials]
    page = text_of(
        build_report(suite, toy.records(tmp_path), labels, tmp_path / "page").read_text()
    )
    for part in (
        "1 (at 0.6), 3 (at 0.2) linear steps",
        "At the budget 0.2: layers (features.0 1.0).",
        "loses nothing in that step, as in torch-pruning",
        "Off their budget by more than 1 % of the dense channels: 2 trials.",
    ):
        assert part in page
