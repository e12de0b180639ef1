"""The declared comparisons on each problem alone, and by dataset and by model."""

from typing import Any

import numpy as np
import pandas as pd

from .. import statistics
from .cells import Scores, failures, gaps
from .comparisons import WHO, bounded, differences, looks_of, welch_in_groups, word

COLUMNS = [
    *("family", "recovery", "method", "reference", "problem", "mean", "low", "high"),
    *("joint_low", "joint_high", "n_bases", "wins", "ties", "losses", "p", "p_adjusted"),
    *("failed", "verdict", "reason"),
]


def paired(scored: Scores) -> pd.DataFrame:
    """Differences inside each problem, over bases: one row a (recovery, comparison, problem).

    Budgets and repeats are averaged first; the same bases carry both methods. Columns, in points
    unless said: `mean` with the t-interval at 1 - alpha (`low`, `high`) and at 1 - alpha / m
    (`joint_low`, `joint_high`, over the m differences of the page), `n_bases`, `wins`, `ties`,
    `losses` (bases), `p` (paired t), `p_adjusted` (Bonferroni over the page), `failed` (who failed
    there: `method`, `reference`, `both` or empty), `verdict` (a `Word`; of joint intervals, so that
    all of a page hold at once) and `reason` (why there is no difference, else empty). With fewer
    than three bases, or where they agree to the last image, there are no intervals. In a suite with
    looks alpha is that of the look at which a method has stopped.
    """
    cells, rules = scored.cells, scored.suite.analysis
    missing, lost = gaps(cells), failures(cells)
    known = set(cells[["problem", "recovery", "method"]].itertuples(index=False, name=None))
    places, parts = [], []
    cubes = differences(scored.by_base, scored.family, scored.problems)
    for one, of_row in zip(scored.family, cubes, strict=True):
        for problem, over_bases in zip(scored.problems, of_row, strict=True):
            keys = [(problem, one.recovery, name) for name in (one.method, one.reference)]
            if not known.issuperset(keys):
                continue
            said = [f"{key[2]}: {missing[key]}" for key in keys if key in missing]
            failed = WHO[(keys[0] in lost) + 2 * (keys[1] in lost)]
            place = {"problem": problem, **vars(one), "failed": failed}
            places.append(place | {"reason": "; ".join(said)})
            parts.append(over_bases)
    table = pd.DataFrame(places).reindex(columns=COLUMNS)
    if table.empty:
        return table
    values = np.stack(parts)
    there = ~np.isnan(values)
    cube = values[:, None, :]
    groups = list(table[["recovery", "problem"]].itertuples(index=False, name=None))
    alone, found = statistics.on_these_problems(cube), welch_in_groups(cube, groups)
    level = statistics.spent(looks_of(scored.suite), cube)
    each = bounded(alone.interval(1 - level))
    joint = bounded(found.interval(1 - level / len(table)))
    table["mean"], table["p"] = found.mean, found.p_values
    table["p_adjusted"] = np.minimum(len(table) * found.p_values * rules.alpha / level, 1)
    table["low"], table["high"], table["joint_low"], table["joint_high"] = *each, *joint
    rounded = values.round(9)
    counts: dict[str, Any] = {"n_bases": there, "wins": rounded > 0, "ties": rounded == 0}
    counts["losses"] = rounded < 0
    for name, which in counts.items():
        table[name] = pd.array(which.sum(axis=1), dtype="Int64")
        table.loc[table["mean"].isna(), name] = pd.NA
    table["verdict"] = [
        "not compared" if np.isnan(mean) else word(low, high, rules.rope)
        for mean, low, high in zip(found.mean, *joint, strict=True)
    ]
    return table


def by_factor(scored: Scores) -> pd.DataFrame:
    """The declared comparisons by dataset and by model: one row a (level, recovery, comparison).

    Columns: `factor` (`dataset` or `model`, each with two levels or more), `level`, `family`,
    `recovery`, `method`, `reference`, `mean` over the problems of the level and its interval over
    bases (`low`, `high`, each alone), `without`: the mean over all others. They show where a
    difference comes from, and are no tests.
    """
    columns = ["factor", "level", "family", "recovery", "method", "reference"]
    columns += ["mean", "low", "high", "without"]
    problems = scored.cells[["problem", "dataset", "model"]].drop_duplicates()
    cube = differences(scored.by_base, scored.family, scored.problems)
    means = statistics.known_mean(cube, axis=2)
    recoveries = [one.recovery for one in scored.family]
    tables = []
    for factor in ("dataset", "model"):
        levels = problems[factor].unique()
        for level in levels if len(levels) > 1 else ():
            there = cube[:, problems[factor] == level]
            found = welch_in_groups(there, recoveries, floor=False)
            alpha = statistics.spent(looks_of(scored.suite), there)
            low, high = bounded(found.interval(1 - alpha))
            without = statistics.known_mean(means[:, problems[factor] != level], axis=1)
            numbers = {"mean": found.mean, "low": low, "high": high, "without": without}
            tables.append(pd.DataFrame(scored.family).assign(factor=factor, level=level, **numbers))
    if not tables or not scored.family:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]
