"""What other ways of reporting would have added: the best of several runs, the best epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def best_of_n(values: ArrayLike) -> float:
    """What reporting the best run instead of the mean adds, in the unit of the values.

    Args:
        values: [..., runs], finite; leading axes are cells (problem, budget), averaged. The runs
            are all bases and repeats of a cell; a single one adds nothing.

    >>> best_of_n([[1.0, 3.0], [2.0, 2.0]])
    0.5
    """
    cube = np.asarray(values, dtype=np.float64)
    if cube.ndim < 1 or cube.size == 0 or not np.isfinite(cube).all():
        raise ValueError(f"values must be finite [..., runs], not {cube.shape}")
    return float((cube.max(axis=-1) - cube.mean(axis=-1)).mean())


def best_epoch(history: ArrayLike) -> float:
    """What reporting the best epoch instead of the last adds, on the split that chose it.

    This is what choosing on the test split does to the number reported. The test split is never
    looked at during recovery, so it is estimated where it can be: on validation.

    Args:
        history: [trials, epochs], accuracy on validation after each epoch, finite.

    >>> best_epoch([[1.0, 5.0, 3.0], [1.0, 2.0, 3.0]])
    1.0
    """
    table = np.asarray(history, dtype=np.float64)
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"history must be finite [trials, epochs], not {table.shape}")
    return float((table.max(axis=1) - table[:, -1]).mean())
