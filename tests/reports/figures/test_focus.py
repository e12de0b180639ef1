"""Axes on the methods that matter: what may lie outside, and that all of it is marked."""

from __future__ import annotations

from collections.abc import Sequence

import figure_records
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from reports.analysis.analysis import analyse
from reports.analysis.results import Results
from reports.figures.focus import focus, signed
from reports.figures.gallery import FIGURES, in_focus
from reports.figures.plot import Plot
from reports.figures.style import looks, publication
from reports.records import Record

POINTS = st.floats(-100, 100).map(lambda value: round(value, 3))


@given(st.lists(POINTS, min_size=1, max_size=50), st.lists(POINTS, max_size=2))
def test_the_axis_holds_what_it_must(values: list[float], held: list[float]) -> None:
    low = focus(values, *held)
    assert low in [*values, *held]
    outside = [one for one in values if one < low]
    assert len(outside) <= len(values) / 4
    assert low <= np.quantile(values, 0.25) <= np.median(values)
    assert all(low <= one for one in held)
    if outside:  # they are far from the rest, and the axis gains by it
        inside = [one for one in values if one >= low]
        assert max(outside) < np.quantile(values, 0.25) - 3
        top = max(inside + held)
        assert top - min(outside) >= 2 * (top - low)


def test_a_few_that_collapsed_are_outside_and_a_few_that_excel_never() -> None:
    rest = np.linspace(91, 93, 30)
    assert focus([*rest, 10, 12, 45]) == 91
    assert focus([*np.linspace(10, 12, 30), 90, 91, 92]) == 10
    assert focus([*rest, 90.5]) == 90.5
    assert focus([], 3.0) == 3.0
    assert focus([np.nan, 1.0, 2.0]) == 1.0


def test_no_number_has_a_sign_at_zero() -> None:
    assert [signed(one) for one in (-0.04, 0.0, -0.06, 12.34)] == ["0.0", "0.0", "−0.1", "12.3"]


def collapsed(shape: dict[str, int], methods: Sequence[int], to: float = 0.2) -> Results:
    """Some methods collapse after finetuning: their accuracy, and the curve that leads there."""
    suite = figure_records.make(**shape)
    names = [suite.method_names[place] for place in methods]

    def changed(record: Record) -> Record:
        found = record.measurements
        if found is None or record.labels.method not in names or record.labels.recovery == "none":
            return record
        top1 = to + 0.02 * names.index(record.labels.method) + 0.01 * record.labels.base
        top1 = min(top1, 1.0)
        history = [one.model_copy(update={"validation_top1": top1}) for one in found.history]
        pruned = found.pruned.model_copy(update={"top1": top1})
        changes = {"pruned": pruned, "history": history}
        return record.model_copy(update={"measurements": found.model_copy(update=changes)})

    made = [changed(one) for one in figure_records.records(suite)]
    return analyse(suite, made, figure_records.plan(suite))


def plots(results: Results, name: str) -> list[Plot]:
    with publication():
        return list(FIGURES[name](results, looks(results.suite, in_focus(results))))


def marks(ax: Axes, marker: str) -> int:
    """Triangles at the edge: they alone are drawn over the frame."""
    return sum(line.get_marker() == marker and not line.get_clip_on() for line in ax.lines)


@pytest.fixture(scope="module")
def many() -> Results:
    return collapsed({"methods": 14, "budgets": 2, "models": 1}, (3, 5, 12))


@pytest.fixture(scope="module")
def single() -> Results:
    return collapsed({"methods": 9, "budgets": 1, "models": 2}, (3, 5))


@pytest.mark.parametrize(
    ("name", "marked"),
    [("accuracy_cost", 6), ("recovery_curves", 30), ("score_cost", 3)],
)
def test_curves_and_points_far_below_stand_at_the_edge(
    many: Results, name: str, marked: int
) -> None:
    (plot,) = plots(many, name)
    ax = plot.figure.axes[-1]  # after finetuning
    assert ax.get_ylim()[0] > 50 or name == "score_cost"
    assert marks(ax, "v") == marked
    texts = {one.get_text() for one in ax.texts}
    expected = {"21.0–25.0"} if name != "score_cost" else set()
    assert expected <= texts
    if name == "score_cost":
        assert sum("(−" in one for one in texts) == 3
    assert "Triangles" in plot.caption


@pytest.mark.parametrize("name", ["accuracy", "paired_differences"])
def test_rows_far_below_stand_at_the_edge_in_panels_of_their_own_order(
    single: Results, name: str
) -> None:
    (plot,) = plots(single, name)
    gone = {single.suite.method_names[i] for i in (3, 5)}
    orders = set()
    for ax in plot.figure.axes:
        rows = [one.get_text() for one in ax.get_yticklabels()]
        means = {}
        for line in ax.lines:
            places = np.asarray(line.get_xydata())
            if len(places) == 1 and line.get_markersize() == 4.2:
                means[rows[int(places[0, 1])]] = float(places[0, 0])
        assert [means[one] for one in rows] == sorted(means.values(), reverse=True)
        left = ax.get_xlim()[0]
        outside = {one for one, mean in means.items() if mean < left}
        edge = {rows[int(line.get_ydata()[0])] for line in ax.lines if line.get_marker() == "<"
                and not line.get_clip_on()}  # fmt: skip
        assert outside <= edge
        assert outside == (gone if "finetune" in ax.get_title(loc="left") else set())
        assert len([one for one in ax.texts if one.get_text()[-1].isdigit()]) == len(outside)
        orders.add(tuple(rows))
    assert len(orders) > 1


@pytest.mark.parametrize("name", ["accuracy", "paired_differences", "accuracy_cost"])
def test_it_takes_three_bases_to_draw_an_interval(name: str) -> None:
    budgets = 2 if name == "accuracy_cost" else 1
    for bases in (1, 2, 3):
        results = collapsed({"methods": 4, "budgets": budgets, "models": 1, "bases": bases}, ())
        (plot,) = plots(results, name)
        means = plot.data[plot.data["method"] != "dense"]
        assert means["low"].notna().all() == means["high"].notna().all() == (bases == 3)
        assert ("So few bases have no interval" in plot.caption) == (bases == 2)


def test_nothing_is_drawn_beyond_what_accuracies_can_be() -> None:
    """Near 100 % and near chance, where three bases give wide intervals."""
    for to in (0.0, 0.995):
        results = collapsed({"methods": 12, "budgets": 2, "models": 1}, range(12), to)
        dense = results.dense["dense_top1"].mean()
        data = plots(results, "accuracy_cost")[0].data
        assert data[["top1", "low", "high"]].stack().between(0, 100).all()
        for plot in plots(results, "score_cost"):
            ends = plot.data[["low", "high"]].stack()
            assert ends.between(-dense - 1e-9, 100 - dense + 1e-9).all()
