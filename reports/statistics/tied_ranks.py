"""Do columns rank the same rows alike, where values closer than their rounding are ties?"""

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Floats


def rank_agreement(values: ArrayLike, rounding: ArrayLike) -> Floats:
    """Kendall's tau-b of every two columns over pairs of rows; NaN with a column of nothing but
    ties, which ranks nothing.

    Two rows of a column tie where they differ by less than the larger of their roundings. What
    rounding alone moves is then no rank, as it would be to Spearman's rho (Kendall 1945).

    Args:
        values: [rows, columns].
        rounding: [rows], at least 0: the step in which the values of a row come.

    Returns:
        [columns, columns], in [-1, 1].

    Raises:
        ValueError: the shapes do not fit.

    >>> shares = [[0.688, 0.9, 0.2], [0.719, 0.5, 0.4], [0.703, 0.1, 0.8]]
    >>> rank_agreement(shares, [1 / 16, 1 / 32, 1 / 64]).tolist()  # the first is uniform
    [[nan, nan, nan], [nan, 1.0, -1.0], [nan, -1.0, 1.0]]
    """
    table, step = np.asarray(values, dtype=np.float64), np.asarray(rounding, dtype=np.float64)
    if table.ndim != 2 or step.shape != table.shape[:1]:
        raise ValueError(f"values [rows, columns] of {table.shape} need a rounding a row, {step}")
    one, other = np.triu_indices(len(table), 1)
    apart = table[one] - table[other]
    least = np.maximum(step[one], step[other])[:, None] - 1e-9  # of a whole step they differ
    signs = np.where(np.abs(apart) < least, 0.0, np.sign(apart))
    both = signs.T @ signs
    ranked = np.diag(both)
    scale = np.sqrt(np.outer(ranked, ranked))
    return np.where(scale > 0, both / np.where(scale > 0, scale, 1.0), np.nan)
