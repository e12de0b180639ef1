"""Names at points: each at a free place near its point (textalloc)."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import textalloc
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ..statistics import Floats
from .plot import freeze, lay_out
from .style import GREY, INK


def place_names(
    figure: Figure, panels: Sequence[tuple[Axes, Floats, Floats, Sequence[str]]]
) -> None:
    """Write each name beside its point, clear of the markers and lines of its panel and of others.

    Where a panel has no free place left, the name stands over what is there.

    Args:
        figure: complete but for the names: the layout must stand before they find their places.
        panels: of each the axes, [n] x and [n] y in data units, and n names.
    """
    lay_out(figure)
    freeze(figure)  # names find free places in this layout, so it stays
    for ax, x, y, names in panels:
        drawn = [np.asarray(one.get_xydata()) for one in ax.lines]
        markers = np.concatenate(drawn)
        bars = (one.get_segments() for one in ax.collections if isinstance(one, LineCollection))
        lines = [
            np.asarray(one)
            for one in chain(drawn, *bars)
            if len(one) > 1 and np.isfinite(one).all()
        ]
        textalloc.allocate(
            ax, x, y, list(names),
            x_scatter=markers[:, 0], y_scatter=markers[:, 1],
            x_lines=[one[:, 0] for one in lines], y_lines=[one[:, 1] for one in lines],
            textsize=6.2, textcolor=INK, linecolor=GREY, linewidth=0.4, zorder=6,
        )  # fmt: skip
