"""Predicted rank against true loss change: a panel a criterion, a dot a removed unit."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..statistics import Floats
from .focus import signed
from .panels import tiled
from .style import GREY

BINS = 10  # of predicted rank, for the line of medians
BLUE, ORANGE = "#0072B2", "#E69F00"


def scatter(units: pd.DataFrame, order: Sequence[str], rho: dict[str, float]) -> Figure:
    """Small multiples: a panel a method with its units' predicted ranks and true changes."""
    finished = set(units["method"])
    names = [name for name in order if name in finished]
    columns = min(len(names), 8 if len(names) > 12 else 4)
    size = 1.6 if columns > 4 else 1.9  # inches
    letters = int(15 * size) - 5  # of a name that fits over a panel, with its ρ
    width, height = size * columns + 0.5, 0.78 * size + 0.25
    figure, axes = tiled(len(names), columns, width, height, 0.35, sharex=True, sharey=True)
    knee = _knee(units["change"].to_numpy(dtype=float))
    for ax, name in zip(axes, names, strict=True):
        rows = units[units["method"] == name]
        # As pixels: tens of thousands of dots would make the page heavy.
        ax.plot(rows["predicted_rank"], rows["change"], linestyle="", marker=".", markersize=2.2,
                markeredgewidth=0, color=BLUE, alpha=0.35, rasterized=True)  # fmt: skip
        middle = rows.groupby((rows["predicted_rank"] * BINS).astype(int).clip(upper=BINS - 1))
        medians = middle[["predicted_rank", "change"]].median()
        ax.plot(medians["predicted_rank"], medians["change"], color=ORANGE, linewidth=1.2)
        for y in (-knee, knee):
            ax.axhline(y, color=GREY, linewidth=0.6, dashes=(1, 2), zorder=1)
        value = rho.get(name, math.nan)
        short = name if len(name) <= letters else name[: letters - 1] + "…"
        found = "" if math.isnan(value) else f"  ρ {signed(value, 2)}"
        ax.set_title(short + found, fontsize=7)
        ax.tick_params(labelsize=6.5)
    first = axes[0]
    first.set_xlim(0, 1)
    first.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    _symlog(first, units["change"].to_numpy(dtype=float), knee)
    figure.supxlabel("predicted rank (low scores leave first)", fontsize=8)
    figure.supylabel("true change of the loss", fontsize=8)
    return figure


def _knee(changes: Floats) -> float:
    """A power of ten near the median size of the changes; the scale is linear up to it."""
    sizes = np.abs(changes[changes != 0])
    return float(10.0 ** np.floor(np.log10(np.median(sizes)))) if sizes.size else 1.0


def _symlog(ax: Axes, changes: Floats, knee: float) -> None:
    """Decades on both sides of zero, labelled sparsely."""
    ax.set_yscale("symlog", linthresh=knee, linscale=0.6)
    top = max(0, math.ceil(math.log10(max(changes.max(initial=0.0), knee) / knee)))
    low = math.ceil(math.log10(max(-changes.min(initial=0.0), knee) / knee))
    every = max(1, math.ceil((top + low) / 5))
    up = [knee * 10.0**power for power in range(0, top + 1, every)]
    down = [-knee * 10.0**power for power in range(0, low + 1, every)] if low else []
    ticks = [*down[::-1], 0.0, *up]
    ax.set_yticks(ticks, [f"{one:g}".replace("-", "−") for one in ticks])
    ax.minorticks_off()
    ax.set_ylim(1.3 * min(changes.min(initial=0.0), -knee), 1.3 * max(changes.max(initial=0), knee))
