"""Made-up experiments whose truth is known: what the tests and intervals are held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """Levels of an experiment and the standard deviation that each adds, in points.

    A method's score on a problem is the problem's level (shared by all methods, so it cancels),
    plus what the method does to this problem (`interaction`: why problems are the blocks), plus
    what it does to this base, plus noise of each trial. Budgets share all but the last.
    """

    problems: int = 12
    methods: int = 5
    budgets: int = 1
    bases: int = 1
    repeats: int = 1
    problem_sd: float = 3.0
    interaction_sd: float = 1.0
    base_sd: float = 0.0
    repeat_sd: float = 0.5
    effect: float = 0.0  # of the last method, over the others


def simulate(design: Design, rng: np.random.Generator) -> Floats:
    """One experiment: scores [methods, problems, budgets, bases, repeats]."""
    m, p, b, c, r = shape = (
        design.methods,
        design.problems,
        design.budgets,
        design.bases,
        design.repeats,
    )
    scores = design.problem_sd * rng.standard_normal((1, p, 1, 1, 1))
    scores = scores + design.interaction_sd * rng.standard_normal((m, p, 1, 1, 1))
    scores = scores + design.base_sd * rng.standard_normal((m, p, 1, c, 1))
    scores = scores + design.repeat_sd * rng.standard_normal((m, p, b, c, r))
    scores[-1] += design.effect
    assert scores.shape == shape
    return scores
