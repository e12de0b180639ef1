"""The figure of docs/statistics.md: how often the analysis errs where the truth is known.

python tests/study/known_truth.py docs/statistics.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from simulation import Design, coverage, everything_as_blocks, problems_as_blocks, rejections

from reports.figures.style import GREY, publication

EXPERIMENTS = 2000
NULL = {
    "4 budgets": Design(budgets=4, interaction_sd=0.8),
    "5 repeats": Design(repeats=5),
    "10 repeats": Design(repeats=10),
}
WAYS = {"problems are blocks": problems_as_blocks, "each trial is a block": everything_as_blocks}
INTERVALS = {
    "t": "t, over problems",
    "shift": "Hodges–Lehmann",
    "repeats_only": "bootstrap of repeats only",
}
SIZES = (6, 12, 24)
LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"))


def simulated(experiments: int = EXPERIMENTS) -> pd.DataFrame:
    """What is drawn: `panel`, `row`, `series`, `share` and its standard error (percent)."""
    rows = []
    for name, design in NULL.items():
        for way, blocks in WAYS.items():
            found = rejections(design, blocks, experiments)
            for test in ("Friedman", "Wilcoxon"):
                share = getattr(found, test.lower())
                rows.append(("rejected", f"{name}, {way}", test, share))
    for problems in SIZES:
        found_ = coverage(Design(problems=problems, methods=2, repeats=5), experiments)
        for field, name in INTERVALS.items():
            rows.append(("covered", name, f"{problems} problems", getattr(found_, field)))
    table = pd.DataFrame(rows, columns=["panel", "row", "series", "share"])
    table["error"] = 100 * np.sqrt(table["share"] * (1 - table["share"]) / experiments)
    table["share"] *= 100
    return table


def draw(table: pd.DataFrame) -> Figure:
    """The picture of `simulated`: level of the tests, coverage of the intervals."""
    figure = Figure(figsize=(7.2, 3.1))
    left, right = figure.subplots(1, 2)
    _panel(left, table[table["panel"] == "rejected"], nominal=5)
    left.set_xlabel("true nulls rejected, %")
    left.set_xlim(0, 100)
    _panel(right, table[table["panel"] == "covered"], nominal=95)
    right.set_xlabel("95 % intervals that hold the truth, %")
    right.set_xlim(0, 100)
    return figure


def _panel(ax: Axes, table: pd.DataFrame, nominal: float) -> None:
    names = list(dict.fromkeys(table["row"]))
    ax.axvline(nominal, color=GREY, linewidth=0.8)
    several = list(table.groupby("series", sort=False))
    for i, (series, rows) in enumerate(several):
        colour, marker = LOOKS[i]
        beside = 0.22 * (i - (len(several) - 1) / 2)  # so that no mark hides another
        ax.errorbar(
            rows["share"],
            [names.index(one) + beside for one in rows["row"]],
            xerr=2 * rows["error"],
            color=colour,
            marker=marker,
            linestyle="none",
            markersize=5,
            label=str(series),
        )
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, columnspacing=0.8, handletextpad=0.2
    )


def main(out: Path) -> None:
    """Simulate, draw, and write the PNG with the numbers beside it as CSV."""
    table = simulated()
    with publication():
        figure = draw(table)
        figure.savefig(out, metadata={"Software": None})
    table.round(2).to_csv(out.with_suffix(".csv"), index=False, lineterminator="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
