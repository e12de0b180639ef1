"""Sizes of effects in the unit of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from .arrays import rounded
from .these_problems import FEWEST_BASES


@dataclass(frozen=True)
class Interval:
    """A mean and its interval; the ends are NaN where there are too few values for one."""

    mean: float
    low: float
    high: float
    n: int


def t_interval(
    values: ArrayLike, level: float = 0.95, least: float = -np.inf, most: float = np.inf
) -> Interval:
    """Student's interval of a mean, within what the values can be; of three values or more.

    Args:
        values: [n], one a base; rounded to 1e-9.
        level: coverage in (0, 1).
        least, most: ends of what the values can be.

    Raises:
        ValueError: no values, values that are not finite, or a level outside (0, 1).

    >>> found = t_interval([1.0, 2.0, 3.0])
    >>> round(found.low, 2), found.mean, round(found.high, 2)
    (-0.48, 2.0, 4.48)
    """
    x = rounded(values)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), not {level}")
    mean, half = float(x.mean()), np.nan
    if x.size >= FEWEST_BASES:
        half = float(student.ppf((1 + level) / 2, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size))
    low, high = np.clip([mean - half, mean + half], least, most).tolist()
    return Interval(mean, low, high, x.size)


def hodges_lehmann(differences: ArrayLike) -> float:
    """Median of the Walsh averages (d_i + d_j) / 2, i <= j, in the unit of the differences.

    Hodges and Lehmann 1963. Raises ValueError as `rounded`.

    >>> hodges_lehmann([1.0, 2.0, 6.0])  # of 1, 1.5, 2, 3.5, 4, 6
    2.75
    """
    d = rounded(differences)
    rows, columns = np.triu_indices(d.size)
    return float(np.median((d[rows] + d[columns]) / 2))
