"""Whether a dense network has learned anything: pruning one that guesses shows nothing."""

from __future__ import annotations

import math

TWICE = 2.0  # times guessing, below which a network has hardly learned
PART = 0.2  # of the way from guessing to all right, where twice guessing is too much to ask
ERRORS = 3.0  # standard errors of guessing on the test images, which luck does not reach


def near_chance(top1: float, classes: int, images: int) -> bool:
    """Whether an accuracy is little better than guessing among so many classes.

    It is where it lies below twice 1/classes; of few classes, below a fifth of the way from
    guessing to all right; and on few images, within three standard errors of guessing.

    Args:
        top1: share of the test images that are right.
        classes: of the dataset.
        images: in its test split.

    >>> near_chance(0.19, 10, 360), near_chance(0.5, 10, 360), near_chance(0.019, 100, 10_000)
    (True, False, True)
    """
    chance = 1 / classes
    enough = min(TWICE * chance, chance + PART * (1 - chance))
    luck = chance + ERRORS * math.sqrt(chance * (1 - chance) / images)
    return top1 < max(enough, luck)
