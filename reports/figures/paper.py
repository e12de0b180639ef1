"""The accuracy-cost figure of a paper: chosen methods under their names, in the paper's width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..analysis.results import Results
from .accuracy import points
from .accuracy_cost import curves
from .plot import Plot, write
from .style import looks, publication

COLUMN, PAGE = 3.25, 6.75  # inches, of most two-column templates


def draw_paper(results: Results, names: Mapping[str, str], inches: float, file: Path) -> Plot:
    """Write curves, or with one budget dots, as .pdf, .svg, .png and .csv.

    Args:
        results: with the cells that are drawn, of which one or more is complete.
        names: method -> what the legend calls it.
        inches: the width.
        file: where, without ending.
    """
    with publication():
        drawn = looks(results.suite, set(names))
        drawn |= {method: replace(drawn[method], name=name) for method, name in names.items()}
        if max(map(len, results.budgets.values())) > 1:
            plot = curves(results, drawn, results.cells, file.name, "")
        else:
            plot = points(results, drawn, results.cells, file.name)
        plot.figure.set_figwidth(inches)
        write(plot, file.parent)
    return plot
