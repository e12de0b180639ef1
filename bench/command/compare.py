"""One method against another, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from ..terminal import print_table, say

if TYPE_CHECKING:
    from reports.analysis.compare import MethodDifference


def show_difference(console: Console, result: MethodDifference) -> None:
    """Differences on each problem, then what may be said over them."""
    from reports.formats import confidence, counts, interval, points, whole

    title = f"{result.method} minus {result.reference}, accuracy change in points of top-1"
    say(console, (title, "bold"))
    level = f"{confidence(result.suite.analysis.alpha)} interval"
    heads = ["difference", level, "bases", "won/tied/lost", "there"]
    for recovery, pairs in result.paired.groupby("recovery", sort=False):
        rows = [
            [
                row["problem"],
                points(row["mean"]),
                interval(row["low"], row["high"]),
                whole(row["n_bases"]).text,
                counts(row),
                row["verdict"],  # why it is not compared is among the sentences below
            ]
            for row in pairs.to_dict("records")
        ]
        console.print()
        print_table(console, [str(recovery), *heads], rows)
    console.print()
    for sentence in result.words:
        say(console, sentence)
