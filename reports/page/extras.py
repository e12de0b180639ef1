"""Other ways to look at the same numbers: what other papers report, beside the declared analysis.

None of it decides anything here. Tests on mean ranks answer for two methods by who else takes part
(Benavoli et al. 2016), and a false discovery rate promises less than a family-wise error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import statistics
from ..analysis.cells import Floats
from ..formats import Cell, Table, heads, number, p_value

if TYPE_CHECKING:
    from ..analysis.analysis import Results


def extras_table(results: Results, recovery: str) -> Table | None:
    """Of one recovery, a row a method; None below two problems, or where the control is not ranked.

    Columns: mean rank, Nemenyi's p and the normal p of mean ranks against the control (Holm), the
    p of the declared Wilcoxon tests under Benjamini-Hochberg and Benjamini-Yekutieli, and the
    interquartile mean of retained top-1 over problems, bases and repeats.
    """
    ranking, suite = results.ranking[recovery], results.suite
    control = suite.analysis.control
    test, alpha = ranking.omnibus, suite.analysis.alpha
    if test is None or control not in ranking.methods:
        return None
    at = ranking.methods.index(control)
    nemenyi = statistics.nemenyi(test.mean_ranks, test.blocks, alpha)
    against = statistics.against_control(test.mean_ranks, at, test.blocks, alpha)
    declared = results.overall[
        (results.overall["recovery"] == recovery) & (results.overall["family"] == "control")
    ]
    raw = declared["p"].astype(float).fillna(1.0).to_numpy()
    rates = dict(
        zip(
            declared["method"],
            zip(statistics.benjamini_hochberg(raw), statistics.benjamini_yekutieli(raw),
                strict=True),
            strict=True,
        )
    )  # fmt: skip
    rows = []
    for place in np.argsort(test.mean_ranks, kind="stable"):
        name = ranking.methods[place]
        tests = [nemenyi.p[place, at], against.adjusted[place], *rates.get(name, ())]
        texts = [Cell(p_value(one), float(one)) for one in tests] if name != control else []
        middle = _middle(
            [
                results.averaged[problem, recovery, name]
                for problem in ranking.problems
                if (problem, recovery, name) in results.averaged
            ]
        )
        ps = texts or [Cell("–")] * 4
        rows.append([Cell(name), number(test.mean_ranks[place]), *ps, number(middle)])
    names = ["Method", "Mean rank", "Nemenyi p", "Rank z, Holm p", "BH p", "BY p", "IQM, points"]
    caption = (
        f"Beside the declared analysis, and deciding nothing: each method against {control} over "
        f"{test.blocks} problems. Mean ranks differ by Nemenyi at level {alpha:g} where they lie "
        f"{nemenyi.critical_difference:.2f} apart, from the control by Bonferroni–Dunn where they "
        f"lie {against.critical_difference:.2f} apart; both depend on which methods take part. BH, "
        "BY: Benjamini–Hochberg and Benjamini–Yekutieli on the exact Wilcoxon p, which bound the "
        "share of false discoveries, not the chance of any. IQM: mean of the middle half of "
        "retained top-1 over problems, bases and repeats"
    )
    title = "Other ways to look at it"
    return Table(f"extras_{recovery}", title, caption, heads(names, 1), rows)


def _middle(values: list[Floats]) -> float:
    """Interquartile mean of [bases, repeats] arrays, one a problem; NaN of none."""
    if not values:
        return float("nan")
    return statistics.interquartile_mean(np.concatenate([one.ravel() for one in values]))
