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
    known = np.ma.masked_invalid(np.asarray(values, dtype=np.float64))
    return np.asarray(np.ma.filled(known.mean(axis=axis), np.nan))
