"""One method against another, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from .table import print_table

if TYPE_CHECKING:
    from reports.analysis.compare import MethodDifference


def show_difference(console: Console, result: MethodDifference) -> None:
    """Differences on each problem and over problems, then what may be said; 80 columns wide."""
    from reports.formats import counts, interval, points, whole

    level = f"{100 * (1 - result.suite.analysis.alpha):g} % interval"
    console.print(
        f"{result.method} minus {result.reference}, points of retained top-1", style="bold"
    )
    heads = ["difference", level, "bases", "won/tied/lost", "verdict"]
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
    over = result.overall.to_dict("records")
    lines = [list(one) for one in zip(*(_over_problems(row) for row in over), strict=True)]
    names = ["problems", "shift", level, "won/tied/lost", "share won", "rank-biserial"]
    names += ["better/equal/worse %", "p (exact Wilcoxon)"]
    rows = [[name, *line] for name, line in zip(names, lines, strict=True) if set(line) != {"–"}]
    console.print()
    print_table(console, ["over problems", *(row["recovery"] for row in over)], rows)
    console.print()
    console.print(f"verdict: against a ROPE of ± {result.suite.analysis.rope:g} points")
    for sentence in result.words:
        console.print(sentence, markup=False, soft_wrap=True)


def _over_problems(row: dict[Any, Any]) -> list[str]:
    """One recovery's column."""
    from reports.formats import counts, interval, number, p_value, points, whole

    beliefs = [number(100 * row[f"p_{one}"], 2).text for one in ("better", "equal", "worse")]
    return [
        whole(row["n_problems"]).text,
        points(row["hodges_lehmann"]),
        interval(row["shift_low"], row["shift_high"]),
        counts(row),
        number(row["share_won"], 2).text,
        number(row["rank_biserial"], 2).text,
        "–" if "–" in beliefs else "/".join(beliefs),
        p_value(row["p"]),
    ]
