"""What a failed trial means: failing is an outcome, not a gap."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Failures = Literal["worst", "drop"]


def worst_filled(scores: ArrayLike) -> Floats:
    """Scores in which a failed method (NaN) lies below everything measured, for rank tests only.

    The filling is lower than every score by more than any two scores differ, so that in a
    signed-rank test a failure weighs more than every measured difference. Its size means nothing:
    never average what this returns.

    Args:
        scores: [problems, methods], higher is better.
    """
    table = np.asarray(scores, dtype=np.float64)
    if np.isnan(table).all():
        return np.zeros_like(table)
    low, high = float(np.nanmin(table)), float(np.nanmax(table))
    filled: Floats = np.where(np.isnan(table), low - (high - low) - 1, table)
    return filled


def complete_problems(scores: ArrayLike) -> NDArray[np.bool_]:
    """[problems] whether every method succeeded: what is kept when failures are dropped."""
    kept: NDArray[np.bool_] = ~np.isnan(np.asarray(scores, dtype=np.float64)).any(axis=1)
    return kept
