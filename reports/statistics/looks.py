"""Interim looks that keep the level: each spends the share of it that its new bases are of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Look(NamedTuple):
    """One look at the data."""

    bases: int  # of each problem
    alpha: float  # what it may spend


def looks(bases: Sequence[int], alpha: float) -> list[Look]:
    """The level of each look; they sum to alpha.

    The chance of an error at any look is no larger than the sum over looks, whatever their tests
    have in common, so nothing is assumed of how few bases are distributed. A comparison that is
    told at one look stays told, and leaves its share of Holm's steps to the others (Maurer and
    Bretz 2013, Stat. Biopharm. Res. 5, 311-320).

    >>> looks([3, 6, 10], 0.05)
    [Look(bases=3, alpha=0.015), Look(bases=6, alpha=0.015), Look(bases=10, alpha=0.02)]
    """
    before = [0, *bases]
    return [
        Look(now, round(alpha * (now - then) / bases[-1], 12))
        for then, now in zip(before, bases, strict=False)
    ]
