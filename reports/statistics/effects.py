"""How large a difference is, without units: shares of comparisons won, and robust means."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, rankdata, trim_mean

from .signed_rank import rounded
from .summary import win_tie_loss


def rank_biserial(differences: ArrayLike, zeros: Literal["drop", "split"] = "drop") -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): (R+ - R-) / (R+ + R-), in [-1, 1].

    Args:
        differences: [N], one a block; rounded to 1e-9.
        zeros: dropped before ranking, as the test does, or ranked and split evenly between the
            sides (Demsar 2006). Nothing but zeros: 0.
    """
    d = rounded(differences)
    kept = d[d != 0] if zeros == "drop" else d
    if not kept.any():
        return 0.0
    ranks = rankdata(np.abs(kept))
    return float((ranks * np.sign(kept)).sum() / ranks.sum())


def sign_test(differences: ArrayLike) -> float:
    """Exact two-sided p of wins against losses; ties are left out, and nothing but ties gives 1."""
    count = win_tie_loss(differences)
    decided = count.wins + count.losses
    return float(binomtest(count.wins, decided).pvalue) if decided else 1.0


def share_won(differences: ArrayLike) -> float:
    """Paired probability of improvement: share of blocks won, a tie counting one half."""
    count = win_tie_loss(differences)
    return (count.wins + count.ties / 2) / (count.wins + count.ties + count.losses)


def a12(x: ArrayLike, y: ArrayLike) -> float:
    """P(X > Y) + P(X = Y) / 2 over all pairs of two samples (Vargha and Delaney 2000)."""
    d = rounded(np.subtract.outer(rounded(x), rounded(y)).ravel())
    return float((d > 0).mean() + (d == 0).mean() / 2)


def cliffs_delta(x: ArrayLike, y: ArrayLike) -> float:
    """P(X > Y) - P(X < Y) (Cliff 1993): 2 A12 - 1. Unpaired: for repeats inside a problem."""
    return 2 * a12(x, y) - 1


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Mean over problems of A12 (Agarwal 2021, section 4.3).

    Args:
        x, y: [problems, runs]; the numbers of runs may differ.
    """
    first, second = (np.asarray(one, dtype=np.float64) for one in (x, y))
    if first.ndim != 2 or second.ndim != 2 or first.shape[0] != second.shape[0]:
        raise ValueError(f"x and y must be [problems, runs], not {first.shape}, {second.shape}")
    return float(np.mean([a12(a, b) for a, b in zip(first, second, strict=True)]))


def interquartile_mean(values: ArrayLike) -> float:
    """Mean of the middle half of all values (Agarwal 2021); a quarter is cut at either end."""
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0 or not np.isfinite(x).all():
        raise ValueError("an interquartile mean needs finite values")
    return float(trim_mean(x, 0.25, axis=None))
