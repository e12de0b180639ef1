"""How well scores predict what removing each unit truly does: rank correlation and regret."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import known_mean

LEAST = 3  # units: fewer have no ranking to speak of


class Regret(NamedTuple):
    """What a choice of units costs beyond the best choice of as many.

    Normalised it is a share of what a random choice costs beyond the best: 0 is the oracle, 1 is
    random, NaN where all choices are equal.
    """

    absolute: float  # mean loss change of the units taken, minus that of the best; at least 0
    normalised: float


def rank_correlation(scores: ArrayLike, changes: ArrayLike) -> float:
    """Spearman's rho of predicted scores and true loss changes, over [units].

    Scores that are all equal tell nothing apart: it is 0. With fewer than three units, or with
    changes that are all equal, there is no ranking to be predicted: it is NaN.
    """
    from scipy.stats import spearmanr  # loads slowly

    x, y = np.asarray(scores), np.asarray(changes)
    if x.size < LEAST or np.ptp(y) == 0:
        return np.nan
    return float(spearmanr(x, y).statistic) if np.ptp(x) else 0.0


def correlation_within(scores: ArrayLike, changes: ArrayLike, groups: ArrayLike) -> float:
    """Mean over groups of the correlation inside each; groups without a ranking are left out.

    `scores`, `changes`: [units]. `groups`: [units], the group of each.
    """
    x, y, of = np.asarray(scores), np.asarray(changes), np.asarray(groups)
    correlations = [rank_correlation(x[of == one], y[of == one]) for one in np.unique(of)]
    return float(known_mean(correlations, axis=0))


def regret(scores: ArrayLike, changes: ArrayLike, share: float) -> Regret:
    """Regret of taking the share of units with the lowest scores; at least one unit is taken.

    Units of equal score at the border are taken in expectation, as a random choice among them.

    `scores`, `changes`: [units]. `share`: of the units, in (0, 1].
    """
    x, y = np.asarray(scores), np.asarray(changes)
    count = max(1, round(share * x.size))
    border = np.partition(x, count - 1)[count - 1]
    sure, tied = y[x < border], y[x == border]
    taken = (sure.sum() + (count - sure.size) * tied.mean()) / count
    best = float(np.sort(y)[:count].mean())
    random = float(y.mean()) - best
    absolute = max(float(taken) - best, 0.0)  # the sums differ in rounding
    choice = np.ptp(y) > 0 and count < y.size
    return Regret(absolute, absolute / random if choice else np.nan)


def noise_ceiling(half: ArrayLike, other: ArrayLike) -> float:
    """Correlation with the measured changes that perfect knowledge of the true ones would have.

    The measured changes are means over some images. Spearman's rho r between two halves of the
    images [units] gives the reliability of the whole, 2 r / (1 + r) (Spearman-Brown), and its root
    is the ceiling (Spearman's formula of attenuation); 0 where halves disagree, NaN without ranks.
    """
    r = np.maximum(rank_correlation(half, other), 0.0)
    return float(np.sqrt(2 * r / (1 + r)))
