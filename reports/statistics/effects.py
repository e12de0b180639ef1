"""How large a difference is, without units: shares of comparisons won, and robust means."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata, trim_mean

from .arrays import rounded
from .summary import win_tie_loss


def rank_biserial(differences: ArrayLike) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): (R+ - R-) / (R+ + R-), in [-1, 1].

    Zeros are dropped before ranking, as the test does; nothing but zeros gives 0.

    Args:
        differences: [N], one a block; rounded to 1e-9.

    >>> rank_biserial([3.0, 1.0, -2.0, 0.0])
    0.3333333333333333
    """
    d = rounded(differences)
    kept = d[d != 0]
    if kept.size == 0:
        return 0.0
    ranks = rankdata(np.abs(kept))
    return float((ranks * np.sign(kept)).sum() / ranks.sum())


def share_won(differences: ArrayLike) -> float:
    """Paired probability of improvement: share of blocks won, a tie counting one half.

    >>> share_won([1.0, 0.0, -2.0, 3.0])
    0.625
    """
    count = win_tie_loss(differences)
    return (count.wins + count.ties / 2) / (count.wins + count.ties + count.losses)


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half of all values (Agarwal 2021); a quarter is cut at either end.

    >>> interquartile_mean([0, 0, 0, 1, 1, 1, 1, 10])
    0.75
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0 or not np.isfinite(x).all():
        raise ValueError("an interquartile mean needs finite values")
    return float(trim_mean(x, 0.25, axis=None))
