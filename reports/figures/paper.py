"""The accuracy-cost figure of a paper: chosen methods under their names, in the paper's width."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..analysis.results import Results
from .accuracy import points
from .accuracy_cost import curves
from .plot import Plot, write
from .style import looks, publication

COLUMN, PAGE = 3.25, 6.75  # inches, of most two-column templates


def draw_paper(
    results: Results,
    names: Mapping[str, str],
    place: tuple[Sequence[str], str, Sequence[float]],
    inches: float,
    file: Path,
) -> Plot | None:
    """Write curves, or with one budget dots, as .pdf, .svg, .png and .csv; None of what has not
    finished.

    Args:
        results: the analysis.
        names: method -> what the legend calls it.
        place: problems, a panel each; the recovery; the budgets.
        inches: the width.
        file: where, without ending.
    """
    problems, recovery, budgets = place
    cells = results.cells[results.cells["recovery"] == recovery]
    cells = cells[cells["problem"].isin(problems) & cells["budget"].isin(budgets)]
    cells = cells[cells["method"].isin(list(names))]
    if not cells["complete"].any():
        return None
    asked = [one for one in results.expected if one.problem in problems and one.budget in budgets]
    own = replace(results, cells=cells, expected=asked)
    with publication():
        drawn = looks(results.suite, set(names))
        drawn |= {method: replace(drawn[method], name=name) for method, name in names.items()}
        draw = curves if max(map(len, own.budgets.values())) > 1 else points
        plot = draw(own, drawn, cells, file.name)
        plot.figure.set_figwidth(inches)
        write(plot, file.parent)
    return plot
