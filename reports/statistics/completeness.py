"""What a failed trial means: failing is an outcome, not a gap."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Floats

Failures = Literal["worst", "drop"]


def worst_differences(
    differences: ArrayLike, failed: ArrayLike, reference_failed: ArrayLike
) -> Floats:
    """Paired differences in which failing loses to everything measured; for rank tests only.

    Where one of the two failed, the difference takes the sign of the other and a size beyond every
    measured one; where both did, it is zero. The size means nothing: never average what this
    returns.

    Args:
        differences: [problems], method minus reference; NaN where one failed.
        failed, reference_failed: [problems], whether it did.

    >>> nan = float("nan")
    >>> worst_differences([5.0, nan, nan], failed=[0, 1, 0], reference_failed=[0, 0, 1]).tolist()
    [5.0, -6.0, 6.0]
    """
    d = np.asarray(differences, dtype=np.float64)
    sign = np.asarray(reference_failed, dtype=int) - np.asarray(failed, dtype=int)
    either = np.asarray(failed, dtype=bool) | np.asarray(reference_failed, dtype=bool)
    beyond = 1 + float(np.max(np.abs(d), where=~either, initial=0.0))
    return np.asarray(np.where(either, sign * beyond, d))
