"""Ranks of methods inside problems, and whether they differ at all: Friedman's test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, rankdata
from scipy.stats import f as fisher

from .arrays import DECIMALS, Floats

PERMUTATIONS = 9999


@dataclass(frozen=True)
class Friedman:
    """Omnibus test of equal ranks; a block is a problem, never a budget, base or repeat."""

    blocks: int  # N
    methods: int  # K
    mean_ranks: tuple[float, ...]  # 1 is best
    tied: float  # share of cells that share their score with another of their block
    uncorrected: float  # chi-square without correction for ties
    statistic: float  # chi-square with it
    p_value: float  # of the chi-square, K - 1 degrees of freedom
    f_statistic: float  # Iman-Davenport; infinite where all blocks agree on one total order
    f_p_value: float
    kendall_w: float  # agreement of the blocks, 0 to 1
    permutation_p: float  # within blocks; the one to read when blocks are few


def as_blocks(scores: ArrayLike) -> Floats:
    """Scores as [problems, methods], rounded to 1e-9 so that noise breaks no ties.

    Raises:
        ValueError: another shape, or fewer than two methods, or an infinite value. NaN is
            allowed: a method that failed on a problem.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(f"scores must be [problems, methods >= 2], not of shape {table.shape}")
    if np.isinf(table).any():
        raise ValueError("scores must be finite; NaN stands for a method that failed")
    result: Floats = np.round(table, DECIMALS)
    return result


def ranks(scores: ArrayLike) -> Floats:
    """Ranks inside each problem, 1 for the highest score, mid-ranks for ties.

    Args:
        scores: [problems, methods], higher is better; NaN (failed) shares the worst rank.

    >>> ranks([[90.0, 80.0, 80.0], [70.0, float("nan"), 75.0]]).tolist()
    [[1.0, 2.5, 2.5], [2.0, 3.0, 1.0]]
    """
    table = as_blocks(scores)
    failed = np.where(np.isnan(table), np.inf, -table)
    result: Floats = rankdata(failed, axis=1)
    return result


def mean_ranks(scores: ArrayLike) -> Floats:
    """[methods] mean over problems of `ranks`."""
    result: Floats = ranks(scores).mean(axis=0)
    return result


def friedman(scores: ArrayLike, permutations: int = PERMUTATIONS, seed: int = 0) -> Friedman:
    """Friedman's test (1937) with correction for ties, and Iman and Davenport's F (1980).

    chi2 = 12N / (K(K+1)) * sum_j (R_j - (K+1)/2)^2, divided by 1 - sum(t^3 - t) / (N K (K^2 - 1));
    F = (N-1) chi2 / (N(K-1) - chi2). Chi-square is poor when N is small; then read
    `permutation_p`: scores are shuffled inside blocks, (hits + 1) / (permutations + 1). Where all
    blocks are wholly tied, every p is 1.

    Args:
        scores: [problems, methods], as `ranks`.
        permutations: seeded shuffles; 0 leaves `permutation_p` NaN.
        seed: of the shuffles.

    >>> found = friedman([[90, 80, 70], [91, 85, 70], [60, 64, 50], [77, 75, 71]])
    >>> found.mean_ranks, found.statistic, round(found.p_value, 3), round(found.permutation_p, 2)
    ((1.25, 1.75, 3.0), 6.5, 0.039, 0.05)
    """
    table = ranks(scores)
    n, k = table.shape
    means = table.mean(axis=0)
    spread = 12 * n / (k * (k + 1)) * float(((means - (k + 1) / 2) ** 2).sum())
    same = (table[:, :, None] == table[:, None, :]).sum(axis=2)  # size of each cell's tie
    # A tie of t cells adds t^3 - t, which is t^2 - 1 for each of its cells.
    correction = 1 - float((same.astype(float) ** 2 - 1).sum()) / (n * k * (k * k - 1))
    statistic = spread / correction if correction > 1e-12 else 0.0
    room = n * (k - 1) - statistic
    f = (n - 1) * statistic / room if room > 1e-9 * n * (k - 1) else np.inf
    if n == 1:  # one block has no error to hold the differences against
        f = np.nan
    return Friedman(
        blocks=n,
        methods=k,
        mean_ranks=tuple(means.tolist()),
        tied=float((same > 1).mean()),
        uncorrected=spread,
        statistic=statistic,
        p_value=float(chi2.sf(statistic, k - 1)),
        f_statistic=float(f),
        f_p_value=float(fisher.sf(f, k - 1, (k - 1) * (n - 1))) if n > 1 else np.nan,
        kendall_w=statistic / (n * (k - 1)),
        permutation_p=_permutation_p(table, permutations, seed),
    )


def _permutation_p(table: Floats, permutations: int, seed: int) -> float:
    """Ties are the same in every shuffle, so the spread of the rank sums stands for chi-square."""
    if permutations < 1:
        return np.nan
    rng = np.random.default_rng(seed)
    observed = float((table.sum(axis=0) ** 2).sum())
    hits = 0
    for start in range(0, permutations, 1000):  # chunks, to bound the memory
        count = min(1000, permutations - start)
        shuffled = rng.permuted(np.broadcast_to(table, (count, *table.shape)), axis=2)
        hits += int(((shuffled.sum(axis=1) ** 2).sum(axis=1) >= observed - 1e-6).sum())
    return (hits + 1) / (permutations + 1)
