"""The figures of a report: which are drawn, in which order, and which methods have a colour."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import pandas as pd

from suites.faults import no_such

from ..analysis.fidelity import FidelityResults
from ..analysis.results import Results
from . import (
    accuracy,
    accuracy_cost,
    accuracy_latency,
    factorial,
    fidelity,
    paired_differences,
    pareto,
    rank_diagram,
    recovery_curves,
    widths,
)
from .plot import Drawing, Plot, write
from .style import Look, looks, publication

FEW = 10  # methods up to which every one has a colour
LOUD = 8  # coloured methods beside the control where there are more
BEST = 3  # of them, at least, are the best

Plots = Callable[["Results", Mapping[str, Look]], Iterator[Plot]]

# A module may give several plots, whose names begin with its own, or none where it has nothing to
# say.
FIGURES: Mapping[str, Plots] = {
    "accuracy_cost": accuracy_cost.plots, "accuracy_latency": accuracy_latency.plots,
    "accuracy": accuracy.plots, "paired_differences": paired_differences.plots,
    "rank_diagram": rank_diagram.plots, "score_cost": partial(pareto.plots, name="score_cost"),
    "training_cost": partial(pareto.plots, name="training_cost"),
    "recovery_curves": recovery_curves.plots, "widths": widths.plots, "factorial": factorial.plots,
}  # fmt: skip


def gallery(
    results: Results | FidelityResults,
    folder: Path,
    names: Sequence[str] | None = None,
    others: Executor | None = None,
) -> Iterable[Drawing]:
    """Write the figures that the finished trials allow; none where no cell is complete.

    `folder`: made if need be. `names`: of the figures of its kind of suite; default: all. `others`
    write what is drawn here, to the same bytes, and are waited for where a drawing is asked for.
    Raises ValueError for a name that no figure has."""
    drawn: dict[str, Callable[[], Iterator[Plot]]]
    if isinstance(results, FidelityResults):
        complete = results.methods["complete"]
        drawn = {name: partial(plots, results) for name, plots in fidelity.FIGURES.items()}
    else:
        complete, shown = results.cells["complete"], looks(results.suite, in_focus(results))
        drawn = {name: partial(plots, results, shown) for name, plots in FIGURES.items()}
    for name in names or ():
        if name not in drawn:
            raise ValueError(no_such("figure", name, drawn))
    if not complete.any():
        return []
    # Else the collector walks thousands of records for the litter of each figure.
    gc.freeze()
    try:
        with publication():
            asked = [plots for name, plots in drawn.items() if names is None or name in names]
            drawings = (plot for plots in asked for plot in plots())
            writing = partial(write, folder=folder)
            return others.map(writing, drawings) if others else [*map(writing, drawings)]
    finally:
        gc.unfreeze()


def in_focus(results: Results) -> AbstractSet[str]:
    """All methods where they are few; else the control, those with matched controls, and the best.

    Best: the smallest rank under any recovery, by retained top-1 averaged over problems and
    budgets, of methods whose cells are complete; ties go to the better mean rank, then to the
    order of the suite."""
    names = [one.name for one in results.suite.methods]
    if len(names) <= FEW:
        return set(names)
    chosen = [one.name for one in results.suite.methods if one.matched][: LOUD - BEST]
    rows = results.cells[results.cells["method"].isin(names)]
    whole = rows.groupby(["recovery", "method"])["complete"].transform("all").astype(bool)
    table = rows[whole].pivot_table(
        index="method", columns="recovery", values="retained_top1", aggfunc="mean"
    )
    ranks = table.reindex(names).rank(ascending=False)  # 1 is best
    best = pd.DataFrame({"best": ranks.min(axis=1), "mean": ranks.mean(axis=1)})
    best = best.dropna().sort_values(["best", "mean"], kind="stable")
    control = results.suite.analysis.control
    rest = [str(one) for one in best.index if one not in (*chosen, control)]
    return {control, *chosen, *rest[: LOUD - len(chosen)]}
