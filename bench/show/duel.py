"""One method against another, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from .table import print_table

if TYPE_CHECKING:
    from reports.duel import Duel


def duel(console: Console, found: Duel) -> None:
    """Differences on each problem and over problems, then what may be said."""
    from reports.formats import counts, interval, p_value, points

    console.print(f"{found.method} minus {found.reference}, points of retained top-1", style="bold")
    level = f"{100 * (1 - found.suite.analysis.alpha):g} % interval"
    rows = []
    for row in found.paired.to_dict("records"):
        told = row["reason"] or f"{row['verdict']} (ROPE ± {found.suite.analysis.rope:g})"
        span = interval(row["low"], row["high"])
        cells = [row["recovery"], row["problem"], points(row["mean"]), span]
        rows.append([*cells, str(row["n_bases"]).replace("<NA>", "–"), counts(row), told])
    heads = ["recovery", "problem", "difference", level, "bases", "won/tied/lost", "verdict"]
    print_table(console, heads, rows)
    heads = ["recovery", "problems", "shift", level, "won/tied/lost", "share won"]
    heads += ["rank-biserial", "better/equal/worse", "p"]
    rows = []
    for row in found.overall.to_dict("records"):
        beliefs = [row[f"p_{one}"] for one in ("better", "equal", "worse")]
        cells = [row["recovery"], str(row["n_problems"]), points(row["hodges_lehmann"])]
        cells += [interval(row["shift_low"], row["shift_high"]), counts(row)]
        cells += [f"{row[one]:.2f}" for one in ("share_won", "rank_biserial")]
        cells += ["/".join(f"{100 * one:.0f}" for one in beliefs) + " %", p_value(row["p"])]
        rows.append([one.replace("nan", "–") for one in cells])
    console.print()
    print_table(console, heads, rows)
    console.print()
    for sentence in found.words:
        console.print(sentence, markup=False, soft_wrap=True)
