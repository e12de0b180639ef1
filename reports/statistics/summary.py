"""Sizes and spreads in the unit of the data."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from .arrays import DECIMALS
from .these_problems import FEWEST_BASES


class Interval(NamedTuple):
    """A mean and its interval; the ends are NaN where there are too few values for one."""

    mean: float
    low: float
    high: float
    n: int


def t_interval(
    values: ArrayLike, level: float = 0.95, least: float = -np.inf, most: float = np.inf
) -> Interval:
    """Student's interval of a mean, within what the values can be; of three values or more.

    `values`: [n], one a base; rounded to 1e-9. `level`: coverage in (0, 1). `least`, `most`: ends
    of what the values can be.
    """
    x = np.asarray(values, dtype=np.float64).round(DECIMALS)
    mean, half = float(x.mean()), np.nan
    if x.size >= FEWEST_BASES:
        half = float(stdtrit(x.size - 1, (1 + level) / 2) * x.std(ddof=1) / np.sqrt(x.size))
    low, high = np.clip([mean - half, mean + half], least, most).tolist()
    return Interval(mean, low, high, x.size)


def hodges_lehmann(differences: ArrayLike) -> float:
    """Median of the Walsh averages (d_i + d_j) / 2, i <= j, in the unit of the differences.

    Hodges and Lehmann 1963.

    >>> hodges_lehmann([1.0, 2.0, 6.0])  # of 1, 1.5, 2, 3.5, 4, 6
    2.75
    """
    d = np.asarray(differences, dtype=np.float64).round(DECIMALS)
    rows, columns = np.triu_indices(d.size)
    return float(np.median((d[rows] + d[columns]) / 2))


class Noise(NamedTuple):
    """How far runs of one method lie apart, in the unit of its scores; NaN where unknown."""

    base_sd: float  # between bases; 0 where the estimate is negative, as below
    repeat_sd: float  # between repeats on one base
    aa_sd: float  # of the difference of two runs on the same bases


def noise(scores: ArrayLike) -> Noise:
    """Nested random effects by the method of moments (Searle 1971): balanced ANOVA estimators.

    The expected mean square of bases is that of repeats plus the variance of bases times the
    number of repeats. A level of one member is unknown, and its variance stays in the other.
    A/A noise is how far a method lies from itself when it is run again: the standard deviation of
    the difference of two runs' means, sqrt(2 s^2 / (B R)), where s^2 is the variance of repeats.
    Bases are shared by all methods and do not enter it. It is the least that a region of practical
    equivalence should be.

    `scores`: [bases, repeats], finite, collapsed over budgets.
    """
    table = np.asarray(scores, dtype=np.float64)
    bases, repeats = table.shape
    between = within = np.nan
    if repeats > 1:
        within = float(table.var(axis=1, ddof=1).mean())
    if bases > 1:
        square = repeats * float(table.mean(axis=1).var(ddof=1))
        between = max(square - np.nan_to_num(within), 0.0) / repeats
    return Noise(
        base_sd=float(np.sqrt(between)),
        repeat_sd=float(np.sqrt(within)),
        aa_sd=float(np.sqrt(2 * within / (bases * repeats))),
    )
