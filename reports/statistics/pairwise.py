"""Every pair of methods over problems: test, adjusted p, and shift, each as a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Floats
from .completeness import worst_differences
from .multiple import holm
from .ranks import as_blocks
from .signed_rank import hodges_lehmann, wilcoxon


@dataclass(frozen=True)
class Pairwise:
    """All pairs; row minus column. The diagonals are p = 1 and shift 0.

    A pair's p and shift depend on its two methods alone, never on the pool (Benavoli 2016); the
    adjusted p depends on the size of the family.
    """

    p: Floats  # [methods, methods], exact Wilcoxon
    adjusted: Floats  # Holm over all K(K-1)/2 pairs
    shift: Floats  # Hodges-Lehmann, in the unit of the scores; NaN where no problem has both


def pairwise(scores: ArrayLike) -> Pairwise:
    """Exact Wilcoxon over problems for each pair, Holm over all pairs, Hodges-Lehmann shifts.

    A method that failed on a problem (NaN) is the worse one there in the test, with the largest
    differences; the shift is that of the problems where both succeeded.

    Args:
        scores: [problems, methods], higher is better.

    >>> found = pairwise([[3.0, 1.0], [4.0, 3.5], [5.0, 4.0], [2.0, 1.5], [6.0, 4.0]])
    >>> found.shift.tolist(), found.p.tolist()
    ([[0.0, 1.25], [-1.25, 0.0]], [[1.0, 0.0625], [0.0625, 1.0]])
    """
    table = as_blocks(scores)
    failed = np.isnan(table)
    k = table.shape[1]
    pairs = list(combinations(range(k), 2))
    raw = [
        wilcoxon(worst_differences(table[:, i] - table[:, j], failed[:, i], failed[:, j])).p_value
        for i, j in pairs
    ]
    p, adjusted, shift = np.ones((k, k)), np.ones((k, k)), np.zeros((k, k))
    for (i, j), p_value, corrected in zip(pairs, raw, holm(raw), strict=True):
        p[i, j] = p[j, i] = p_value
        adjusted[i, j] = adjusted[j, i] = corrected
        difference = table[:, i] - table[:, j]
        measured = difference[~np.isnan(difference)]
        shift[i, j] = hodges_lehmann(measured) if measured.size else np.nan
        shift[j, i] = -shift[i, j]
    return Pairwise(p, adjusted, shift)
