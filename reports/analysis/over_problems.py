"""The declared comparisons over problems: on these problems, and for problems like these.

Two claims that are never mixed. The first holds the problems fixed and asks about other trainings
of their bases; the second takes datasets and models for samples. Both speak of one number, the mean
over problems of the difference in retained top-1: word, size, interval and test are of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from suites.schema import Suite

from .. import statistics
from ..metric import spoken
from ..statistics import Floats, Grid, Look, MeanDifference
from .cells import Scores, failures
from .comparisons import WHO, Word, bounded, differences, looks_of, welch_in_groups, word

SIGNS = ("wins", "ties", "losses")
NUMBERS = ["mean", "low", "high", "joint_low", "joint_high", "p", "p_adjusted", "bases", "look"]
COLUMNS = [
    *("family", "recovery", "method", "reference", "of", "n_problems", "failed", "bases"),
    *("mean", "low", "high", "joint_low", "joint_high", "p", "p_adjusted", "word", "why"),
    *("typical", *SIGNS, "collapses", "look"),
    *("like_low", "like_high", "like_p", "like_p_adjusted", "like_word"),
]


def overall(scored: Scores) -> pd.DataFrame:
    """Differences over problems: one row a (recovery, comparison) of the page's one family.

    Columns, in points unless said:

    - `of` (problems of the plan), `n_problems` (those where both have a result), `failed` (who
      failed on the others: `method`, `reference`, `both` or empty), `bases` (the fewest);
    - on these problems: `mean`, the interval of it alone (`low`, `high`; none where there are
      interim looks) and of all m comparisons of the page at once (`joint_low`, `joint_high`), `p`,
      `p_adjusted` (Bonferroni over the page, as the interval; to be held against alpha), `word` (a
      `Word`) and `why` it is `mixed` or `not compared`; `look`: the bases at which it was decided,
      or last looked at;
    - `typical`: Hodges-Lehmann shift over problems, which a collapse does not move; `wins`, `ties`,
      `losses` (problems); `collapses` (problem -> points lost, or gained, where it is not typical);
    - for problems like these: `like_low`, `like_high`, `like_p`, `like_p_adjusted` (Holm over the
      page), and `like_word`, which is given only where the first claim is.
    """
    if not scored.family:
        return pd.DataFrame(columns=COLUMNS)
    suite, cells, problems = scored.suite, scored.cells, scored.problems
    alpha, table = suite.analysis.alpha, pd.DataFrame(scored.family)
    cube = differences(scored.by_look, scored.family, problems)
    verdicts, used = decided(cube, looks_of(suite), suite, list(table["recovery"]))
    table = pd.concat([table, verdicts], axis=1)
    means = statistics.known_mean(used, axis=2)
    lost = failures(cells)
    rows = [
        _described(row, of_row, problems, lost, suite)
        for row, of_row in zip(table.to_dict("records"), means, strict=True)
    ]
    grid = cells[["problem", "dataset", "model"]].drop_duplicates().set_index("problem")
    table = pd.DataFrame(rows).assign(**_like_these(means, problems, grid, alpha))
    sure = table["word"].isin(["better", "worse"]) & (table["like_p_adjusted"] <= alpha)
    table["like_word"] = table["word"].where(sure, "undecided")
    whole = dict.fromkeys(("n_problems", "bases", *SIGNS, "look"), "Int64")
    return table.reindex(columns=COLUMNS).astype(whole)


def decided(
    cube: Floats, looks: Sequence[Look], suite: Suite, recoveries: Sequence[str]
) -> tuple[pd.DataFrame, Floats]:
    """What each comparison is called, at the look that decides it, or the last that it reached.

    `cube`: [comparisons, problems, bases] differences. `looks`: those of the suite. `recoveries`:
    [comparisons] under which each is made.

    Returns:
        A row a comparison; and the differences that the row is about: those up to its look, of the
        problems that reached it.
    """
    m = len(cube)
    alpha, rope = suite.analysis.alpha, suite.analysis.rope
    table = pd.DataFrame(index=range(m), columns=NUMBERS, dtype=float).assign(word="undecided")
    bases = (~np.isnan(cube)).sum(axis=2)
    used = cube.copy()
    open_ = np.ones(m, dtype=bool)
    for number, look in enumerate(looks):
        whole = bases >= (look.bases if number else 1)
        reached = np.flatnonzero(open_ & whole.any(axis=1)) if number else np.arange(m)
        if not reached.size:
            break
        used[reached] = np.where(whole[:, :, None], cube, np.nan)[reached]
        used[reached, :, look.bases :] = np.nan
        alone = statistics.on_these_problems(used[reached])
        # Those that have stopped still say how far bases spread.
        whole_family = welch_in_groups(used, recoveries)
        found = MeanDifference(*(one[reached] for one in vars(whole_family).values()))
        each = bounded(alone.interval(1 - alpha)) if len(looks) == 1 else (np.nan, np.nan)
        joint = bounded(found.interval(1 - look.alpha / m))
        words = [word(*ends, rope) for ends in zip(*joint, strict=True)]
        fewest = bases[reached].min(axis=1, where=whole[reached], initial=cube.shape[2])
        fewest = np.minimum(fewest, look.bases)
        adjusted = np.minimum(m * found.p_values * alpha / look.alpha, 1)
        numbers = (found.mean, *each, *joint, found.p_values, adjusted, fewest, fewest)
        values = dict(zip(NUMBERS, numbers, strict=True))
        table.loc[reached, NUMBERS] = pd.DataFrame(values, index=reached)
        table.loc[reached, "word"] = words
        open_[reached] = [one == "undecided" for one in words]
    return table, used


def _described(
    row: Mapping[Any, Any],
    means: Floats,
    problems: Sequence[str],
    lost: Mapping[tuple[str, str, str], str],
    suite: Suite,
) -> dict[str, Any]:
    """A row with what is known of its problems, and the word that this leaves it."""
    blocks = means[~np.isnan(means)]
    method, reference = (
        any((one, row["recovery"], row[role]) in lost for one in problems)
        for role in ("method", "reference")
    )
    found: dict[str, Any] = dict(row)
    found |= {"of": len(problems), "n_problems": blocks.size, "failed": WHO[method + 2 * reference]}
    if not blocks.size:
        return found | {"word": "not compared", "why": "no problem has both"}
    typical = statistics.hodges_lehmann(blocks)
    found |= {"typical": typical, "collapses": _collapses(means, problems)}
    signs = np.sign(blocks.round(9))  # rounding noise breaks no tie
    found |= {name: int((signs == x).sum()) for name, x in zip(SIGNS, (1, 0, -1), strict=True)}
    found["word"], found["why"] = _restricted(found, suite.analysis.failures == "worst")
    return found


def _restricted(row: Mapping[str, Any], failing_loses: bool) -> tuple[Word, str]:
    """The word, where nothing speaks against it."""
    said: Word = row["word"]
    if 2 * row["n_problems"] <= row["of"]:
        return "not compared", f"only {row['n_problems']} of {row['of']} problems have both"
    if said not in ("better", "worse"):
        return said, ""
    if row["mean"] * row["typical"] < 0:
        return "mixed", "the mean says one thing and most problems the other"
    against = {"better": ("method", "both"), "worse": ("reference", "both")}[said]
    if failing_loses and row["failed"] in against:
        who = row["method"] if said == "better" else row["reference"]
        return "mixed", f"{said} where both ran, but {who} failed elsewhere"
    return said, ""


def _collapses(means: Floats, problems: Sequence[str]) -> dict[str, float]:
    """Problems on which a method loses far more than is typical of it, or the control does."""
    known = means[~np.isnan(means)]
    if known.size < 3:
        return {}
    typical, large = float(np.median(known)), spoken().large
    return {
        problem: float(value)
        for problem, value in zip(problems, means, strict=True)
        if min(abs(value), abs(value - typical)) >= large and abs(value) > abs(typical)
    }


def _like_these(
    means: Floats, problems: Sequence[str], grid: pd.DataFrame, alpha: float
) -> dict[str, Floats]:
    """Interval and p of every row for problems like those where both have a result."""
    found = np.full((3, len(means)), np.nan)
    for row, of_row in enumerate(means):
        there = ~np.isnan(of_row)
        if there.sum() < 2:
            continue
        shown = grid.loc[[one for one, known in zip(problems, there, strict=True) if known]]
        levels = Grid(list(shown["dataset"]), list(shown["model"]))
        test = statistics.for_problems_like_these(of_row[None, there], levels)
        low, high = bounded(test.interval(1 - alpha))
        found[:, row] = low[0], high[0], test.p_values[0]
    low, high, p = found
    adjusted = statistics.holm(np.nan_to_num(p, nan=1.0))
    holm = np.where(np.isnan(p), np.nan, adjusted)
    return {"like_low": low, "like_high": high, "like_p": p, "like_p_adjusted": holm}
