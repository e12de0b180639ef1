"""The figures of a report: which are drawn, what they are called, and what is said beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from . import accuracy_cost, paired_differences, score_cost
from .style import looks, publication, save

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis import Results

COSTS = {
    "macs": "MACs kept (%)",
    "params": "parameters kept (%)",
    "channels": "channels kept (%)",
    "weights": "weights kept (%)",
    "latency": "latency kept (%)",
}


@dataclass(frozen=True)
class Drawing:
    """A figure on disk and what the page says about it."""

    name: str
    svg: Path
    title: str
    caption: str
    alt: str


def gallery(results: Results, folder: Path, names: Sequence[str] | None = None) -> list[Drawing]:
    """Write every figure that the finished trials allow; none where no cell is complete."""
    if not results.cells["complete"].any():
        return []
    with publication():
        found = list(_drawings(results, folder))
    return [one for one in found if names is None or one.name in names]


def _drawings(results: Results, folder: Path) -> Iterator[Drawing]:
    plain = results.cells[results.cells["matched_to"].isna()]
    if plain["complete"].any():
        yield _accuracy_cost(results, plain, folder, "accuracy_cost", "Accuracy against cost")
    finished = set(results.paired.loc[results.paired["mean"].notna(), "family"])
    if "control" in finished:
        yield _paired_differences(results, folder, "control")
    quality = score_cost.drawn(plain)
    if len(quality):
        yield _score_cost(results, quality, folder)
    matched = [one.name for one in results.suite.methods if one.matched]
    cells = results.cells[
        results.cells["matched_to"].notna() | results.cells["method"].isin(matched)
    ]
    if matched and cells["complete"].any():
        title = "The same layer widths, other channels"
        if results.suite.budgets.unstructured:
            title = "As many weights of each layer, but others"
        yield _accuracy_cost(results, cells, folder, "accuracy_cost_matched", title)
    if "matched" in finished:
        yield _paired_differences(results, folder, "matched")


def _accuracy_cost(
    results: Results, cells: pd.DataFrame, folder: Path, name: str, title: str
) -> Drawing:
    cost = results.suite.analysis.cost.removesuffix("_ratio")
    instead = ""
    if cells[f"{cost}_ratio"].isna().all():
        instead = f" {cost.capitalize()} was not measured."
        cost = "params" if results.suite.budgets.cost == "params" else "macs"
    # Where the axis is the budget's own, all methods stand at one cost and would hide each other.
    dodge = cost == results.suite.budgets.cost
    data = accuracy_cost.drawn(cells, results.dense, cost, dodge)
    theoretical = results.suite.budgets.unstructured and cost == "macs"
    label = "theoretical MACs kept (%)" if theoretical else COSTS[cost]
    apart = " Methods of one budget are drawn a little apart." if dodge else ""
    bars = (
        f"thin bars: {_level(results)} t-interval over the {results.suite.bases} bases"
        if results.suite.bases > 1
        else "one base, so no intervals"
    )
    caption = (
        f"Mean test top-1; {bars}. Long bars may leave the panel. Dashed grey: the dense networks "
        f"with one standard deviation over bases.{apart} The panels have scales "
        f"of their own.{instead}"
    )
    return finish(
        accuracy_cost.draw(data, looks(results.suite), label),
        data,
        folder,
        Drawing(
            name,
            folder,
            title,
            caption,
            f"Lines of test top-1 against {label} for "
            f"{', '.join(cells['method'].unique())}, by problem and recovery.",
        ),
    )


def _paired_differences(results: Results, folder: Path, family: str) -> Drawing:
    data = paired_differences.drawn(results.paired, results.overall, family)
    control = results.suite.analysis.control
    other = control if family == "control" else "its matched control"
    figure = paired_differences.draw(
        data,
        looks(results.suite),
        results.suite.analysis.rope,
        results.problems,
        results.recoveries,
        f"method − {other} (points)",
    )
    caption = (
        "Retained top-1, averaged over budgets, method minus "
        f"{other}: right of zero is better than {other}. Bars: {_level(results)} t-interval over "
        "bases, true of that problem only; an arrow marks a bar that leaves the panel. Shaded: "
        f"differences below {results.suite.analysis.rope:g} points, which the suite calls equal."
    )
    name = "paired_differences" + ("_matched" if family == "matched" else "")
    title = f"Differences to {control if family == 'control' else 'matched controls'}"
    alt = f"Forest plot of each method minus {other}, by problem and recovery."
    return finish(figure, data, folder, Drawing(name, folder, title, caption, alt))


def _score_cost(results: Results, data: pd.DataFrame, folder: Path) -> Drawing:
    figure = score_cost.draw(data, looks(results.suite), results.problems, results.recoveries)
    caption = (
        "Seconds of scoring, as if the criterion had run alone, against retained top-1 averaged "
        "over budgets. Up and to the left is better; on the dashed front no other method is both "
        "faster and better. Times below 1 ms stand at 1 ms. Means without intervals: see above."
    )
    alt = "Scatter of scoring time against retained top-1, one labelled point a method."
    drawing = Drawing("score_cost", folder, "Quality against scoring time", caption, alt)
    return finish(figure, data, folder, drawing)


def finish(figure: Figure, data: pd.DataFrame, folder: Path, drawing: Drawing) -> Drawing:
    svg = save(figure, data, folder, drawing.name)
    alt = f"{drawing.alt} The numbers are in figures/{drawing.name}.csv."
    return Drawing(drawing.name, svg, drawing.title, drawing.caption, alt)


def _level(results: Results) -> str:
    return f"{100 * (1 - results.suite.analysis.alpha):g} %"
