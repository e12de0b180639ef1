"""Performance profiles: how often a method loses no more than so much (Dolan and More 2002)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Floats, known_mean

_TIE = 1e-9  # losses are differences of accuracies: equal ones may differ in the last bit


def shares_within(lost: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Share of budgets at which a trial loses no more than each threshold.

    Args:
        lost: [budgets, problems, bases, repeats], lower is better; infinity where a trial failed,
            NaN where a problem has no such budget, which is left out.
        thresholds: [t], in the unit of the losses.

    Returns:
        [t, problems, bases, repeats] in [0, 1]; means over the last three are the profile,
        which weighs every problem alike (Agarwal 2021, 4.2).

    >>> lost = [[[[1.0, 3.0]]], [[[2.0, float("inf")]]]]  # 2 budgets, a problem, a base, 2 repeats
    >>> shares_within(lost, [1.0, 2.0, 5.0])[:, 0, 0].tolist()
    [[0.5, 0.0], [1.0, 0.0], [1.0, 0.5]]
    """
    cube, at = np.asarray(lost, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    if cube.ndim != 4 or cube.size == 0 or at.ndim != 1:
        raise ValueError(
            "losses must be [budgets, problems, bases, repeats] and thresholds [t], "
            f"not {cube.shape} and {at.shape}"
        )
    within = np.where(np.isnan(cube), np.nan, cube <= at[:, None, None, None, None] + _TIE)
    return known_mean(within, axis=1)
