"""The figures of a comparison: what is drawn, where, and when nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import crossed
import figure_records
import matplotlib
import matplotlib.gridspec
import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.analysis.analysis import analyse
from reports.analysis.results import Results
from reports.figures import accuracy_cost, pareto
from reports.figures.captions import over_budgets
from reports.figures.gallery import FEW, FIGURES, LOUD, gallery, in_focus
from reports.figures.plot import Plot, settle, write
from reports.figures.similarity import mean_agreement, similarity_plot
from reports.figures.style import CONTROL_COLOUR, looks, publication

A_PAGE = 10.0  # inches of an A4 page between its margins


def analysed(**shape: int) -> Results:
    suite = figure_records.make(**shape)
    return analyse(suite, figure_records.records(suite), figure_records.plan(suite))


@pytest.fixture(scope="module")
def crowd() -> Results:
    """More methods than are coloured."""
    return analysed(methods=12, budgets=2, models=2, bases=8)


@pytest.fixture(scope="module")
def small() -> Results:
    """One problem with bases and repeats."""
    return analysed(methods=4, budgets=2, models=1, bases=3, repeats=2)


def plots(results: Results, name: str | None = None) -> Iterator[Plot]:
    with publication():
        shown = looks(results.suite, in_focus(results))
        for one, made in FIGURES.items():
            if name in (None, one):
                yield from made(results, shown)


def labels(figure: Figure) -> list[Text]:
    """Every text that a reader sees, without those inside matrices."""
    found = [*figure.findobj(Text)]
    return [one for one in found if one.get_visible() and one.get_text().strip()]


def shown_ticks(ax: Axes) -> list[Text]:
    """Tick labels within the limits of their axis; matplotlib keeps others without drawing them."""
    texts = []
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks()]
        places = axis.get_majorticklocs()
        texts += [
            text
            for tick, place in zip(ticks, places, strict=False)
            if low <= place <= high
            for text in (tick.label1, tick.label2)
            if axis.get_visible() and text.get_visible() and text.get_text()
        ]
    return texts


def seen(figure: Figure) -> list[Text]:
    every = {id(one) for ax in figure.findobj(Axes) for tick in
             (*ax.xaxis.get_major_ticks(), *ax.yaxis.get_major_ticks(),
              *ax.xaxis.get_minor_ticks(), *ax.yaxis.get_minor_ticks())
             for one in (tick.label1, tick.label2)}  # fmt: skip
    ticks = [text for ax in figure.findobj(Axes) if ax.get_visible() for text in shown_ticks(ax)]
    hidden = {id(one) for ax in figure.axes if not ax.get_visible() for one in ax.findobj(Text)}
    rest = [one for one in labels(figure) if id(one) not in every | hidden]
    return ticks + rest


@pytest.mark.parametrize("name", ["accuracy_cost", "rank_diagram", "score_cost"])
def test_no_text_leaves_a_crowded_figure(crowd: Results, name: str) -> None:
    assert all_fits(crowd, name) == [name]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(25, 5, 3), (40, 1, 1), (12, 3, 6)])
def test_no_text_leaves_any_figure(shape: tuple[int, int, int]) -> None:
    methods, budgets, models = shape
    drawn = all_fits(analysed(methods=methods, budgets=budgets, models=models))
    assert len(drawn) == len(set(drawn)) >= len(FIGURES) - 5


def all_fits(results: Results, name: str | None = None) -> list[str]:
    """Names of the figures, after a look at every text: inside, and clear of every other."""
    drawn = []
    for plot in plots(results, name):
        with publication():
            settle(plot.figure)
            plot.figure.draw_without_rendering()  # which puts a legend's texts in their places
        renderer = FigureCanvasAgg(plot.figure).get_renderer()
        boxes = [(one.get_text(), one.get_window_extent(renderer)) for one in seen(plot.figure)]
        width, height = plot.figure.bbox.size
        for text, box in boxes:
            inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1
            assert inside, f"{plot.name}: {text!r} at {box} leaves {width} x {height}"
        slack = -1.5  # pixels of 200 dpi: boxes hold the room above and below letters
        for (one, a), (other, b) in combinations(boxes, 2):
            assert not a.padded(slack).overlaps(b.padded(slack)), f"{plot.name}: {one!r}, {other!r}"
        drawn.append(plot.name)
    return drawn


def test_a_last_digit_of_the_layout_is_not_drawn(
    crowd: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.12 adds floats up more exactly, and the name of a clip is a hash of all digits."""
    files = []
    for side in (-np.inf, np.inf):
        add = partial(lambda of, way: np.nextafter(sum(of), way), way=side)
        monkeypatch.setattr(matplotlib.gridspec, "sum", add, raising=False)
        (plot,) = plots(crowd, "accuracy_cost")
        files.append(write(plot, tmp_path).svg.read_bytes())
    assert files[0] == files[1]


CROSSINGS: dict[str, dict[str, Any]] = {
    "4 x 3 x 3": {"criteria": ["l2", "taylor", "jacobian", "oba"], "bases": 5,
                  "schedules": ["one-shot", "iterative", "decay"],
                  "recoveries": ["finetune", "equivalent", "rewind"]},
    "2 x 2": {"recoveries": ["none"], "analysis": {"factors": ["schedule", "criterion"]}},
    "long names": {"criteria": ["gate_decorator", "dhspg_saliency", "hessian_diag", "bn_scale"]},
    "two bases": {"bases": 2},
}  # fmt: skip


@pytest.mark.parametrize("shape", CROSSINGS.values(), ids=CROSSINGS)
def test_factors_fit_and_show_every_combination_and_term(shape: dict[str, Any]) -> None:
    suite = crossed.make(**shape)
    results = analyse(suite, crossed.plausible(suite), crossed.labels(suite))
    assert all_fits(results, "factorial") == ["factorial"]
    (plot,) = plots(results, "factorial")
    factors = suite.analysis.factors
    cells, terms = plot.data[plot.data["term"].isna()], plot.data[plot.data["term"].notna()]
    whole = results.cells.set_index(["recovery", "method"])["retained_top1"]
    of = {levels: whole[cell] for levels, (cell,) in suite.crossing(suite.methods).items()}
    drawn = cells.set_index(factors)["mean"].to_dict()
    assert drawn == pytest.approx(of)
    assert cells["low"].notna().all() == (suite.bases > 2)
    assert terms["share"].sum() == pytest.approx(100)
    *panels, below = [ax for ax in plot.figure.axes if ax.get_visible()]
    assert len(panels) == (cells[factors[2]].nunique() if len(factors) > 2 else 1)
    shown = [y for ax in panels for line in ax.get_lines() for y in np.asarray(line.get_ydata())]
    assert sorted(shown) == pytest.approx(sorted(of.values()))
    assert len(below.patches) == len(terms)


def test_factors_without_a_whole_base_are_not_drawn() -> None:
    suite = crossed.make()
    results = analyse(suite, crossed.plausible(suite)[1:], crossed.labels(suite))
    assert list(plots(results, "factorial")) == []
    alike = crossed.records(suite, lambda levels, one: -1.0)
    assert list(plots(analyse(suite, alike, crossed.labels(suite)), "factorial")) == []


def test_every_plot_says_n_and_describes_itself(small: Results) -> None:
    for plot in plots(small):
        assert any(part in plot.caption for part in ("n = ", "n stands", "bases per problem"))
        assert len(plot.alt) > 30
        assert len(plot.data), plot.name


def test_captions_say_what_became_of_the_budgets(small: Results) -> None:
    single = analysed(methods=3, budgets=1, models=1, bases=1)
    assert over_budgets(single) == "at 80 % of MACs"
    assert over_budgets(small) == "averaged over 2 budgets"
    knob = SimpleNamespace(budgets=SimpleNamespace(cost="threshold"))
    several = SimpleNamespace(budgets={"a": [0.5, 0.1], "b": [0.5, 0.2, 0.1]}, suite=knob)
    assert over_budgets(cast("Results", several)) == "averaged over 2–3 thresholds"
    for plot in [*plots(single), *plots(small)]:
        said = " ".join(
            [plot.title, plot.caption, plot.alt, *map(Text.get_text, seen(plot.figure))]
        )
        for word in (
            "retained",
            "area under",
            "1 budgets",
            "1 bases",
            "1 repeats",
            "-0.0",
            "−0.0 ",
        ):
            assert word not in said, f"{plot.name}: {word}"


def test_a_method_looks_the_same_everywhere(crowd: Results) -> None:
    shown = looks(crowd.suite, in_focus(crowd))
    assert set(shown) == set(crowd.suite.method_names)
    assert shown["l1"].colour == CONTROL_COLOUR
    loud = [one for one in shown.values() if not one.quiet]
    assert len(loud) == LOUD + 1
    assert len({one.colour for one in loud}) == len({one.marker for one in loud}) == LOUD + 1
    grey = [one for one in shown.values() if one.quiet]
    assert len({one.colour for one in grey}) == 1
    few = analysed(methods=FEW, budgets=2, models=1)
    assert not any(one.quiet for one in looks(few.suite, in_focus(few)).values())


def test_the_best_are_in_focus(crowd: Results) -> None:
    cells = crowd.cells.groupby(["recovery", "method"])["retained_top1"].mean()
    best = {cells[recovery].idxmax() for recovery in crowd.recoveries}
    assert best | {"l1"} <= set(in_focus(crowd))


def test_colours_differ_in_grey(crowd: Results) -> None:
    """No two coloured methods share lightness and marker; the control is the darkest."""
    shown = [one for one in looks(crowd.suite, in_focus(crowd)).values() if not one.quiet]
    light = {one.marker: np.dot(matplotlib.colors.to_rgb(one.colour), [0.3, 0.59, 0.11])
             for one in shown}  # fmt: skip
    assert len(light) == len(shown)
    assert min(light, key=lambda marker: float(light[marker])) == "o"


def test_the_csv_holds_what_is_drawn(small: Results, tmp_path: Path) -> None:
    (plot,) = plots(small, "accuracy_cost")
    (drawing,) = gallery(small, tmp_path, ["accuracy_cost"])
    written = pd.read_csv(drawing.svg.with_suffix(".csv"))
    pd.testing.assert_frame_equal(written, plot.data, check_dtype=False)
    lines = [
        tuple(np.round(point, 9))
        for ax in plot.figure.axes
        for line in ax.lines
        if line.get_marker() not in ("None", "")
        for point in line.get_xydata()
    ]
    rows = written[written["method"] != accuracy_cost.DENSE]
    expected = [tuple(np.round(row, 9)) for row in rows[["cost_percent", "top1"]].to_numpy()]
    assert sorted(lines) == sorted(expected)


def test_means_and_pairs_are_those_of_the_analysis(crowd: Results) -> None:
    (plot,) = plots(crowd, "rank_diagram")
    for recovery, rows in plot.data.groupby("recovery"):
        found = crowd.ranking[str(recovery)]
        expected = dict(zip(found.methods, found.scores.mean(axis=0), strict=True))
        assert dict(zip(rows["method"], rows["mean"], strict=True)) == expected
        assert rows["mean"].is_monotonic_decreasing
        bars = rows["bars"].str.split().explode().dropna().reset_index()
        runs = [set(rows["method"][of_bar["index"]]) for _, of_bar in bars.groupby("bars")]
        assert sorted(map(sorted, runs)) == sorted(
            sorted(found.methods[place] for place in clique) for clique in found.cliques
        )
        for _, of_bar in bars.groupby("bars"):  # no bar runs over a method that is not under it
            assert np.ptp(of_bar["index"]) == len(of_bar) - 1


def test_what_tells_nothing_apart_is_not_drawn() -> None:
    """No diagram of one bar over everything."""
    results = analysed(methods=4, budgets=2, models=4, bases=3)
    assert [one.name for one in plots(results, "rank_diagram")] == ["rank_diagram"]
    blind = {}
    for recovery, ranks in results.ranking.items():
        assert ranks.pairwise is not None
        none = replace(ranks.pairwise, adjusted=np.ones_like(ranks.pairwise.adjusted))
        every = (tuple(range(len(ranks.methods))),)
        blind[recovery] = replace(ranks, pairwise=none, cliques=every)
    assert not [*plots(replace(results, ranking=blind), "rank_diagram")]


@pytest.mark.slow
def test_of_45_methods_rows_show_all_and_no_other_figure_is_higher_than_a_page() -> None:
    crowded = analysed(methods=45, budgets=2, models=2, bases=8)
    found = {one.name: one.figure for one in plots(crowded)}
    for ax in found.pop("paired_differences").axes:
        assert len(ax.get_yticklabels()) == 44  # but for the control
    assert "rank_diagram" in found
    high = {name: figure.get_figheight() for name, figure in found.items()}
    assert {name: inches for name, inches in high.items() if inches > A_PAGE} == {}


def test_pareto_front_by_brute_force(crowd: Results) -> None:
    data = pareto.drawn(crowd, "score_s")
    for _, panel in data.groupby(["problem", "recovery"]):
        for row in panel.to_dict("records"):
            beaten = (panel["score_s"] <= row["score_s"]) & (
                panel["retained_top1"] >= row["retained_top1"]
            )
            better = (panel["score_s"] < row["score_s"]) | (
                panel["retained_top1"] > row["retained_top1"]
            )
            assert row["pareto"] == (not (beaten & better).any())


def test_like_columns_stand_together_and_the_tree_joins_neighbours() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40))
    table = pd.DataFrame({"a": one, "flat": 0.0, "b": other, "c": 2 * one, "d": -other})
    matrix = mean_agreement([table.corr("spearman")])
    order = list(matrix.index)
    assert abs(order.index("a") - order.index("c")) == 1
    assert abs(order.index("b") - order.index("d")) == 1
    assert matrix.loc["flat"].isna().all()  # it ranks nothing
    assert order[-1] == "flat"
    with publication():
        figure = similarity_plot(matrix)
    branches = figure.axes[0].child_axes[0].collections[0].get_segments()
    assert len(branches) == 3
    assert "flat (constant)" in {one.get_text() for one in figure.findobj(Text)}
    for branch in branches:  # up, across, down
        assert branch[1][1] == branch[2][1] >= max(branch[0][1], branch[3][1])


def test_nothing_is_drawn_that_says_nothing(tmp_path: Path) -> None:
    names = {one.name for one in plots(analysed(methods=3, budgets=1, models=1, bases=1))}
    assert "accuracy" in names
    assert not names & {"accuracy_cost", "rank_diagram"}
    whole = analysed(methods=3, budgets=2, models=1)
    quiet = replace(whole, records=[], trials=whole.trials.assign(images_trained=0))
    names = {one.name for one in plots(quiet)}
    assert "accuracy" not in names
    assert not names & {"recovery_curves", "training_cost", "widths-resnet20-on-digits"}
    nothing = analyse(whole.suite, [], figure_records.plan(whole.suite))
    assert gallery(nothing, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_figures_are_asked_for_by_name(small: Results, tmp_path: Path) -> None:
    found = gallery(small, tmp_path, ["score_cost"])
    assert [one.name for one in found] == ["score_cost"]
    assert {path.stem for path in tmp_path.iterdir()} == {"score_cost"}
    with pytest.raises(ValueError, match="'frogs'; there are accuracy_cost"):
        gallery(small, tmp_path, ["frogs"])


def test_scoring_time_in_which_methods_do_not_differ_is_not_drawn() -> None:
    """All below the millisecond at which the axis begins, or one of them above it."""
    for seconds, drawn in ((1e-5, 0), (2e-3, 1)):
        suite = synthetic.make_suite(
            methods=["l1", "taylor"], models=["resnet20"], recoveries=["none"]
        )
        spent = {"l1": 1e-5, "taylor": seconds}
        found = [
            synthetic.record(one, 0.6 + 0.01 * one.base, score_s=spent[one.method])
            for one in synthetic.plan(suite)
        ]
        results = analyse(suite, found, synthetic.plan(suite))
        assert len(list(plots(results, "score_cost"))) == drawn
