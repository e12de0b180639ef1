"""Forest plot: each method minus its reference, on each problem and over all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.results import Results
from .blocks import COLLAPSED
from .panels import ALL_PROBLEMS as OVERALL
from .plot import Plot
from .rows import arrows, bold, dots, frame_means, row_grid
from .style import GREY, Look, title

_PANELS = 3  # problems up to which each has a panel; more are small dots in one


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Against the control, and of methods with matched controls against these."""
    finished = set(results.paired.loc[results.paired["mean"].notna(), "family"])
    for family in ("control", "matched"):
        if family in finished:
            yield _plot(results, looks, family)


def _plot(results: Results, looks: Mapping[str, Look], family: str) -> Plot:
    data = drawn(results.paired, results.overall, family, results.problems)
    control, rope = results.suite.analysis.control, results.suite.analysis.rope
    other = control if family == "control" else "its matched control"
    level = f"{100 * (1 - results.suite.analysis.alpha):g} %"
    bars = f"Bars: {level} t-intervals, over bases on one problem and true of that problem only"
    bars += ", over problems on all (where as many could reject)"
    if set(data["panel"]) == {OVERALL}:
        bars = f"Small dots: single problems. Bars: {level} t-intervals over problems, where so "
        bars += "many could reject"
    elif results.suite.bases == 1:
        bars = "One base a problem, so no bars over bases"
    caption = (
        f"{COLLAPSED[:1].upper()}{COLLAPSED[1:]}, method minus {other}: right of zero is better "
        f"than {other}. n stands over each panel. {bars}; an arrow marks one that leaves the "
        f"panel. Shaded: differences below {rope:g} points, which the suite calls equal."
    )
    return Plot(
        "paired_differences" + ("_matched" if family == "matched" else ""),
        draw(data, looks, rope, results.recoveries, f"method − {other} (points)"),
        data,
        f"Differences to {control if family == 'control' else 'matched controls'}",
        caption,
        f"Forest plot of each method minus {other}, by problem and recovery.",
    )


def drawn(
    pairs: pd.DataFrame, overall: pd.DataFrame, family: str, problems: Sequence[str]
) -> pd.DataFrame:
    """What is drawn, best mean first: the paired differences of one family of comparisons.

    Columns: `recovery`, `panel` (a problem, or `all problems` where two or more are finished),
    `comparison` (the text of the row), `method`, `reference`, `problem` (of a small dot, where
    there are too many for panels), `mean`, `low`, `high` (points of retained top-1), `n` (bases, or
    problems), `unit`. Without a difference the numbers are NaN.
    """
    of_family = pairs[pairs["family"] == family]
    rows = [
        of_family.assign(
            panel=of_family["problem"], n=of_family["n_bases"], unit="bases", problem=""
        )
    ]
    over = overall[overall["family"] == family]
    if over["n_problems"].max() > 1:
        over = over.assign(panel=OVERALL, n=over["n_problems"], unit="problems", problem="")
        if len(problems) > _PANELS:
            dots = of_family.assign(panel=OVERALL, n=of_family["n_bases"], unit="bases")
            rows = [over, dots.dropna(subset=["mean"])]
        else:
            rows.append(over)
    data = pd.concat(rows, ignore_index=True)
    for axis in ("panel", "recovery"):  # a row or column of nothing but gaps is left to the page
        data = data[data.groupby(axis)["mean"].transform("count") > 0]
    data["comparison"] = data["method"]
    if family == "matched":
        data["comparison"] = data["method"] + " − " + data["reference"]
    columns = ["recovery", "panel", "comparison", "method", "reference", "problem"]
    columns += ["mean", "low", "high", "n", "unit"]
    rank = of_family.groupby(["method", "reference"], sort=False)["mean"].mean()
    order = {key: -value for key, value in rank.fillna(float("-inf")).items()}
    keys = list(zip(data["method"], data["reference"], strict=True))
    data = data.assign(order=[order[key] for key in keys])
    return data.sort_values("order", kind="stable", ignore_index=True)[columns]


def draw(
    data: pd.DataFrame,
    looks: Mapping[str, Look],
    rope: float,
    recoveries: Sequence[str],
    x_label: str,
) -> Figure:
    """The picture of `drawn`.

    Panels of one recovery stand beside one another, problems first; with one panel a recovery,
    these do.

    Args:
        data: from `drawn`.
        looks: colour and marker of every method.
        rope: half width of the shaded region, in points.
        recoveries: in order; those without data are left out.
        x_label: what the difference is.
    """
    panels = sorted(data["panel"].unique(), key=lambda one: one == OVERALL)
    recoveries = [one for one in recoveries if one in set(data["recovery"])]
    names = list(data["comparison"].unique())
    lines, across = len(recoveries), len(panels)
    if across == 1:
        lines, across = across, lines
    figure, axes = row_grid(names, lines, across, sharex="col" if lines == 1 else "row")
    flat = [ax for line in axes for ax in line]
    placed = list(zip(product(recoveries, panels), flat, strict=True))
    for (recovery, panel), ax in placed:
        shown = data[(data["panel"] == panel) & (data["recovery"] == recovery)]
        large = shown[shown["problem"] == ""].set_index("comparison").reindex(names)
        _ground(ax, rope)
        small = shown[shown["problem"] != ""]
        ax.plot(small["mean"], [names.index(one) for one in small["comparison"]], linestyle="",
                marker="o", markersize=2.0, markeredgewidth=0, color=GREY, alpha=0.7)  # fmt: skip
        dots(ax, large, looks)
        ax.set_title(_title(panel, recovery, large))
    for (recovery, panel), ax in placed:
        of_recovery = data[data["recovery"] == recovery]
        frame_means(ax, of_recovery, -rope, rope)
        large = of_recovery[(of_recovery["panel"] == panel) & (of_recovery["problem"] == "")]
        arrows(ax, large.set_index("comparison").reindex(names), looks)
    for ax in axes[-1]:
        ax.set_xlabel(x_label)
    bold(axes, "")
    return figure


def _title(panel: str, recovery: str, rows: pd.DataFrame) -> str:
    counts = sorted(set(rows.loc[rows["mean"].notna(), "n"].astype(int)))
    if not counts:
        return title(panel, recovery)
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
    unit = str(rows["unit"].dropna().iloc[0])
    return title(panel, recovery, f" (n = {n} {unit if n != '1' else unit[:-1]})")


def _ground(ax: Axes, rope: float) -> None:
    ax.axvspan(-rope, rope, color=GREY, alpha=0.18, linewidth=0, zorder=0)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=1)
