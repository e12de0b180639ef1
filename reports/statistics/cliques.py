"""Groups of methods that nothing tells apart: the bars of a rank diagram."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def cliques(mean_ranks: ArrayLike, p_values: ArrayLike, alpha: float) -> list[tuple[int, ...]]:
    """Maximal runs of consecutive mean ranks in which EVERY pair is non-significant.

    Pairwise tests are not transitive: the ends of a run may not differ while two of its inner
    members do. Such a run gets no bar.

    Args:
        mean_ranks: [methods].
        p_values: [methods, methods] adjusted p of each pair, symmetric; the diagonal is not read.
        alpha: p <= alpha is a difference.

    Returns:
        Runs of two or more methods as indices, best rank first; none lies within another.

    >>> p = [[1.0, 0.6, 0.01], [0.6, 1.0, 0.3], [0.01, 0.3, 1.0]]
    >>> cliques([1.2, 1.9, 2.9], p, alpha=0.05)  # the first and the last differ
    [(0, 1), (1, 2)]
    """
    ranks = np.asarray(mean_ranks, dtype=np.float64)
    p = np.asarray(p_values, dtype=np.float64)
    if ranks.ndim != 1 or p.shape != (ranks.size, ranks.size):
        raise ValueError(f"{ranks.size} mean ranks need as many rows and columns, not {p.shape}")
    if np.isnan(p[~np.eye(ranks.size, dtype=bool)]).any():
        raise ValueError("every pair needs a p-value; a comparison that cannot be made has p = 1")
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
