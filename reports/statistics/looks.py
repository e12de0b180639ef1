"""Interim looks that keep the level: each spends a share of it, the later ones more."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Floats


class Look(NamedTuple):
    """One look at the data."""

    bases: int  # of each problem
    alpha: float  # what it may spend


def looks(bases: Sequence[int], alpha: float) -> list[Look]:
    """The level of each look; they sum to alpha.

    After b of B bases alpha (b / B)^2 is spent (Kim and DeMets 1987, Biometrika 74, 149-154): what
    is large enough for few bases is told at almost any level, and what is not keeps most of the
    level for the last look. The chance of an error at any look is no larger than the sum over
    looks, whatever their tests have in common, so nothing is assumed of how few bases are
    distributed. A comparison that is told at one look stays told.
    """
    before = [0, *bases]
    return [
        Look(now, round(alpha * (now**2 - then**2) / bases[-1] ** 2, 12))
        for then, now in zip(before, bases, strict=False)
    ]


def spent(looks: Sequence[Look], differences: ArrayLike) -> Floats:
    """[m] the level of tests, at the look that their bases have come to.

    Whoever stops at a look for whatever reason, and tests at that look's level, errs at all looks
    together no more often than their sum.

    `differences`: [m, problems, bases]; NaN where there is none.
    """
    bases = (~np.isnan(np.asarray(differences))).sum(axis=2).max(axis=1, initial=0)
    at = np.searchsorted([one.bases for one in looks], bases)
    return np.array([one.alpha for one in looks])[np.minimum(at, len(looks) - 1)]
