"""Arrays as the statistics take them: floats, of which rounding noise breaks no tie."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Differences of accuracies carry rounding noise that would break true ties.
DECIMALS = 9


def rounded(differences: ArrayLike) -> Floats:
    """One-dimensional differences rounded to 1e-9.

    Raises:
        ValueError: not one-dimensional, empty, or not finite.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or d.size == 0:
        raise ValueError(f"differences must be one-dimensional and not empty, not {d.shape}")
    if not np.isfinite(d).all():
        raise ValueError("differences must be finite")
    result: Floats = np.round(d, DECIMALS)
    return result
