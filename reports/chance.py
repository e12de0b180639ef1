"""Whether a dense network has learned anything: pruning one that guesses shows nothing."""

import math
from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean

from .records import Record

TWICE = 2.0  # times guessing, below which a network has hardly learned
PART = 0.2  # of the way from guessing to all right, where twice guessing is too much to ask
ERRORS = 3.0  # standard errors of guessing on the test images, which luck does not reach


def near_chance(top1: float, classes: int, images: int) -> bool:
    """Whether an accuracy is little better than guessing among so many classes.

    It is where it lies below twice 1/classes; of few classes, below a fifth of the way from
    guessing to all right; and on few images, within three standard errors of guessing.

    `top1`: share of the test images that are right, of which there are `images`.
    """
    chance = 1 / classes
    enough = min(TWICE * chance, chance + PART * (1 - chance))
    luck = chance + ERRORS * math.sqrt(chance * (1 - chance) / images)
    return top1 < max(enough, luck)


def guessing(records: Iterable[Record]) -> dict[str, str]:
    """What the dense networks reach on the problems where they do little better than guessing.

    By problem, in words: `9.7 % of 10 classes`. Records of old, which know no classes, say nothing.
    """
    reached: dict[str, dict[int, float]] = defaultdict(dict)
    sizes: dict[str, tuple[int, int]] = {}
    for one in records:
        found = one.measurements
        if found is not None and one.metric.counts and found.classes and found.test_images:
            reached[one.labels.problem][one.labels.base] = found.dense.top1
            sizes[one.labels.problem] = found.classes, found.test_images
    means = {problem: fmean(by_base.values()) for problem, by_base in reached.items()}
    return {
        problem: f"{100 * top1:.1f} % of {sizes[problem][0]} classes"
        for problem, top1 in sorted(means.items())
        if near_chance(top1, *sizes[problem])
    }
