"""From trials to the independent unit: repeats, bases and budgets are averaged, never counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def per_base(values: ArrayLike) -> NDArray[np.float64]:
    """Mean over repeats, then over the budget grid: one number a base.

    With retained accuracy (pruned minus dense, in points) this is the mean retained accuracy over
    the grid; differences of it between two methods on the same bases are paired.

    Args:
        values: [budgets, bases, repeats], complete.

    Returns:
        [bases], in the unit of the values.

    Raises:
        ValueError: the array has another shape, is empty, or holds a value that is not finite.
            A mean over what happens to be there would compare different bases.
    """
    cube = np.asarray(values, dtype=np.float64)
    if cube.ndim != 3 or cube.size == 0:
        raise ValueError(f"values must be [budgets, bases, repeats], not of shape {cube.shape}")
    if not np.isfinite(cube).all():
        raise ValueError("values hold gaps; only complete cells can be collapsed")
    collapsed: NDArray[np.float64] = cube.mean(axis=2).mean(axis=0)
    return collapsed


def per_problem(values: ArrayLike) -> float:
    """Mean over repeats, bases and budgets: the one number of a method on a problem.

    Args and errors are those of `per_base`. Budgets and bases inside a problem are repeated
    measures: taking them as blocks rejects a true null in a quarter to a half of all experiments.
    """
    return float(per_base(values).mean())
