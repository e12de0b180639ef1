"""The table and the figure of docs/statistics.md: how often a report errs where the truth is known.

python tests/study/known_truth.py docs/statistics.png [WORLD ...]

Worlds that the CSV beside the picture has already are kept as they are, and so is the table of
powers, so that an hour's work can be interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from study.atlas import LIMITS, WORLDS
from study.power import DESIGNS, powers
from study.promises import INTERVALS, KINDS
from study.tally import tally

from reports.figures.style import GREY, publication

NUMBERS = Path("docs/statistics.csv")
POWER = Path("docs/power.csv")
SMALL, LARGE = 400, 300  # experiments of worlds of up to ten methods, and of more
MOST = 6.0  # percent of experiments in which a kind of statement may be false
LEAST = 93.0  # percent of intervals that hold the truth
DRAWN = {
    "false": ["on these problems", "like these", "one problem", "all pairs", "compare"],
    "covered": ["on these problems", "of the highest", "like these", "one problem", "top-1"],
}
LOOKS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")


def broken(table: pd.DataFrame, errors: float) -> pd.DataFrame:
    """The rows of `tally` that keep no promise by more than so many standard errors.

    What `LIMITS` says of a world is left out. Two simulated experiments are always allowed for.
    """
    slack = errors * table["error"] + 200 / table["experiments"]
    false = (table["what"] == "false") & table["name"].isin(KINDS)
    false &= table["share"] - slack > MOST
    missed = (table["what"] == "covered") & (table["share"] + errors * table["error"] < LEAST)
    return table[(false | missed) & ~limited(table)]


def summary(table: pd.DataFrame) -> str:
    """The two tables of docs/statistics.md: by kind of statement, and by kind of interval.

    Means are over worlds; worlds in `LIMITS` are left out of a kind that they do not keep.
    """
    lines = []
    for what, words, worst, title in (
        ("false", KINDS, "idxmax", "statement | reports with a false one, % | highest"),
        ("covered", INTERVALS, "idxmin", "interval of 95 % | that hold the truth, % | lowest"),
    ):
        lines += [f"| {title} | in |", "|---|---|---|---|"]
        kept = table[(table["what"] == what) & ~limited(table)]
        for kind, said in words.items():
            rows = kept[kept["name"] == kind]
            row = rows.loc[getattr(rows["share"], worst)()]
            of = f"{rows['share'].mean():.1f} | {row['share']:.1f} ± {row['error']:.1f}"
            lines.append(f"| {said} | {of} | {row['world']} |")
        lines.append("")
    return "\n".join(lines)


def limited(table: pd.DataFrame) -> NDArray[np.bool_]:
    """[rows] whether it is known that this is not kept there."""
    keys = table[["world", "what", "name"]].itertuples(index=False, name=None)
    return np.array([(what, name) in LIMITS.get(world, ()) for world, what, name in keys])


def draw(table: pd.DataFrame) -> Figure:
    """World by world: shares of reports with a false statement, and of intervals that hold."""
    worlds = list(dict.fromkeys(table["world"]))
    figure = Figure(figsize=(7.2, 0.9 + 0.155 * len(worlds)))
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, table[table["what"] == "false"], worlds, KINDS, DRAWN["false"])
    left.axvline(MOST, color=GREY, linewidth=0.8)
    left.set_xlabel("reports that say something false, %")
    left.set_yticks(range(len(worlds)), worlds, fontsize=6)
    left.set_ylim(len(worlds) - 0.5, -0.5)
    _panel(right, table[table["what"] == "covered"], worlds, INTERVALS, DRAWN["covered"])
    right.axvline(95, color=GREY, linewidth=0.8)
    right.set_xlabel("95 % intervals that hold the truth, %")
    return figure


def _panel(
    ax: Axes,
    table: pd.DataFrame,
    worlds: Sequence[str],
    words: Mapping[str, str],
    kinds: Sequence[str],
) -> None:
    for place, kind in enumerate(kinds):
        rows = table[table["name"] == kind]
        beside = 0.14 * (place - (len(kinds) - 1) / 2)  # so that no mark hides another
        ax.errorbar(
            rows["share"],
            [worlds.index(one) + beside for one in rows["world"]],
            xerr=2 * rows["error"],
            color=LOOKS[place],
            marker="o",
            linestyle="none",
            markersize=2,
            elinewidth=0.6,
            label=words[kind],
        )
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=1, fontsize=6)


def simulate(names: Sequence[str], out: Path) -> pd.DataFrame:
    """World by world, each written as soon as it is known, those of the file kept."""
    table = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=["world"])
    known = table["world"].nunique()
    print(f"{known} worlds are in {out} already; without it all are simulated")
    for name in names:
        if name not in set(table["world"]):
            world = WORLDS[name]
            found = tally(name, world, SMALL if world.methods <= 10 else LARGE).round(2)
            table = pd.concat([table, found]) if len(table) else found
            table.to_csv(out, index=False, lineterminator="\n")
    return table


def main(out: Path, names: Sequence[str]) -> None:
    """Simulate what is not there yet, and draw the PNG beside the numbers."""
    table = simulate(names, out.with_suffix(".csv"))
    if not POWER.exists():
        plans = pd.concat([powers(name, LARGE) for name in DESIGNS]).round(2)
        plans.to_csv(POWER, index=False, lineterminator="\n")
    with publication():
        draw(table).savefig(out, metadata={"Software": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(WORLDS))
