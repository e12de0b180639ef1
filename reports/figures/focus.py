"""Axes on the methods that matter: a few that collapsed do not squeeze all others onto one line,
but stand at the edge with their numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ..metric import spoken
from .style import GREY, Look

EDGE = "Triangles at an edge: beyond the axis, with the number."
_FAR = 3  # times what the upper three quarters of the methods differ
_FINER = 2  # times; where leaving methods out wins less, all are drawn
_LEAST = 0.1  # of a large difference; methods that differ by less need no closer look
_EDGE: dict[str, Any] = {"linestyle": "", "markersize": 3.5, "clip_on": False, "zorder": 5}
_NUMBER: dict[str, Any] = {"textcoords": "offset points", "fontsize": 5.5, "color": GREY}
_NUMBER |= {"zorder": 5, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.3}}


def focus(worst: ArrayLike, *held: float) -> float:
    """The low end of an axis on which methods can be told apart: the lowest value that is drawn.

    At most a quarter of the methods lies below it: those that are farther below the others than
    three times what these differ, and only where it makes the axis twice as fine. The high end is
    never cut: what is best matters. Of what is better low, take the negative.

    `worst`: [methods], the lowest value that each has on the axis; NaN is left out. `held`: values
    that are drawn in any case, a reference for example.

    >>> focus([92.0, 91.0, 90.5, 90.0, 20.0], 93.0), focus([92.0, 91.0, 90.0, 80.0, 75.0])
    (90.0, 75.0)
    """
    values = np.asarray(worst, dtype=np.float64)
    values = np.sort(values[np.isfinite(values)])
    if not values.size:
        return min(held)
    third = values[(values.size - 1) // 4]  # the lowest of the upper three quarters
    reach = third - _FAR * max(values[-1] - third, _LEAST * spoken().large)
    low = min(values[values >= reach][0], *held, np.inf)
    top, lowest = max(values[-1], *held, -np.inf), min(values[0], *held, np.inf)
    return float(low if top - lowest >= _FINER * (top - low) else lowest)


def signed(value: float, decimals: int = 1) -> str:
    """So many decimals, with a true minus, and without one at zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def mark_below(
    ax: Axes, rows: pd.DataFrame, x: str, y: str, at: str, looks: Mapping[str, Look], most: int = 5
) -> None:
    """Triangles at the lower edge for points of curves below it, with the range of their numbers.

    Of `rows` the columns `x` and `y` are drawn, of each `method`. Equal values of the column `at`
    stand at one place, and share one text; the panel has room for `most` of these.
    """
    low = ax.get_ylim()[0]
    below = rows[rows[y] < low]
    for row in below.to_dict("records"):
        ax.plot([row[x]], [low], color=looks[row["method"]].colour, marker="v", **_EDGE)
    places = list(below.groupby(at, sort=True))
    for _, of_place in places[:: -max(1, -(-len(places) // most))]:
        ends = dict.fromkeys(signed(one) for one in (of_place[y].min(), of_place[y].max()))
        place = (of_place[x].mean(), low)
        across = (ax.transData + ax.transAxes.inverted()).transform(place)[0]
        side = "left" if across < 0.1 else "right" if across > 0.9 else "center"
        ax.annotate("–".join(ends), place, (0, 4), ha=side, va="bottom", **_NUMBER)


def mark_beside(ax: Axes, y: float, values: ArrayLike, colour: str) -> None:
    """A triangle at the left or right edge of a row with values beyond it, with the farthest."""
    drawn = np.asarray(values, dtype=np.float64)
    left, right = ax.get_xlim()
    low, high = np.nanmin(drawn, initial=left), np.nanmax(drawn, initial=right)
    for far, end, marker, side, inwards in (
        (low, left, "<", "left", 4),
        (high, right, ">", "right", -4),
    ):
        if far != end:
            ax.plot([end], [y], color=colour, marker=marker, **_EDGE)
            ax.annotate(signed(far), (end, y), (inwards, 0), ha=side, va="center", **_NUMBER)
