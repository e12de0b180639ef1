"""Figures of a fidelity suite: predicted rank against truth, and criteria ranked with intervals."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import SymmetricalLogLocator

from suites.section import slug

from ..analysis.fidelity import NORMALISED, SHARES, FidelityResults
from .captions import plotted
from .focus import signed
from .panels import tiled
from .plot import Plot
from .similarity import similarity, similarity_plot
from .style import GREY

BINS = 10  # of predicted rank, for the line of medians
BLUE, ORANGE = "#0072B2", "#E69F00"


class Series(NamedTuple):
    """One statistic of the dot plot."""

    column: str
    label: str
    colour: str
    marker: str
    fill: str  # of the marker


CORRELATIONS = (
    Series("spearman", "over all units", "#0072B2", "o", "#0072B2"),
    Series("spearman_within", "within layers, mean", "#D55E00", "s", "#ffffff"),
)
REGRETS = tuple(
    Series(column, f"lowest {100 * share:g} %", colour, marker, colour)
    for column, share, colour, marker in zip(
        NORMALISED, SHARES, ("#0072B2", "#009E73", "#D55E00"), ("o", "D", "s"), strict=True
    )
)


def _correlation(results: FidelityResults) -> Iterator[Plot]:
    data = rows_of(results, CORRELATIONS)
    figure, panels = _dot_plot(results, data, CORRELATIONS, "Spearman's ρ of score and loss change")
    for problem, ax in panels.items():
        ax.axvline(0, color=GREY, linewidth=0.8, zorder=1)
        ceiling = results.ceilings.get(problem, math.nan)
        if not math.isnan(ceiling):
            ax.axvline(ceiling, color=GREY, linewidth=0.9, dashes=(3, 2), zorder=1)
    yield plotted("correlation", figure, data, results)


def _regret(results: FidelityResults) -> Iterator[Plot]:
    data = rows_of(results, REGRETS)
    figure, panels = _dot_plot(results, data, REGRETS, "regret (0: oracle, 1: random)")
    for ax in panels.values():
        ax.axvline(1, color=GREY, linewidth=0.8, zorder=1)
        ax.set_xscale("symlog", linthresh=1, linscale=1.2)
        right = ax.get_xlim()[1]
        ticks = [x for x in (0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 100.0) if x <= right]
        ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
        ax.minorticks_off()
        ax.set_xlim(left=-0.04)
    yield plotted("regret", figure, data, results)


def _similarity(results: FidelityResults) -> Iterator[Plot]:
    """On problems of three criteria or more: of two there is one number, which needs no matrix."""
    for problem, units in results.units.groupby("problem", sort=False):
        if units["method"].nunique() > 2:
            matrix = similarity(units)
            figure, file = similarity_plot(matrix), f"similarity-{slug(str(problem))}"
            data = matrix.rename_axis("method").reset_index()
            yield plotted("similarity", figure, data, results, file, problem=problem)


def _truth(results: FidelityResults) -> Iterator[Plot]:
    for problem, units in results.units.groupby("problem", sort=False):
        of = results.methods[results.methods["problem"] == problem]
        rho = dict(zip(of["method"], of["spearman"].astype(float), strict=True))
        figure, file = _scatter(units, ordered(results), rho), f"truth-{slug(str(problem))}"
        yield plotted("truth", figure, units, results, file, problem=problem)


FIGURES: Mapping[str, Callable[[FidelityResults], Iterator[Plot]]] = {
    "correlation": _correlation,
    "regret": _regret,
    "similarity": _similarity,
    "truth": _truth,
}


def ordered(results: FidelityResults) -> list[str]:
    """Methods by their mean Spearman correlation over problems, best first, unfinished last."""
    mean = results.methods.groupby("method", sort=False)["spearman"].mean()
    return [str(name) for name in mean.sort_values(ascending=False, kind="stable").index]


def rows_of(results: FidelityResults, series: Sequence[Series]) -> pd.DataFrame:
    """What a dot plot shows: its statistics with their intervals, in its order of methods."""
    names = [one.column for one in series]
    ends = [f"{name}{end}" for name in names for end in ("_low", "_high")]
    rows = results.methods[["problem", "method", "bases", *names, *ends]]
    at = {name: place for place, name in enumerate(ordered(results))}
    rows = rows.assign(ceiling=rows["problem"].map(dict(results.ceilings)))
    return rows.sort_values(
        "method", key=lambda column: column.map(at), kind="stable", ignore_index=True
    )


def _dot_plot(
    results: FidelityResults, data: pd.DataFrame, series: Sequence[Series], label: str
) -> tuple[Figure, dict[str, Axes]]:
    """A row a method, a panel a problem, a marker a statistic with its interval."""
    names, problems = ordered(results), results.problems
    columns = min(len(problems), 4)
    width = 2.9 * columns + 0.06 * max(len(name) for name in names) + 0.4
    height = (0.1 + 0.05 * len(series)) * len(names) + 0.55
    figure, axes = tiled(len(problems), columns, height, 0.5, width, sharex=True, sharey=True)
    panels = dict(zip(problems, axes, strict=True))
    for problem, ax in panels.items():
        rows = data[data["problem"] == problem]
        rows = rows.assign(y=rows["method"].map(names.index))
        for place, one in enumerate(series):
            beside = 0.44 / len(series) * (place - (len(series) - 1) / 2)
            low, high = rows[f"{one.column}_low"], rows[f"{one.column}_high"]
            ax.hlines(rows["y"] + beside, low, high, color=one.colour, linewidth=1.0, zorder=2)
            ax.plot(rows[one.column], rows["y"] + beside, linestyle="", marker=one.marker,
                    markersize=3.6, color=one.colour, markerfacecolor=one.fill,
                    zorder=3)  # fmt: skip
        ax.set_title(problem)
        ax.set_xlabel(label)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        Line2D([], [], linestyle="", marker=one.marker, color=one.colour, label=one.label,
               markerfacecolor=one.fill)
        for one in series
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=len(series))
    return figure, panels


def _scatter(units: pd.DataFrame, order: Sequence[str], rho: dict[str, float]) -> Figure:
    """Small multiples: a panel a method with its units' predicted ranks and true changes."""
    finished = set(units["method"])
    names = [name for name in order if name in finished]
    columns = min(len(names), 8 if len(names) > 12 else 4)
    size = 1.6 if columns > 4 else 1.9  # inches
    letters = int(15 * size) - 5  # of a name that fits over a panel, with its ρ
    width, height = size * columns + 0.5, 0.78 * size + 0.25
    figure, axes = tiled(len(names), columns, height, 0.35, width, sharex=True, sharey=True)
    changes = units["change"].to_numpy(dtype=float)
    sizes = np.abs(changes[changes != 0])  # the scale is linear up to a power of ten near these
    knee = float(10.0 ** np.floor(np.log10(np.median(sizes)))) if sizes.size else 1.0
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
    first.set_yscale("symlog", linthresh=knee, linscale=0.6)
    decades = SymmetricalLogLocator(base=10, linthresh=knee)
    decades.set_params(numticks=6)
    first.yaxis.set_major_locator(decades)
    highest, lowest = changes.max(initial=0.0), changes.min(initial=0.0)
    first.minorticks_off()
    first.set_ylim(1.3 * min(lowest, -knee), 1.3 * max(highest, knee))
    figure.supxlabel("predicted rank (low scores leave first)", fontsize=8)
    figure.supylabel("true change of the loss", fontsize=8)
    return figure
