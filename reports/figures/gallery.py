"""The figures of a report: which are drawn, in which order, and what they are asked for by."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import (
    accuracy,
    accuracy_cost,
    costs,
    each_method,
    paired_differences,
    pairwise,
    pareto,
    profile,
    rank_diagram,
    rank_flow,
    recovery_curves,
    seed_noise,
    widths,
)
from .focus import in_focus
from .plot import Drawing, Plot, asked_for, write
from .style import Look, looks, publication

if TYPE_CHECKING:
    from ..analysis.analysis import Results

__all__ = ["FIGURES", "Drawing", "gallery"]

Plots = Callable[["Results", Mapping[str, Look]], Iterator[Plot]]

# A module may give several plots, whose names begin with its own, or none where it has nothing to
# say.
FIGURES: Mapping[str, Plots] = {
    "accuracy_cost": accuracy_cost.plots,
    "accuracy": accuracy.plots,
    "each_method": each_method.plots,
    "paired_differences": paired_differences.plots,
    "rank_diagram": rank_diagram.plots,
    "pairwise": pairwise.plots,
    "profile": profile.plots,
    "rank_flow": rank_flow.plots,
    "score_cost": pareto.score_cost,
    "training_cost": pareto.training_cost,
    "recovery_curves": recovery_curves.plots,
    "widths": widths.plots,
    "costs": costs.plots,
    "seed_noise": seed_noise.plots,
}


def gallery(results: Results, folder: Path, names: Sequence[str] | None = None) -> list[Drawing]:
    """Write the figures that the finished trials allow; none where no cell is complete.

    Args:
        results: the analysis.
        folder: made if need be.
        names: of `FIGURES`; default: all.

    Raises:
        ValueError: a name that no figure has.
    """
    asked = asked_for(names, FIGURES)
    if not results.cells["complete"].any():
        return []
    with publication(), _records_aside():
        shown = looks(results.suite, in_focus(results))
        return [write(plot, folder) for name in asked for plot in FIGURES[name](results, shown)]


@contextmanager
def _records_aside() -> Iterator[None]:
    """Spare the garbage collector what outlives the figures: it would walk thousands of records
    for the litter of each, which took a seventh of the time of 12,000."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
