"""Sizes of effects in the unit of the data: intervals, counts, and what they say to a ROPE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from .arrays import rounded

RopeVerdict = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A mean and its interval; the ends are NaN where one value leaves the spread unknown."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class WinTieLoss:
    """How many differences lie above, at and below zero."""

    wins: int
    ties: int
    losses: int


def t_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's interval of a mean.

    Args:
        values: [n], one a repeat (paired differences, or accuracies); rounded to 1e-9.
        level: coverage in (0, 1).

    Raises:
        ValueError: no values, values that are not finite, or a level outside (0, 1).

    >>> found = t_interval([1.0, 2.0, 3.0])
    >>> round(found.low, 2), found.mean, round(found.high, 2)
    (-0.48, 2.0, 4.48)
    """
    x = rounded(values)
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), not {level}")
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, float("nan"), float("nan"), 1)
    half = float(student.ppf((1 + level) / 2, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size))
    return Interval(mean, mean - half, mean + half, x.size)


def t_test(values: ArrayLike) -> float:
    """Two-sided p of the paired t-test against a mean of zero; NaN where the spread is unknown.

    It rejects at a level exactly where `t_interval` of one minus the level leaves zero out.
    Arguments and errors as `t_interval`.
    """
    x = rounded(values)
    spread = x.std(ddof=1) if x.size > 1 else 0.0
    if spread < 1e-12:  # repeats that agree to the last image
        return float("nan")
    return float(2 * student.sf(abs(x.mean()) / spread * np.sqrt(x.size), x.size - 1))


def win_tie_loss(differences: ArrayLike) -> WinTieLoss:
    """Counts of [n] differences above, at and below zero, after rounding to 1e-9."""
    d = rounded(differences)
    return WinTieLoss(int((d > 0).sum()), int((d == 0).sum()), int((d < 0).sum()))


def rope_verdict(interval: Interval, rope: float) -> RopeVerdict:
    """Verdict by where an interval lies against the region of practical equivalence, ± rope.

    `better` and `worse`: wholly outside; `equivalent`: wholly inside; `undecided`: it crosses an
    edge, there is no interval, or it has no width (accuracies are counted in whole images: repeats
    that agree to the last image leave the spread unknown, not zero).

    >>> rope_verdict(Interval(mean=1.0, low=0.4, high=1.6, n=5), rope=0.2)
    'better'
    """
    if not interval.high > interval.low:
        return "undecided"
    if interval.low > rope:
        return "better"
    if interval.high < -rope:
        return "worse"
    if -rope <= interval.low and interval.high <= rope:
        return "equivalent"
    return "undecided"
