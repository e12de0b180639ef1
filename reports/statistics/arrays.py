"""Arrays as the statistics take them: floats, of which rounding noise breaks no tie."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Differences of accuracies carry rounding noise that would break true ties.
DECIMALS = 9


def known_mean(values: ArrayLike, axis: int) -> Floats:
    """Mean of what is known along an axis; NaN where nothing is.

    >>> known_mean([[1.0, 3.0], [2.0, float("nan")], [float("nan")] * 2], axis=1).tolist()
    [2.0, 2.0, nan]
    """
    array = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(array)
    count = there.sum(axis=axis)
    total = np.where(there, array, 0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
