"""Recovery over its epochs: how fast methods come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import MaxNLocator

from .blocks import at_the_tightest
from .panels import entries, grid, legend, name_axes
from .plot import Plot
from .style import Look, in_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..analysis.results import Results


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Of recoveries with two epochs or more, at the tightest budget."""
    data = drawn(results)
    if data.empty:
        return
    banded = _banded(data, looks, results.suite.analysis.control)
    n = results.suite.bases * results.suite.repeats
    spread = f"Bands, of {', '.join(banded)}: one standard deviation over these networks."
    yield Plot(
        "recovery_curves",
        draw(data, looks, banded),
        data,
        "Recovery over epochs",
        f"Validation top-1 after each epoch of recovery {at_the_tightest(results)}; mean of n = "
        f"{n} network{'s' if n > 1 else ''} a method and problem. "
        f"{spread if n > 1 else 'One network, so no spread.'} Validation, not test: nothing is "
        "chosen by it.",
        "Curves of validation top-1 over epochs of recovery, a line a method, by problem and "
        "recovery.",
    )


def drawn(results: Results) -> pd.DataFrame:
    """One row a (problem, recovery, method, epoch) of complete cells at the tightest budget.

    Columns: `validation_top1` (percent, mean over networks), `sd`, `n` (networks). Only recoveries
    of which some method has two epochs or more.
    """
    tightest = {problem: min(kept) for problem, kept in results.budgets.items()}
    there = results.cells["budget"] == results.cells["problem"].map(tightest)
    cells = results.cells[results.cells["complete"] & there]
    whole = set(cells[["problem", "recovery", "method"]].itertuples(index=False, name=None))
    rows = []
    for one in results.records:
        at = one.labels
        if one.measurements is None or at.matched_to or at.budget != tightest[at.problem]:
            continue
        if (at.problem, at.recovery, at.method) in whole:
            rows += [
                (at.problem, at.recovery, at.method, epoch.epoch, 100 * epoch.validation_top1)
                for epoch in one.measurements.history
            ]
    keys = ["problem", "recovery", "method", "epoch"]
    data = pd.DataFrame(rows, columns=[*keys, "top1"])
    if data.empty:
        return data
    grouped = data.groupby(keys)["top1"]
    data = pd.DataFrame(
        {"validation_top1": grouped.mean(), "sd": grouped.std(), "n": grouped.size()}
    ).reset_index()
    place = {problem: i for i, problem in enumerate(results.problems)}
    data = data.sort_values("problem", key=lambda one: one.map(place), kind="stable")
    many = data.groupby("recovery")["epoch"].transform("max") > 1
    return data[many].reset_index(drop=True)


def _banded(data: pd.DataFrame, looks: Mapping[str, Look], control: str) -> list[str]:
    """The control and the coloured method that ends best."""
    last = data[data["epoch"] == data.groupby(["recovery", "method"])["epoch"].transform("max")]
    ends = last.groupby("method")["validation_top1"].mean()
    loud = ends[[name for name in ends.index if not looks[str(name)].quiet and name != control]]
    best = [str(loud.idxmax())] if len(loud) else []
    return [*([control] if control in ends.index else []), *best]


def draw(data: pd.DataFrame, looks: Mapping[str, Look], banded: list[str]) -> Figure:
    """The picture of `drawn`."""
    methods = in_order(list(data["method"]), looks)
    problems, recoveries = list(data["problem"].unique()), list(data["recovery"].unique())
    figure, panels = grid(problems, recoveries, 2.1, sharex=False)
    for one in panels:
        here = (data["problem"] == one.problem) & (data["recovery"] == one.recovery)
        mine = data[here]
        for name in methods:
            rows = mine[mine["method"] == name]
            line = looks[name].line(rows["epoch"], rows["validation_top1"])
            line.set_markevery(max(1, len(rows) // 8))
            one.ax.add_line(line)
            if name in banded:
                one.ax.fill_between(rows["epoch"], rows["validation_top1"] - rows["sd"],
                                    rows["validation_top1"] + rows["sd"], alpha=0.15,
                                    color=looks[name].colour, linewidth=0, zorder=1.2)  # fmt: skip
        one.ax.autoscale_view()
        one.ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    name_axes(figure, panels, "epoch of recovery", "validation top-1 (%)")
    legend(figure, list(entries(methods, looks)))
    return figure
