"""Performance profiles: how often a method does at least so well (Dolan and More 2002)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .bootstrap import DRAWS, Bands, bootstrap_bands


def performance_profile(
    values: ArrayLike,
    thresholds: ArrayLike,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Bands:
    """Share of trials above each threshold, every problem weighed alike (Agarwal 2021, 4.2).

    Args:
        values: [methods, problems, bases, repeats], finite, higher is better; of one budget, or
            collapsed over budgets.
        thresholds: [t], in the unit of the values.
        level: of the pointwise bands, from the hierarchical bootstrap.

    Returns:
        Arrays [methods, t].
    """
    cube, at = np.asarray(values, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    if cube.ndim != 4 or at.ndim != 1 or not np.isfinite(cube).all():
        raise ValueError(
            "values must be finite [methods, problems, bases, repeats] and thresholds [t], "
            f"not {cube.shape} and {at.shape}"
        )
    above = cube[:, None] > at[:, None, None, None]
    return bootstrap_bands(above.astype(np.float64), level, draws, seed)
