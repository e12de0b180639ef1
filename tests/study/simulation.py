"""Experiments whose truth is known: how often the analysis errs, and how often tempting ones do.

`docs/statistics.md` shows the outcome, the slow tests hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.statistics import (
    friedman,
    pairwise,
    per_problem,
    shift_interval,
    t_interval,
    wilcoxon,
)

Floats = NDArray[np.float64]
DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class Design:
    """Levels of an experiment and the standard deviation that each adds, in points.

    A method's score on a problem is the problem's level (shared by all methods, so it cancels),
    plus what this method does to this problem (`interaction`: why problems are the blocks), plus
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
    effect: float = 0.0  # of the first method over the others


def simulate(design: Design, rng: np.random.Generator) -> Floats:
    """One experiment: scores [methods, problems, budgets, bases, repeats]."""
    m, p, b, c, r = (
        design.methods,
        design.problems,
        design.budgets,
        design.bases,
        design.repeats,
    )
    scores = (
        design.problem_sd * rng.standard_normal((1, p, 1, 1, 1))
        + design.interaction_sd * rng.standard_normal((m, p, 1, 1, 1))
        + design.base_sd * rng.standard_normal((m, p, 1, c, 1))
        + design.repeat_sd * rng.standard_normal((m, p, b, c, r))
    )
    scores[0] += design.effect
    return scores


def problems_as_blocks(scores: Floats) -> Floats:
    """[problems, methods]: what the report does."""
    return per_problem(scores, None).T


def everything_as_blocks(scores: Floats) -> Floats:
    """[trials, methods]: every budget, base and repeat of a problem a block, which it is not."""
    return scores.reshape(scores.shape[0], -1).T


@dataclass(frozen=True)
class Rejections:
    """Shares of experiments that reject at `alpha`; under the null, the level."""

    friedman: float  # the Iman-Davenport F
    permutation: float  # Friedman by permutation; NaN where not asked for
    wilcoxon: float  # of the first two methods
    holm: float  # any pair of methods, after Holm


def rejections(
    design: Design,
    blocks: Callable[[Floats], Floats] = problems_as_blocks,
    experiments: int = 1000,
    permutations: int = 0,
    alpha: float = 0.05,
    seed: int = 0,
) -> Rejections:
    """How often the tests reject in simulated experiments.

    Args:
        design: of the experiments.
        blocks: from `simulate`'s scores to [blocks, methods].
        experiments: how many.
        permutations: of Friedman's test; 0 leaves it out.
        alpha: level.
        seed: of the experiments.
    """
    found = []
    for scores in _experiments(design, experiments, seed):
        table = blocks(scores)
        omnibus = friedman(table, permutations)
        pair = wilcoxon(table[:, 0] - table[:, 1]).p_value
        family = pairwise(table).adjusted.min() if blocks is problems_as_blocks else np.nan
        found.append((omnibus.f_p_value, omnibus.permutation_p, pair, family))
    p = np.array(found)
    shares = np.where(np.isnan(p), np.nan, p <= alpha).mean(axis=0)
    return Rejections(*shares.tolist())


@dataclass(frozen=True)
class Coverage:
    """Shares of experiments whose interval holds the true mean difference of two methods."""

    t: float
    shift: float  # Hodges-Lehmann
    repeats_only: float  # percentile bootstrap that holds the problems fixed: no interval for them


def coverage(
    design: Design, experiments: int = 1000, level: float = 0.95, seed: int = 0
) -> Coverage:
    """How often intervals of the first method minus the second hold `design.effect`."""
    held = []
    for scores in _experiments(design, experiments, seed):
        d = (scores[0] - scores[1]).mean(axis=1)  # [problems, bases, repeats]
        blocks = d.mean(axis=(1, 2))
        t, shift = t_interval(blocks, level), shift_interval(blocks, level)
        spans = [(t.low, t.high), (shift.low, shift.high)]
        spans.append(_over_repeats(d, level))
        held.append([low <= design.effect <= high for low, high in spans])
    return Coverage(*np.mean(held, axis=0).tolist())


def _over_repeats(d: Floats, level: float) -> tuple[float, float]:
    """Repeats are drawn anew inside each problem, the problems are kept as they are."""
    runs = d.reshape(d.shape[0], -1)
    rng = np.random.default_rng(0)
    n = runs.shape[1]
    weights = rng.multinomial(n, np.full(n, 1 / n), size=(DRAWS, runs.shape[0])) / n
    means = np.einsum("dpr,pr->dp", weights, runs).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _experiments(design: Design, experiments: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    for _ in range(experiments):
        yield simulate(design, rng)
