"""Tables that hold methods against each other under one recovery: who stands where, by which test.

The extras are what other papers report, beside the declared analysis, and decide nothing: tests on
mean ranks answer for two methods by who else takes part (Benavoli et al. 2016), and a false
discovery rate promises less than a family-wise error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .. import statistics
from ..analysis import best
from ..analysis.results import Results
from ..formats import (
    Cell,
    Column,
    Mark,
    Table,
    after,
    counted,
    counts,
    heads,
    interval,
    number,
    p_value,
    points,
    signed,
    whole,
)


def standing_table(results: Results, recovery: str) -> Table:
    """Methods by problems: who is best, and who is not told from it."""
    rows = results.standing[results.standing["recovery"] == recovery]
    places = [*results.problems, best.OVER] if len(results.problems) > 1 else results.problems
    cells = {(row["method"], row["problem"]): row for row in rows.to_dict("records")}
    last = rows[rows["problem"] == places[-1]].set_index("method")["mean"].to_dict()
    names = sorted(dict.fromkeys(rows["method"]), key=lambda one: _descending(last.get(one)))
    body = [
        [Cell(name), *(_standing(cells.get((name, place))) for place in places)] for name in names
    ]
    spread = f"mean ± one standard deviation over {results.suite.bases} bases"
    if results.suite.bases == 1:
        spread = "of one base, so its spread over bases is unknown"
    if len(places) > 1:
        spread += f"; of all problems, mean ± one standard deviation over the {len(places) - 1}"
    caption = (
        f"Retained top-1 {after(recovery)} (points against the dense network, "
        f"{_budgets(results)}): {spread}. "
        f"{best.rule(results)}"
    )
    columns = heads(["Method", *(one if one != best.OVER else "All problems" for one in places)], 1)
    return Table(f"standing_{recovery}", "Standing", caption, columns, body)


_MARKS: dict[str, Mark] = {"best": "best", "near": "near"}


def _standing(row: dict[Any, Any] | None) -> Cell:
    if row is None or row["standing"] == "missing":
        return Cell("–")
    spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.2f}"
    return Cell(points(row["mean"]) + spread, float(row["mean"]), _MARKS.get(row["standing"], ""))


def rank_table(results: Results, recovery: str) -> Table | None:
    """Mean ranks over problems and who is not told from whom; None below two problems."""
    ranking = results.ranking[recovery]
    test = ranking.omnibus
    if test is None:
        return None
    cliques = dict(enumerate(ranking.cliques))
    order = sorted(range(len(ranking.methods)), key=lambda method: test.mean_ranks[method])
    rows = []
    for method in order:
        letters = "".join(_letter(i) for i, members in cliques.items() if method in members)
        mean_rank = number(test.mean_ranks[method])
        rows.append([Cell(ranking.methods[method]), mean_rank, Cell(letters or "–")])
    left_out = "; ".join(f"{problem} ({why})" for problem, why in ranking.left_out)
    caption = (
        f"Mean ranks {after(recovery)} over {counted(test.blocks, 'problem')} (1 is best). "
        f"Friedman, ties corrected: χ² = {test.statistic:.2f}, p = {p_value(test.p_value)}; "
        f"Iman–Davenport F = {test.f_statistic:.2f}, p = {p_value(test.f_p_value)}; by permutation "
        f"p = {p_value(test.permutation_p)}; Kendall's W = {test.kendall_w:.2f}; tied cells: "
        f"{100 * test.tied:.0f} %. Methods that share a letter are not told apart by any pairwise "
        "Wilcoxon test (Holm over all pairs)" + (f". Left out: {left_out}" if left_out else "")
    )
    columns = [Column("Method"), Column("Mean rank", numeric=True), Column("Not told apart")]
    return Table(f"ranks_{recovery}", "Ranks", caption, columns, rows)


def _letter(place: int) -> str:
    """a to z, then aa, ab ..."""
    return (_letter(place // 26 - 1) if place >= 26 else "") + chr(ord("a") + place % 26)


def overall_table(results: Results, recovery: str) -> Table:
    """Differences over problems: size first, then how often, then tests where they could reject."""
    names = ["Method", "Against", "Problems", "Failed", "Mean", "Shift", "Shift, interval"]
    names += ["Won/tied/lost", "Share won", "Rank-biserial", "Better/equal/worse %"]
    tested = results.power.can_reach_alpha
    names += ["Mean, interval", "p", "Holm p"] if tested else []
    rows = []
    for row in results.overall[results.overall["recovery"] == recovery].to_dict("records"):
        shift, mean = signed(row["hodges_lehmann"]), signed(row["mean"])
        cells = [Cell(row["method"]), Cell(row["reference"]), whole(row["n_problems"])]
        cells += [whole(row["n_failed"]), mean, shift]
        cells += [Cell(interval(row["shift_low"], row["shift_high"]), shift.value)]
        cells += [Cell(counts(row), whole(row["wins"]).value)]
        cells += [number(row["share_won"]), number(row["rank_biserial"]), _beliefs(row)]
        if tested:
            cells += [Cell(interval(row["low"], row["high"]), mean.value)]
            cells += [Cell(p_value(row[one]), number(row[one]).value) for one in ("p", "p_holm")]
        rows.append(cells)
    analysis = results.suite.analysis
    tested_by = "the problems are too few for any test to reject, so no p is shown"
    if tested:
        tested_by = "p: exact Wilcoxon, and adjusted by Holm over all declared comparisons"
    failing = {"worst": "counts as the worse there", "drop": "leaves the problem out"}
    caption = (
        f"Differences {after(recovery)} over {counted(len(results.problems), 'problem')}, in "
        "points, one value a problem. Mean: with its t-interval. Shift: Hodges–Lehmann, with the "
        f"interval of the signed-rank test, {_percent(results)} both. A method that failed "
        f"{failing[analysis.failures]}. Better/equal/worse: Bayesian signed-rank with the ROPE of "
        f"± {analysis.rope:g} points; {tested_by}"
    )
    title = "Differences over problems"
    return Table(f"overall_{recovery}", title, caption, heads(names, 2), rows)


def _beliefs(row: dict[Any, Any]) -> Cell:
    beliefs = [row["p_better"], row["p_equal"], row["p_worse"]]
    if pd.isna(beliefs[0]):
        return Cell("–")
    return Cell("/".join(f"{100 * one:.0f}" for one in beliefs), float(beliefs[0]))


def extras_table(results: Results, recovery: str) -> Table | None:
    """What other papers report, a row a method; None below two problems or without a control.

    Columns: mean rank, Nemenyi's p and the normal p of mean ranks against the control (Holm), the
    p of the declared Wilcoxon tests under Benjamini-Hochberg and Benjamini-Yekutieli, and the
    interquartile mean of retained top-1 over problems, bases and repeats.
    """
    ranking, analysis = results.ranking[recovery], results.suite.analysis
    control, test = analysis.control, ranking.omnibus
    if test is None or control not in ranking.methods:
        return None
    place_of_control = ranking.methods.index(control)
    nemenyi = statistics.nemenyi(test.mean_ranks, test.blocks, analysis.alpha)
    against = statistics.against_control(
        test.mean_ranks, place_of_control, test.blocks, analysis.alpha
    )
    rates = _false_discoveries(results, recovery)
    rows = []
    for place in np.argsort(test.mean_ranks, kind="stable"):
        name = ranking.methods[place]
        tests = [nemenyi.p[place, place_of_control], against.adjusted[place], *rates.get(name, ())]
        cells = [Cell(p_value(p), float(p)) for p in tests] if name != control else [Cell("–")] * 4
        middle = number(_interquartile_mean(results, recovery, name))
        rows.append([Cell(name), number(test.mean_ranks[place]), *cells, middle])
    names = ["Method", "Mean rank", "Nemenyi p", "Rank z, Holm p", "BH p", "BY p", "IQM, points"]
    caption = (
        f"Beside the declared analysis, and deciding nothing: each method against {control} over "
        f"{test.blocks} problems. Mean ranks differ by Nemenyi at level {analysis.alpha:g} where "
        f"they lie {nemenyi.critical_difference:.2f} apart, from the control by Bonferroni–Dunn "
        f"where they lie {against.critical_difference:.2f} apart; both depend on which methods "
        "take part. BH, BY: Benjamini–Hochberg and Benjamini–Yekutieli on the exact Wilcoxon p, "
        "which bound the share of false discoveries, not the chance of any. IQM: mean of the "
        "middle half of retained top-1 over problems, bases and repeats"
    )
    title = "Other ways to look at it"
    return Table(f"extras_{recovery}", title, caption, heads(names, 1), rows)


def _false_discoveries(results: Results, recovery: str) -> dict[str, tuple[float, float]]:
    """Method -> its p against the control under Benjamini-Hochberg and Benjamini-Yekutieli."""
    overall = results.overall
    declared = overall[(overall["recovery"] == recovery) & (overall["family"] == "control")]
    p = declared["p"].astype(float).fillna(1.0).to_numpy()
    both = (statistics.benjamini_hochberg(p), statistics.benjamini_yekutieli(p))
    return dict(zip(declared["method"], zip(*both, strict=True), strict=True))


def _interquartile_mean(results: Results, recovery: str, method: str) -> float:
    """Interquartile mean over ranked problems, bases and repeats; NaN where none has finished."""
    keys = [(problem, recovery, method) for problem in results.ranking[recovery].problems]
    values = [results.averaged[key].ravel() for key in keys if key in results.averaged]
    return statistics.interquartile_mean(np.concatenate(values)) if values else float("nan")


def difference_table(results: Results, recovery: str) -> Table:
    """Paired differences of one recovery, a row a problem and comparison."""
    rows = []
    for row in results.paired[results.paired["recovery"] == recovery].to_dict("records"):
        outcome = f"missing: {row['reason']}" if row["reason"] else row["verdict"]
        mean = signed(row["mean"])
        span = Cell(interval(row["low"], row["high"]), mean.value)
        cells = [Cell(row["method"]), Cell(row["reference"]), Cell(row["problem"])]
        cells += [mean, span, whole(row["n_bases"])]
        rows.append([*cells, Cell(counts(row), whole(row["wins"]).value), Cell(outcome)])
    names = ["Method", "Against", "Problem", "Difference", f"{_percent(results)} interval", "Bases"]
    columns = [*heads([*names, "Won/tied/lost"], 3), Column("Against the ROPE")]
    caption = (
        f"Paired differences {after(recovery)} on each problem, in points of retained top-1 "
        "averaged over budgets: method minus reference, mean over bases (n in the column) with "
        f"the t-interval over bases, unadjusted. Against the ROPE of "
        f"± {results.suite.analysis.rope:g} points: better or worse where the interval lies wholly "
        "outside, equivalent where wholly inside, else undecided"
    )
    return Table(f"paired_{recovery}", "Differences on each problem", caption, columns, rows)


def _budgets(results: Results) -> str:
    """How budgets become one number."""
    counts = sorted({len(kept) for kept in results.budgets.values()})
    several = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if counts[-1] == 1:
        return "at one budget"
    if results.suite.budgets.cost == "threshold":
        return f"mean over {several} thresholds"
    return f"area over {several} budgets and log compression"


def _percent(results: Results) -> str:
    return f"{100 * (1 - results.suite.analysis.alpha):g} %"


def _descending(value: float | None) -> float:
    return float("inf") if value is None or pd.isna(value) else -value
