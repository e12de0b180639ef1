"""Every pair of methods on the problems at hand: difference, adjusted p, ranks and cliques."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Floats
from .looks import Look, spent
from .these_problems import on_these_problems


@dataclass(frozen=True)
class Pairwise:
    """All pairs; row minus column. The diagonals are p = 1 and difference 0.

    A pair's difference and p depend on its two methods alone, never on who else takes part; the
    adjusted p depends on the size of the family.
    """

    difference: Floats  # [methods, methods], mean over problems; NaN where no problem has both
    adjusted: Floats  # [methods, methods], Holm over all pairs and `families`; 1 where unknown
    known: bool  # whether any pair has a spread to be tested against

    def ranks(self, alpha: float) -> tuple[Floats, Floats]:
        """[methods] lowest and highest rank that the differences found leave open, 1 is best.

        A method comes after all that are told better, and before all that are told worse: with
        probability 1 - alpha all intervals hold the ranks of the true means at once (Mogstad,
        Romano, Shaikh and Wilhelm 2024, Rev. Econ. Stud. 91, 476-518).
        """
        told = self.adjusted <= alpha
        above, below = told & (self.difference < 0), told & (self.difference > 0)
        return 1.0 + above.sum(axis=1), len(told) - 1.0 * below.sum(axis=1)


def pairwise(scores: ArrayLike, families: int = 1, looks: Sequence[Look] = ()) -> Pairwise:
    """Welch's test of each pair on these problems, Holm over all pairs.

    Args:
        scores: [methods, problems, bases], higher is better; NaN where there is none.
        families: how many such tables share the level (one a recovery).
        looks: where methods may have stopped; p is then out of what the looks spend together.
    """
    cube = np.asarray(scores, dtype=np.float64)
    k = len(cube)
    rows, columns = np.triu_indices(k, 1)
    differences = cube[rows] - cube[columns]
    found = on_these_problems(differences, floor=True)
    p = np.nan_to_num(found.p_values, nan=1.0)
    if looks:
        p = np.minimum(p * (np.sum([one.alpha for one in looks]) / spent(looks, differences)), 1)
    adjusted, difference = np.ones((k, k)), np.zeros((k, k))
    adjusted[rows, columns] = adjusted[columns, rows] = np.minimum(families * holm(p), 1)
    difference[rows, columns], difference[columns, rows] = found.mean, -found.mean
    return Pairwise(difference, adjusted, known=bool(np.isfinite(found.error).any()))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given.

    `p_values`: [m], each in [0, 1]; a declared comparison that could not be made counts as p = 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((p.size - np.arange(p.size)) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def cliques(mean_ranks: ArrayLike, p_values: ArrayLike, alpha: float) -> list[tuple[int, ...]]:
    """Maximal runs of consecutive mean ranks in which EVERY pair is non-significant.

    Pairwise tests are not transitive: the ends of a run may not differ while two of its inner
    members do. Such a run gets no bar. Runs are of two or more methods, as indices, best rank
    first; none lies within another.

    `mean_ranks`: [methods]. `p_values`: [methods, methods] adjusted p of each pair, symmetric, 1
    where it is unknown; the diagonal is not read. `alpha`: p <= alpha is a difference.
    """
    ranks = np.asarray(mean_ranks, dtype=np.float64)
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(ranks, kind="stable")
    apart = p[np.ix_(order, order)] <= alpha
    runs: list[tuple[int, ...]] = []
    reached = 0  # one past the last member of the runs so far
    for start in range(ranks.size):
        end = start + 1
        while end < ranks.size and not apart[end, start:end].any():
            end += 1
        if end - start > 1 and end > reached:
            runs.append(tuple(order[start:end].tolist()))
            reached = end
    return runs
