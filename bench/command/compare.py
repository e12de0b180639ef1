"""One method against another, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from .table import print_table

if TYPE_CHECKING:
    from reports.analysis.compare import MethodDifference


def show_difference(console: Console, result: MethodDifference) -> None:
    """Differences on each problem, then what may be said over them; 80 columns wide."""
    from reports.formats import counts, interval, points, whole

    level = f"{100 * (1 - result.suite.analysis.alpha):g} % interval"
    console.print(
        f"{result.method} minus {result.reference}, points of retained top-1", style="bold"
    )
    heads = ["difference", level, "bases", "won/tied/lost", "there"]
    for recovery, pairs in result.paired.groupby("recovery", sort=False):
        rows = [
            [
                row["problem"],
                points(row["mean"]),
                interval(row["low"], row["high"]),
                whole(row["n_bases"]).text,
                counts(row),
                row["verdict"],
            ]
            for row in pairs.to_dict("records")
        ]
        console.print()
        print_table(console, [str(recovery), *heads], rows, breaks=0)
    console.print()
    for sentence in result.words:
        console.print(sentence, markup=False, soft_wrap=True)
