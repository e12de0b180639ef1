"""Recovery over its epochs: how fast methods come back."""

from collections.abc import Iterator, Mapping

import pandas as pd
from matplotlib.ticker import MaxNLocator

from ..analysis.results import Results
from ..formats import in_order
from ..metric import spoken
from .accuracy_cost import with_bands
from .captions import plotted
from .focus import focus, mark_below
from .panels import by_method, entries, grid, legend
from .plot import Plot
from .style import Look


def drawn(results: Results) -> pd.DataFrame:
    """One row a (problem, recovery, method, epoch) of complete cells at the tightest budget.

    Columns: `validation_top1` (percent, mean over networks), `sd`, `n` (networks). Only recoveries
    of which some method has three epochs or more, and images are held out to look at.
    """
    tight = results.cells["budget"] == results.cells["problem"].map(results.tightest)
    cells = results.cells[results.cells["complete"] & tight]
    whole = set(cells[["problem", "recovery", "method"]].itertuples(index=False, name=None))
    rows = [
        (*place, epoch.epoch, spoken().scale * epoch.validation_top1)
        for labels, found in results.at_the_tightest()
        if (place := (labels.problem, labels.recovery, labels.method)) in whole
        for epoch in found.history
        if epoch.validation_top1 is not None
    ]
    keys = ["problem", "recovery", "method", "epoch"]
    data = pd.DataFrame(rows, columns=[*keys, "top1"])
    if data.empty:
        return data
    of_epoch = data.groupby(keys)["top1"]
    data = of_epoch.agg(validation_top1="mean", sd="std", n="size").reset_index()
    order = results.problems.index
    data = data.sort_values("problem", key=lambda one: one.map(order), kind="stable")
    many = data.groupby("recovery")["epoch"].transform("max") > 2
    return data[many].reset_index(drop=True)


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Curves of recoveries with three epochs or more, at the tightest budget."""
    data = drawn(results)
    if data.empty:
        return
    last = data[data["epoch"] == data.groupby(["recovery", "method"])["epoch"].transform("max")]
    banded = with_bands(last, looks, results.suite.analysis.control, "validation_top1")
    methods = in_order(data["method"], looks)
    y_label = f"validation {spoken().title} ({spoken().unit})"
    figure, panels = grid(data, 2.1, "epoch of recovery", y_label, sharex=False)
    for panel in panels:
        shown = panel.of(data)
        for name, rows in by_method(shown, looks):
            top1 = rows["validation_top1"]
            line = looks[name].line(rows["epoch"], top1)
            line.set_markevery(max(1, len(rows) // 8))
            panel.ax.add_line(line)
            if name in banded:
                ends = (top1 - rows["sd"], top1 + rows["sd"])
                low, high = (end.clip(*spoken().ends) for end in ends)
                panel.ax.fill_between(rows["epoch"], low, high, alpha=0.15, linewidth=0,
                                      color=looks[name].colour, zorder=1.2)  # fmt: skip
        panel.ax.autoscale_view()
        top = shown["validation_top1"].max()
        least = focus(shown.groupby("method")["validation_top1"].min())
        edge = 0.06 * max(top - least, 1.0)
        panel.ax.set_ylim(least - edge, top + edge)
        mark_below(panel.ax, shown, "epoch", "validation_top1", "epoch", looks)
        panel.ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend(figure, list(entries(methods, looks)))
    yield plotted("recovery_curves", figure, data, results, banded=banded)
