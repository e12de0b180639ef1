"""A problem may have budgets of its own: the report asks of it what the suite asks, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import make_suite, plan, record

from reports.analysis.analysis import analyse
from reports.analysis.cells import by_trial
from reports.analysis.results import Results
from reports.build import build_report
from reports.figures import recovery_curves, widths
from reports.figures.style import looks
from reports.page.page import render
from reports.page.tables import typeset
from reports.page.warnings import warnings
from reports.page.wording import recipes
from reports.records import Epoch, Labels, Record
from suites.schema import Suite

METHODS = ["l1", "random", "taylor", "jacobian"]
LOST = {"l1": 0.02, "random": 0.2, "taylor": 0.04, "jacobian": 0.01}  # at each halving of the MACs


def own(budgets: Sequence[float], **changes: Any) -> Suite:
    """One model at 0.7, 0.5 and 0.3, the other at budgets of its own."""
    return make_suite(
        methods=METHODS,
        models=["resnet20", {"name": "vgg-small", "budgets": {"macs": list(budgets)}}],
        **changes,
    )


def analysed(suite: Suite) -> Results:
    labels = plan(suite)
    return analyse(suite, [_record(one) for one in labels], labels)


def _record(labels: Labels) -> Record:
    assert labels.budget is not None
    top1 = 0.9 + LOST[labels.method] * np.log2(labels.budget)
    history = [Epoch(epoch=one, train_loss=1.0, validation_top1=top1) for one in (1, 2, 3)]
    kept = {"conv1": (round(100 * labels.budget), 100), "conv2": (len(labels.method), 100)}
    return record(labels, top1, history=history, widths=kept)


@pytest.fixture(scope="module")
def mixed() -> Results:
    return analysed(own([0.5, 0.3, 0.1, 0.05]))


def test_nothing_is_missing_that_nobody_asked_for(mixed: Results) -> None:
    assert mixed.budgets == {
        "resnet20 on digits": [0.7, 0.5, 0.3],
        "vgg-small on digits": [0.5, 0.3, 0.1, 0.05],
    }
    assert mixed.cells["complete"].all()
    assert not any("missing" in one or "left out" in one for one in warnings(mixed))


def test_each_problem_is_averaged_over_its_own_budgets(mixed: Results) -> None:
    averaged = by_trial(mixed.trials, mixed.cells)
    for problem, kept in mixed.budgets.items():
        # Linear in log compression, so the area is the value half way between the outer budgets.
        halfway = 0.5 * (np.log2(kept[0]) + np.log2(kept[-1]))
        points = averaged[problem, "none", "taylor"] - averaged[problem, "none", "l1"]
        np.testing.assert_allclose(points, 100 * 0.02 * halfway, rtol=1e-9)


def test_the_tightest_budget_is_each_problems_own(mixed: Results) -> None:
    least = {"resnet20 on digits": 0.3, "vgg-small on digits": 0.05}
    only = [one for one in mixed.records if one.labels.budget == least[one.labels.problem]]
    for module in (widths, recovery_curves):
        at_all = module.drawn(mixed)
        assert set(at_all["problem"]) == set(least)
        labels = [one for one in mixed.expected if one.budget == least[one.problem]]
        assert at_all.equals(module.drawn(analyse(mixed.suite, only, labels)))
        for plot in module.plots(mixed, looks(mixed.suite, METHODS)):
            assert "the tightest budget" in plot.caption


def test_the_page_tells_the_budgets_of_each_problem(mixed: Results) -> None:
    text = " ".join(render(mixed, [], typeset(mixed)).split())
    assert "70 %, 50 %, 30 % (resnet20); 50 %, 30 %, 10 %, 5 % (vgg-small)" in text
    assert "mean over 3 to 4 budgets, weighted by log compression" in text


@pytest.mark.slow
@pytest.mark.usefixtures("inkless")
def test_the_whole_report_is_written(mixed: Results, tmp_path: Path) -> None:
    """Every figure is drawn of problems with budgets of their own."""
    assert build_report(mixed.suite, mixed.records, mixed.expected, tmp_path).exists()


def test_recipes_of_a_problem_are_told_apart() -> None:
    mine = {"epochs": 3, "optimizer": "adamw", "learning_rate": 1e-4}
    suite = make_suite(models=["resnet20", {"name": "vgg-small", "recipes": {"short": mine}}])
    found = dict(recipes(suite))
    assert "SGD" in found["short (resnet20 on digits)"]
    assert "AdamW" in found["short (vgg-small on digits)"]
    assert "base-digits" in found
