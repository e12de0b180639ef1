"""Wilcoxon's signed-rank test, exact with ties and zeros, and the shift that belongs to it.

It takes problems for independent blocks, which those of a models x datasets grid are not: the
report shows it beside its own tests, as papers do, and decides nothing by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from .arrays import Floats, rounded


@dataclass(frozen=True)
class SignedRank:
    """Two-sided test of paired differences against a distribution symmetric about zero."""

    n: int  # differences that are not zero: the size of the test
    zeros: int  # differences dropped because they are zero
    plus: float  # rank sum of the positive differences
    minus: float  # rank sum of the negative ones
    p_value: float  # exact, two-sided

    @property
    def statistic(self) -> float:
        return min(self.plus, self.minus)


def null_distribution(ranks: ArrayLike) -> Floats:
    """Distribution of a rank sum when each rank joins it with probability one half.

    A dynamic programme over doubled mid-ranks, which are whole numbers with or without ties; it
    equals the enumeration of all 2^N signs.

    Args:
        ranks: [N] mid-ranks, multiples of one half.

    Returns:
        [2 * sum + 1]; entry k is the probability that twice the sum is k.
    """
    doubled = np.rint(2 * np.asarray(ranks, dtype=np.float64)).astype(np.int64)
    probability = np.zeros(int(doubled.sum()) + 1)
    probability[0] = 1.0
    for step in doubled:
        joined = probability / 2
        joined[step:] += probability[: probability.size - step] / 2
        probability = joined
    return probability


@lru_cache(maxsize=256)
def _lower_tail(ranks: tuple[float, ...]) -> Floats:
    tail: Floats = np.cumsum(null_distribution(ranks))
    return tail


def wilcoxon(differences: ArrayLike) -> SignedRank:
    """Exact two-sided Wilcoxon signed-rank test (Wilcoxon 1945; with ties: mid-ranks).

    Zeros: dropped before ranking, as Wilcoxon did. On Demsar 2006, table 2, this gives
    p = .007324219, the value of full sign enumeration. All zeros: p = 1.

    Args:
        differences: [N], one a block, any unit; rounded to 1e-9 first.

    Raises:
        ValueError: as `rounded`.

    >>> wilcoxon([1.2, 0.4, 0.9, -0.1, 0.6, 1.1])
    SignedRank(n=6, zeros=0, plus=20.0, minus=1.0, p_value=0.0625)
    """
    d = rounded(differences)
    kept = d[d != 0]
    if kept.size == 0:
        return SignedRank(n=0, zeros=d.size, plus=0.0, minus=0.0, p_value=1.0)
    ranks = rankdata(np.abs(kept))
    plus, minus = float(ranks[kept > 0].sum()), float(ranks[kept < 0].sum())
    tail = _lower_tail(tuple(sorted(ranks.tolist())))[round(2 * min(plus, minus))]
    return SignedRank(kept.size, d.size - kept.size, plus, minus, float(min(1.0, 2 * tail)))


def hodges_lehmann(differences: ArrayLike) -> float:
    """Median of the Walsh averages (d_i + d_j) / 2, i <= j, in the unit of the differences.

    Hodges and Lehmann 1963. Raises ValueError as `rounded`.

    >>> hodges_lehmann([1.0, 2.0, 6.0])  # of 1, 1.5, 2, 3.5, 4, 6
    2.75
    """
    return float(np.median(_walsh(rounded(differences))))


def _walsh(d: Floats) -> Floats:
    rows, columns = np.triu_indices(d.size)
    averages: Floats = (d[rows] + d[columns]) / 2
    return averages
