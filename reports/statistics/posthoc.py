"""Tests on mean ranks, as extras: their answer for two methods depends on who else takes part.

Benavoli, Corani and Mangili (JMLR 17(5), 2016) show it; the report's own tests are of a pair alone.
Critical values come from scipy's studentised range, never from a typed table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, studentized_range

from .arrays import Floats
from .multiple import holm


@dataclass(frozen=True)
class Nemenyi:
    """All pairs of mean ranks (Nemenyi 1963; Demsar 2006, section 3.2.2). Conservative."""

    q: float  # critical value, already divided by the root of two
    critical_difference: float  # in mean ranks
    p: Floats  # [methods, methods], adjusted; the diagonal is 1


@dataclass(frozen=True)
class AgainstControl:
    """Mean ranks against that of a control (Demsar 2006): normal z with Holm, and Dunn's q."""

    q: float  # Bonferroni-Dunn, two-sided
    critical_difference: float  # in mean ranks
    z: Floats  # [methods], positive where the method ranks better than the control
    p: Floats  # two-sided; 1 at the control
    adjusted: Floats  # Holm over the other methods; 1 at the control


def rank_error(methods: int, blocks: int) -> float:
    """Standard error of a difference of two mean ranks: sqrt(K (K + 1) / (6 N))."""
    if methods < 2 or blocks < 1:
        raise ValueError(f"it takes 2 methods and a block, not {methods} and {blocks}")
    return float(np.sqrt(methods * (methods + 1) / (6 * blocks)))


def nemenyi(mean_ranks: ArrayLike, blocks: int, alpha: float = 0.05) -> Nemenyi:
    """Nemenyi's test of every pair.

    Args:
        mean_ranks: [methods].
        blocks: problems N.
        alpha: family-wise level.

    >>> found = nemenyi([1.2, 1.9, 2.9], blocks=10)
    >>> round(found.critical_difference, 2), round(float(found.p[0, 2]), 4)
    (1.05, 0.0004)
    """
    means = np.asarray(mean_ranks, dtype=np.float64)
    error = rank_error(means.size, blocks)
    q = nemenyi_q(means.size, alpha)
    apart = np.abs(means[:, None] - means) / error
    p = studentized_range.sf(apart * np.sqrt(2), means.size, np.inf)
    np.fill_diagonal(p, 1.0)
    return Nemenyi(q, q * error, np.minimum(p, 1.0))


def nemenyi_q(methods: int, alpha: float) -> float:
    """Critical value for K methods, in standard errors of a rank difference."""
    return float(studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2))


def bonferroni_dunn_q(methods: int, alpha: float) -> float:
    """Critical value for K - 1 two-sided comparisons with a control (Dunn 1961)."""
    return float(norm.ppf(1 - alpha / (2 * (methods - 1))))


def against_control(
    mean_ranks: ArrayLike, control: int, blocks: int, alpha: float = 0.05
) -> AgainstControl:
    """Every method against one; arguments as `nemenyi`, and the index of the control."""
    means = np.asarray(mean_ranks, dtype=np.float64)
    error = rank_error(means.size, blocks)
    q = bonferroni_dunn_q(means.size, alpha)
    z = (means[control] - means) / error
    p = 2 * norm.sf(np.abs(z))
    others = np.arange(means.size) != control
    adjusted = np.ones_like(p)
    adjusted[others] = holm(p[others])
    return AgainstControl(q, q * error, z, np.where(others, p, 1.0), adjusted)
