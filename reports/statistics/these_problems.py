"""Mean differences on the problems at hand: the problems are fixed, their bases are the sample.

It answers whether one method would beat another, on the mean of these very problems, had their
bases been trained again. Nothing of it speaks for other problems: `like_these` does.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from .arrays import DECIMALS, Floats

# Two bases can agree by chance: a rare collapse of both would then pass for a finding.
FEWEST_BASES = 3
_NO_SPREAD = 1e-9  # points


class Ends(NamedTuple):
    """Limits of intervals, [m] each; NaN where there is none."""

    low: Floats
    high: Floats


@dataclass(frozen=True)
class MeanDifference:
    """Means of m paired differences, and what is known of their error."""

    mean: Floats  # [m]; NaN where there is no difference at all
    error: Floats  # [m] standard error; NaN where the spread over bases is unknown
    freedom: Floats  # [m] degrees of freedom; NaN likewise

    @property
    def p_values(self) -> Floats:
        """[m] two-sided p of a mean of zero; NaN where the spread is unknown."""
        return np.asarray(2 * stdtr(self.freedom, -np.abs(self.mean) / self.error))

    def interval(self, level: float | Floats) -> Ends:
        """[m] limits that leave zero out exactly where p is below 1 - level; one level, or [m]."""
        half = stdtrit(self.freedom, (1 + level) / 2) * self.error
        return Ends(self.mean - half, self.mean + half)


def on_these_problems(differences: ArrayLike, *, floor: bool = False) -> MeanDifference:
    """Welch's test of the mean over problems of paired differences over bases (Welch 1947).

    Each problem weighs alike, and brings its own variance of base means. Degrees of freedom are
    Satterthwaite's (1946), and no more than those of the mean shares that the problems have in the
    variance over all m differences: with three bases a problem that decides may look calm by
    chance, which for another method it does not. A problem of fewer than three bases, or one on
    which no two bases differ and no other problem has a spread, leaves the error unknown.

    With `floor`, no variance on a problem counts for less than the median over the m differences
    there: bases that agree by chance, as where some trainings collapse, are then no certainty. That
    is for many tests at once; an interval that stands alone covers what it should without.

    `differences`: [m, problems, bases], method minus reference; NaN where there is none. The bases
    of a problem that are there are the first ones. `floor`: as above.
    """
    cube = np.asarray(differences, dtype=np.float64).round(DECIMALS)
    there = ~np.isnan(cube)
    bases = there.sum(axis=2)
    counted = bases > 0
    problems = counted.sum(axis=1)
    means = np.where(there, cube, 0).sum(axis=2) / np.where(counted, bases, 1)
    squares = (np.where(there, cube - means[:, :, None], 0) ** 2).sum(axis=2)
    few = (counted & (bases < FEWEST_BASES)).any(axis=1) | (problems == 0)
    spread = squares / np.maximum(bases - 1, 1)
    unknown = few | (spread.sum(axis=1) < _NO_SPREAD**2)
    if floor:
        of_problems = zip(spread.T, counted.T, strict=True)
        least = [np.median(one[some]) if some.any() else 0.0 for one, some in of_problems]
        spread = np.where(counted, np.maximum(spread, least), 0)
    variance = spread / np.where(counted, bases, 1)
    total = variance.sum(axis=1)
    safe = np.where(unknown, 1.0, total)
    shares = variance / safe[:, None]
    below = np.maximum(bases - 1, 1)
    own = 1 / np.where(unknown, 1.0, (shares**2 / below).sum(axis=1))
    known = ~unknown
    if known.any():
        common = shares[known].mean(axis=0)
        together = 1 / (common**2 / below).sum(axis=1, where=counted, initial=1e-300)
        own = np.minimum(own, np.maximum(together, below.min(axis=1, where=counted, initial=10**9)))
    number = np.where(problems > 0, problems, 1)
    return MeanDifference(
        mean=np.where(problems > 0, means.sum(axis=1) / number, np.nan),
        error=np.where(unknown, np.nan, np.sqrt(total) / number),
        freedom=np.where(unknown, np.nan, own),
    )
