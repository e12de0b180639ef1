"""Panels by problem and recovery, and the legend below them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..formats import counted
from .style import ONE_COLUMN, QUIET, TWO_COLUMNS, Look, title

_ENTRY = 0.15  # inches a line of the legend takes
_LETTER = 0.06  # inches a letter of a title takes
_ACROSS = 3  # panels beside one another
MANY = 4  # problems beyond which panels wrap, or are averaged where each problem says the same


class Panel(NamedTuple):
    """One panel of a grid."""

    ax: Axes
    problem: str
    recovery: str

    def of(self, data: pd.DataFrame) -> pd.DataFrame:
        """The rows of this panel."""
        return data[(data["problem"] == self.problem) & (data["recovery"] == self.recovery)]


def tiled(
    count: int,
    across: int,
    height: float | Sequence[float],
    margin: float,
    width: float = 0,
    **shared: Any,
) -> tuple[Figure, list[Axes]]:
    """So many panels, `across` a line. In inches: the height of a line, or of each, what the figure
    is higher than its lines, and its width: unless given, one column of a page, or two for several
    panels. `shared`: `sharex` and `sharey` of matplotlib."""
    width = width or (ONE_COLUMN if across == 1 else TWO_COLUMNS)
    heights = np.broadcast_to(height, math.ceil(count / across)).tolist()
    figure = Figure(figsize=(width, np.sum(heights) + margin))
    axes = figure.subplots(len(heights), across, squeeze=False, height_ratios=heights, **shared)
    for ax in axes.flat[count:]:
        ax.remove()  # hidden, it would still have a say in shared limits
    return figure, list(axes.flat[:count])


def grid(
    data: pd.DataFrame, height: float, x_label: str, y_label: str, sharex: bool = True
) -> tuple[Figure, list[Panel]]:
    """A row a problem of the data, a column a recovery, as high as so many inches; they wrap where
    either stands alone or rows are many. The lowest and the first of each line name the axes."""
    problems, recoveries = list(data["problem"].unique()), list(data["recovery"].unique())
    wraps = len(problems) == 1 or len(recoveries) == 1 or len(problems) > MANY
    if wraps:  # recovery by recovery
        places = [(problem, recovery) for recovery, problem in product(recoveries, problems)]
    else:
        places = list(product(problems, recoveries))
    across = min(_ACROSS, len(places)) if wraps else len(recoveries)
    figure, axes = tiled(len(places), across, height, 0.4, sharex=sharex)
    for ax in axes[-across:]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel(x_label)
    for ax in axes[::across]:
        ax.set_ylabel(y_label)
    figure.align_ylabels(axes[::across])
    titles = [title(*place) for place in places]
    if _LETTER * max(map(len, titles)) > figure.get_figwidth() / across:  # else laid out twice
        titles = [one.replace(" · ", "\n") for one in titles]
    for text, ax in zip(titles, axes, strict=True):
        ax.set_title(text)
    return figure, [Panel(ax, *place) for place, ax in zip(places, axes, strict=True)]


def by_panel(data: pd.DataFrame, **axes: Iterable[str]) -> dict[tuple[str, ...], pd.DataFrame]:
    """The rows of each panel: of every combination of values of these columns, in their order."""
    return {
        place: data[(data[list(axes)] == list(place)).all(axis=1)]
        for place in product(*axes.values())
    }


def by_method(data: pd.DataFrame, order: Iterable[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of every method that occurs, in that order."""
    found = dict(iter(data.groupby("method")))
    return ((name, found[name]) for name in order if name in found)


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Set the legend below the panels, in as many columns as the width has room for."""
    widest = max(len(str(one.get_label())) for one in handles)
    columns = int(figure.get_figwidth() / (0.06 * widest + 0.45))
    columns = max(1, min(columns, len(handles)))
    # As few columns as the same number of lines takes, so that no line hangs alone.
    lines = math.ceil(len(handles) / columns)
    columns = math.ceil(len(handles) / lines)
    # The panels keep their height, however many lines the legend takes.
    figure.set_figheight(figure.get_figheight() + _ENTRY * (lines - 1))
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns)


def entries(methods: Sequence[str], looks: Mapping[str, Look]) -> Iterator[Line2D]:
    """A line for each coloured method, and one for all grey ones together."""
    for name in methods:
        if not looks[name].quiet:
            yield looks[name].line([], [], label=looks[name].name)
    if quiet := sum(looks[name].quiet for name in methods):
        label = counted(quiet, "other method")
        yield Line2D([], [], color=QUIET, linewidth=0.8, label=label)
