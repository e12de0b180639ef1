"""Tables that hold methods against each other under one recovery: who stands where, by which test.

The extras are what other papers report, beside the declared analysis, and decide nothing: tests on
mean ranks answer for two methods by who else takes part (Benavoli et al. 2016), and a false
discovery rate promises less than a family-wise error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, trim_mean

from .. import statistics
from ..analysis import best
from ..analysis.results import Results
from ..formats import (
    Cell,
    Column,
    Mark,
    Table,
    after,
    capital,
    confidence,
    counted,
    counts,
    heads,
    interval,
    number,
    p_value,
    points,
    ranged,
    signed,
    whole,
)
from .wording import WORDS


def standing_table(results: Results, recovery: str) -> Table:
    """Methods by problems: who is best, and who is not shown to differ from it."""
    rows = results.standing[results.standing["recovery"] == recovery]
    places = [*results.problems, best.OVER] if len(results.problems) > 1 else results.problems
    cells = {(row["method"], row["problem"]): row for row in rows.to_dict("records")}
    last = rows[rows["problem"] == places[-1]].sort_values("mean", ascending=False, kind="stable")
    body = [
        [Cell(name), *(_standing(cells[name, place]) for place in places)]
        for name in last["method"]
    ]
    spread = f"Mean ± one standard deviation over {results.bases}"
    if results.suite.bases == 1:
        spread = "Of one base, so its spread over bases is unknown"
    if len(places) > 1:
        spread += f". Of all problems: mean ± one standard deviation over the {len(places) - 1}"
    caption = (
        f"Accuracy change {after(recovery)}, in points against the dense network, "
        f"{_budgets(results)}. {spread}. {_rule(results, rows)}"
    )
    ranked, planned = len(results.ranking[recovery].problems), len(results.problems)
    whole = "All problems" if ranked == planned else f"{ranked} of {planned} problems"
    columns = heads(["Method", *(one if one != best.OVER else whole for one in places)], 1)
    return Table(f"standing_{recovery}", "Standing", caption, columns, body)


_MARKS: dict[str, Mark] = {"best": "best", "near": "near"}


def _standing(row: dict[Any, Any]) -> Cell:
    if row["standing"] == "missing":
        return Cell("–")
    spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.2f}"
    return Cell(points(row["mean"]) + spread, float(row["mean"]), _MARKS.get(row["standing"], ""))


def _rule(results: Results, rows: pd.DataFrame) -> str:
    """What the marks mean, for the caption."""
    marked = set(rows.loc[rows["standing"].isin(["near", "behind"]), "problem"])
    if not marked:
        return "Bold: the highest mean of a column, which no test tells from the others"
    where = "all problems" if best.OVER in marked else "this problem"
    text = f"Bold: the highest mean of a column. † ({where}): not shown to differ from it. The "
    text += f"test is Welch's on {_these(results)} over bases, adjusted for all pairs and "
    text += f"recoveries. With {_percent(results)} confidence the truly best method is among those "
    text += "in bold or with †"
    return text + (". Single problems are not tested here" if best.OVER in marked else "")


def _these(results: Results) -> str:
    return "these problems" if len(results.problems) > 1 else "this problem"


def rank_table(results: Results, recovery: str) -> Table | None:
    """Who may be where in the order of methods; None below two methods."""
    ranking, layout = results.ranking[recovery], results.layout
    if ranking.pairwise is None:
        return None
    means = statistics.known_mean(ranking.scores, axis=0)
    mean_ranks = ranking.omnibus.mean_ranks if ranking.omnibus else [float("nan")] * len(means)
    rows = []
    failed = np.isnan(ranking.scores).any(axis=0)
    for method in np.argsort(np.where(failed, np.inf, -means), kind="stable"):
        low, high = ranking.low[method], ranking.high[method]
        cells = [Cell(ranking.methods[method]), signed(means[method])]
        cells += [Cell(f"{low:.0f} to {high:.0f}" if high > low else f"{low:.0f}", float(low))]
        cells += [number(100 * ranking.best[method], 2), number(mean_ranks[method])]
        rows.append(cells)
    left_out = "; ".join(f"{problem} ({why})" for problem, why in ranking.left_out)
    level = _percent(results)
    caption = (
        f"Order of methods {after(recovery)} by the mean over "
        f"{counted(len(ranking.problems), 'problem')}. Rank: the places that remain possible on "
        f"{_these(results)}, {level} for all methods at once. Best: roughly how probable it is "
        "that the method has the highest true mean. Mean rank: over problems, 1 is best, not "
        f"tested. Here {counted(layout.pairs, 'pair')} share the level, against the control "
        f"{counted(layout.comparisons, 'comparison')}"
    )
    if test := ranking.omnibus:
        caption += (
            f". Friedman's test, ties corrected, as papers report it: χ² = {test.statistic:.2f}, "
            f"p = {p_value(test.p_value)}, Kendall's W = {test.kendall_w:.2f}"
        )
    caption += f". Left out: {left_out}" if left_out else ""
    names = ["Method", "Mean, points", "Rank", "Best, %", "Mean rank"]
    return Table(f"ranks_{recovery}", "Ranks", caption, heads(names, 1), rows)


def overall_table(results: Results, recovery: str) -> Table:
    """The declared comparisons: what they are called, how large, how sure, and of what."""
    names = ["Method", "Against", "On these problems", "Difference", "Interval, alone"]
    names += ["Interval, all at once", "p, adjusted", "Typical", "Problems", "Won/tied/lost"]
    tested = results.layout.levels >= statistics.FEWEST_LEVELS
    names += ["For problems like these", "Interval there", "p there, adjusted"] if tested else []
    rows = []
    for row in results.overall[results.overall["recovery"] == recovery].to_dict("records"):
        mean = signed(row["mean"])
        said = row["word"] + (f": {row['why']}" if row["why"] else "")
        cells = [Cell(row["method"]), Cell(row["reference"]), Cell(said), mean]
        cells += [Cell(interval(row["low"], row["high"]), mean.value)]
        cells += [Cell(interval(row["joint_low"], row["joint_high"]), mean.value)]
        cells += [Cell(p_value(row["p_adjusted"]), number(row["p_adjusted"]).value)]
        cells += [signed(row["typical"])]
        cells += [Cell(f"{row['n_problems']} of {row['of']}", float(row["n_problems"]))]
        cells += [Cell(counts(row), whole(row["wins"]).value)]
        if tested:
            cells += [Cell(row["like_word"])]
            cells += [Cell(interval(row["like_low"], row["like_high"]), mean.value)]
            cells += [Cell(p_value(row["like_p_adjusted"]), number(row["like_p_adjusted"]).value)]
        rows.append(cells)
    analysis, layout = results.suite.analysis, results.layout
    caption = (
        f"Differences {after(recovery)} in accuracy, in points, method minus the other: the "
        f"mean over problems, {_budgets(results)}. On these problems: what holds for other "
        "trainings of their bases, by Welch's test, corrected for "
        f"{counted(layout.comparisons, 'comparison')} on this page. Intervals are of "
        f"{_percent(results)}, each alone and all at once. The word is what the latter shows. "
        f"Equivalent: the latter lies within ± {counted(analysis.rope, 'point')}. "
        "Typical: the Hodges–Lehmann shift over problems, which a collapse on few of them does not "
        "move. Where its sign is not that of the mean, the word is mixed"
    )
    if tested:
        caption += (
            ". For problems like these: datasets and models are samples, and differences on them "
            "are blocks (two-way random effects, Holm's correction)"
        )
    else:
        caption += f". Nothing is said of other problems: it takes {statistics.FEWEST_LEVELS} "
        caption += f"datasets or models that vary, not {layout.levels}"
    title = "Differences over problems" if len(results.problems) > 1 else "Differences"
    return Table(f"overall_{recovery}", title, caption, heads(names, 3), rows)


def factor_table(results: Results, recovery: str) -> Table | None:
    """Differences by dataset and by model; None where neither varies."""
    table = results.by_factor[results.by_factor["recovery"] == recovery]
    if table.empty:
        return None
    levels = list(dict.fromkeys(zip(table["factor"], table["level"], strict=True)))
    pair = ["family", "method", "reference"]
    found = table.set_index([*pair, "factor", "level"]).to_dict("index")
    rows = []
    for key in table[pair].drop_duplicates().itertuples(index=False, name=None):
        cells = [Cell(one) for one in key[1:]]
        for place in levels:
            row = found[*key, *place]
            span = interval(row["low"], row["high"])
            text = points(row["mean"]) + (f" {span}" if span != "–" else "")
            cells.append(Cell(text, signed(row["mean"]).value))
        rows.append(cells)
    caption = (
        f"Differences {after(recovery)} by dataset and by model, in points: means over their "
        f"problems, with {_percent(results)} intervals over bases, each alone. They show where "
        "a difference comes from, and are not tested"
    )
    names = ["Method", "Against", *(f"{factor} {level}" for factor, level in levels)]
    return Table(f"by_factor_{recovery}", "By dataset and by model", caption, heads(names, 2), rows)


def equal_cost_table(results: Results, recovery: str) -> Table | None:
    """Differences at equal amounts of the other cost; None where no two methods share a stretch."""
    table = results.equal_cost[results.equal_cost["recovery"] == recovery]
    if table.empty:
        return None
    axis = WORDS[results.suite.budgets.cost]
    keys = ["family", "recovery", "method", "reference"]
    declared = results.overall.set_index(keys)["mean"]
    rows = []
    for row in table.to_dict("records"):
        mean = signed(row["mean"])
        cells = [Cell(row["method"]), Cell(row["reference"])]
        cells += [signed(declared[tuple(row[key] for key in keys)]), mean]
        cells += [Cell(interval(row["low"], row["high"]), mean.value)]
        stretch = f"{100 * row['share_low']:.0f} to {100 * row['share_high']:.0f} %"
        cells += [Cell(stretch, float(row["share_low"]))]
        rows.append([*cells, Cell(f"{row['n_problems']} of {len(results.problems)}")])
    other = WORDS[table["cost"].iloc[0]]
    names = ["Method", "Against", f"At budgets of {axis}", f"At equal {other}", "Interval"]
    names += [f"{capital(other)} kept", "Problems"]
    caption = (
        f"Differences {after(recovery)} at equal {other}, in points. Each method's accuracy is "
        f"interpolated between its budgets, over the stretch of {other} that both reach (column). "
        f"Nothing is extrapolated. Intervals: {_percent(results)} over bases, each alone, not "
        f"tested. Beside it stands the declared difference, at the budgets of {axis}"
    )
    title = f"At equal {other}"
    return Table(f"equal_cost_{recovery}", title, caption, heads(names, 2), rows)


def extras_table(results: Results, recovery: str) -> Table | None:
    """What other papers report, a row a method; None below two problems or without a control.

    Columns: mean rank, Nemenyi's p, Wilcoxon's p over problems, the p of the declared tests under
    Benjamini-Hochberg and Benjamini-Yekutieli, and the interquartile mean accuracy change over
    problems, bases and repeats.
    """
    ranking, analysis = results.ranking[recovery], results.suite.analysis
    control, test = analysis.control, ranking.omnibus
    if test is None or control not in ranking.methods:
        return None
    place_of_control = ranking.methods.index(control)
    nemenyi = statistics.nemenyi(test.mean_ranks, test.blocks, analysis.alpha)
    rates = _false_discoveries(results, recovery)
    rows = []
    for place in np.argsort(test.mean_ranks, kind="stable"):
        name = ranking.methods[place]
        tests = [nemenyi.p[place, place_of_control]]
        tests += [_wilcoxon(ranking.scores[:, place] - ranking.scores[:, place_of_control])]
        tests += rates.get(name, ())
        cells = [Cell(p_value(p), float(p)) for p in tests] if name != control else [Cell("–")] * 4
        middle = number(_interquartile_mean(results, recovery, name))
        rows.append([Cell(name), number(test.mean_ranks[place]), *cells, middle])
    names = ["Method", "Mean rank", "Nemenyi p", "Wilcoxon p", "BH p", "BY p", "IQM, points"]
    caption = (
        f"Beside the declared analysis, and deciding nothing: each method against {control} over "
        f"{test.blocks} problems. Mean ranks differ by Nemenyi's test at level {analysis.alpha:g} "
        f"where they lie {nemenyi.critical_difference:.2f} apart. That depends on which methods "
        "take part. Wilcoxon: exact p over problems, unadjusted, as if they were independent. BH, "
        "BY: Benjamini–Hochberg and Benjamini–Yekutieli, which bound the share of false "
        "discoveries, not the chance of any. IQM: mean of the middle half of accuracy changes over "
        "problems, bases and repeats"
    )
    title = "Other ways to look at it"
    return Table(f"extras_{recovery}", title, caption, heads(names, 1), rows)


def _false_discoveries(results: Results, recovery: str) -> dict[str, tuple[float, float]]:
    """Method -> its p against the control under Benjamini-Hochberg and Benjamini-Yekutieli."""
    overall = results.overall
    declared = overall[(overall["recovery"] == recovery) & (overall["family"] == "control")]
    p = declared["p"].astype(float).fillna(1.0).to_numpy()
    both = [false_discovery_control(p, method=one) for one in ("bh", "by")] if p.size else [p, p]
    return dict(zip(declared["method"], zip(*both, strict=True), strict=True))


def _wilcoxon(differences: statistics.Floats) -> float:
    known = differences[~np.isnan(differences)]
    return statistics.wilcoxon(known) if known.size else float("nan")


def _interquartile_mean(results: Results, recovery: str, method: str) -> float:
    """Mean of the middle half (Agarwal et al. 2021); NaN where none has finished."""
    keys = [(problem, recovery, method) for problem in results.ranking[recovery].problems]
    values = [results.averaged[key].ravel() for key in keys if key in results.averaged]
    return float(trim_mean(np.concatenate(values), 0.25)) if values else float("nan")


def difference_table(results: Results, recovery: str) -> Table:
    """Paired differences of one recovery, a row a problem and comparison."""
    rows = difference_rows(results.paired[results.paired["recovery"] == recovery])
    names = [
        "Method",
        "Against",
        "Problem",
        "Difference",
        f"{_percent(results)} interval",
        "Bases",
    ]
    columns = [*heads([*names, "Won/tied/lost"], 3), Column("There")]
    caption = (
        f"Paired differences in accuracy {after(recovery)} on each problem, in points, "
        f"{_budgets(results)}. Method minus reference, mean over bases (n in the column) with its "
        "t-interval over bases, each alone. Fewer than three bases have none. There: better, worse "
        f"or equivalent (within ± {counted(results.suite.analysis.rope, 'point')}) where that "
        f"holds for all {counted(len(results.paired), 'difference')} "
        "of the page at once, else undecided"
    )
    return Table(f"paired_{recovery}", "Differences on each problem", caption, columns, rows)


def difference_rows(paired: pd.DataFrame) -> list[list[Cell]]:
    """Method, reference, problem, difference, interval, bases, won/tied/lost, what holds there."""
    rows = []
    for row in paired.to_dict("records"):
        outcome = f"missing: {row['reason']}" if row["reason"] else row["verdict"]
        mean = signed(row["mean"])
        cells = [Cell(row["method"]), Cell(row["reference"]), Cell(row["problem"]), mean]
        cells += [Cell(interval(row["low"], row["high"]), mean.value), whole(row["n_bases"])]
        rows.append([*cells, Cell(counts(row), whole(row["wins"]).value), Cell(outcome)])
    return rows


def _budgets(results: Results) -> str:
    """How budgets become one number."""
    counts = [len(kept) for kept in results.budgets.values()]
    if max(counts) == 1:
        return "at one budget"
    if results.suite.budgets.cost == "threshold":
        return f"mean over {ranged(counts, 'threshold')}"
    return f"mean over {ranged(counts, 'budget')}, weighted by log compression"


def _percent(results: Results) -> str:
    return confidence(results.suite.analysis.alpha)
