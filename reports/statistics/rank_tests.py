"""Tests over problems as papers report them, which decide nothing here.

They take problems for independent blocks, which those of a models x datasets grid are not, and
the answer of mean ranks for two methods depends on who else takes part (Benavoli, Corani and
Mangili, JMLR 17(5), 2016).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from .arrays import DECIMALS, Floats, rounded


@dataclass(frozen=True)
class Friedman:
    """Omnibus test of equal ranks; a block is a problem, never a budget, base or repeat."""

    blocks: int  # N
    mean_ranks: tuple[float, ...]  # 1 is best
    statistic: float  # chi-square, corrected for ties
    p_value: float  # K - 1 degrees of freedom; poor when blocks are few
    kendall_w: float  # agreement of the blocks, 0 to 1


@dataclass(frozen=True)
class Nemenyi:
    """All pairs of mean ranks (Nemenyi 1963; Demsar 2006, section 3.2.2). Conservative."""

    critical_difference: float  # in mean ranks
    p: Floats  # [methods, methods], adjusted; the diagonal is 1


def ranks(scores: ArrayLike) -> Floats:
    """Ranks inside each problem, 1 for the highest score, mid-ranks for ties.

    `scores`: [problems, methods >= 2], higher is better, rounded to 1e-9; NaN (failed) shares the
    worst rank.

    >>> ranks([[90.0, 80.0, 80.0], [70.0, float("nan"), 75.0]]).tolist()
    [[1.0, 2.5, 2.5], [2.0, 3.0, 1.0]]
    """
    from scipy.stats import rankdata  # loads slowly

    table = np.asarray(scores, dtype=np.float64)
    result: Floats = rankdata(-np.nan_to_num(table.round(DECIMALS), nan=-np.inf), axis=1)
    return result


def friedman(scores: ArrayLike) -> Friedman:
    """Friedman's test (1937), corrected for ties.

    chi2 = 12N / (K(K+1)) * sum_j (R_j - (K+1)/2)^2, divided by 1 - sum(t^3 - t) / (N K (K^2 - 1)).
    Where all blocks are wholly tied, p is 1. Arguments as `ranks`.

    >>> found = friedman([[90, 80, 70], [91, 85, 70], [60, 64, 50], [77, 75, 71]])
    >>> found.mean_ranks, found.statistic, round(found.p_value, 3)
    ((1.25, 1.75, 3.0), 6.5, 0.039)
    """
    table = ranks(scores)
    n, k = table.shape
    means = table.mean(axis=0)
    spread = 12 * n / (k * (k + 1)) * float(((means - (k + 1) / 2) ** 2).sum())
    same = (table[:, :, None] == table[:, None, :]).sum(axis=2)  # size of each cell's tie
    # A tie of t cells adds t^3 - t, which is t^2 - 1 for each of its cells.
    correction = 1 - float((same.astype(float) ** 2 - 1).sum()) / (n * k * (k * k - 1))
    statistic = spread / correction if correction > 1e-12 else 0.0
    p_value, agreement = float(chdtrc(k - 1, statistic)), statistic / (n * (k - 1))
    return Friedman(n, tuple(means.tolist()), statistic, p_value, agreement)


def nemenyi(mean_ranks: ArrayLike, blocks: int, alpha: float = 0.05) -> Nemenyi:
    """Nemenyi's test of every pair; critical values are scipy's studentised range.

    Args:
        mean_ranks: [methods >= 2].
        blocks: problems N.
        alpha: family-wise level.

    >>> found = nemenyi([1.2, 1.9, 2.9], blocks=10)
    >>> round(found.critical_difference, 2), round(float(found.p[0, 2]), 4)
    (1.05, 0.0004)
    """
    from scipy.stats import studentized_range

    means = np.asarray(mean_ranks, dtype=np.float64)
    error = np.sqrt(means.size * (means.size + 1) / (12 * blocks))
    q = float(studentized_range.ppf(1 - alpha, means.size, np.inf))
    p = studentized_range.sf(np.abs(means[:, None] - means) / error, means.size, np.inf)
    np.fill_diagonal(p, 1.0)
    return Nemenyi(q * float(error), np.minimum(p, 1.0))


def wilcoxon(differences: ArrayLike) -> float:
    """Exact two-sided p of Wilcoxon's signed-rank test (1945), ties included.

    Zeros are dropped before ranking, as Wilcoxon did; all zeros: p = 1. The null distribution of
    the rank sum is a dynamic programme over doubled mid-ranks, which are whole numbers.

    `differences`: [N], one a block, any unit; rounded to 1e-9 first.

    >>> wilcoxon([1.2, 0.4, 0.9, -0.1, 0.6, 1.1])
    0.0625
    """
    from scipy.stats import rankdata

    d = rounded(differences)
    kept = d[d != 0]
    doubled = np.rint(2 * rankdata(np.abs(kept))).astype(np.int64)
    probability = np.ones(1)
    for step in doubled:  # each rank joins the sum with probability one half
        apart = np.zeros(step)
        probability = (np.append(probability, apart) + np.append(apart, probability)) / 2
    smaller = min(doubled[kept > 0].sum(), doubled[kept < 0].sum())
    return float(min(1.0, 2 * probability[: smaller + 1].sum()))
