"""Sources of a cell's noise: variance components of nested levels, and the A/A floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Floats


@dataclass(frozen=True)
class Component:
    """One level's share of the variance."""

    level: str
    sd: float  # in the unit of the values; 0 where the estimate is negative, NaN where unknown
    share: float  # of the summed variances


def variance_components(values: ArrayLike, levels: tuple[str, ...]) -> tuple[Component, ...]:
    """Nested random effects by the method of moments (Searle 1971): balanced ANOVA estimators.

    The expected mean square of a level is that of the level below plus its own variance times the
    number of values under one member. A level of one member is unknown (NaN), and its variance
    stays in the level above. Negative estimates are set to zero.

    Args:
        values: [..., n_1, n_2, ...], finite: the last axes are the levels, each nested in the one
            before; leading axes are cells (problem, method, budget), whose mean squares are
            pooled, so that a cell's own mean counts as no variance.
        levels: names, outermost first, such as ("base", "calibration") without recovery and
            ("base", "recovery") with it, where a repeat redraws calibration and finetuning order
            together; ("base", "calibration", "recovery") if a design crosses them.

    >>> base, repeat = variance_components([[1.0, 3.0], [5.0, 7.0]], ("base", "repeat"))
    >>> round(base.sd**2, 2), round(repeat.sd**2, 2)  # mean squares 16 and 2
    (7.0, 2.0)
    """
    cube = np.asarray(values, dtype=np.float64)
    depth = len(levels)
    if not 1 <= depth <= cube.ndim or cube.size == 0 or not np.isfinite(cube).all():
        raise ValueError(f"values must be finite and have an axis a level, not {cube.shape}")
    axes = cube.shape[cube.ndim - depth :]
    cells = cube.reshape(-1, *axes)
    squares = [_mean_square(cells, level) for level in range(1, depth + 1)]
    variances = np.full(depth, np.nan)
    below = 0.0  # mean square of the next level down that is known
    for level in reversed(range(depth)):
        if not np.isnan(squares[level]):
            variances[level] = max(squares[level] - below, 0.0) / np.prod(axes[level + 1 :])
            below = squares[level]
    total = float(np.nansum(variances))
    return tuple(
        Component(name, float(np.sqrt(v)), float(v / total) if total > 0 else np.nan)
        for name, v in zip(levels, variances, strict=True)
    )


def _mean_square(cells: Floats, level: int) -> float:
    """Mean square of a level's members around the mean of the one above; NaN if single."""
    if cells.shape[level] < 2:
        return np.nan
    means = (
        cells.mean(axis=tuple(range(level + 1, cells.ndim))) if level + 1 < cells.ndim else cells
    )
    under = float(np.prod(cells.shape[level + 1 :]))
    return float(under * means.var(axis=-1, ddof=1).mean())


def noise_floor(values: ArrayLike) -> float:
    """A/A noise: how far a method lies from itself when it is run again on the same bases.

    It is the standard deviation of the difference of two runs' collapsed scores on one problem,
    sqrt(2 s^2 / (B R)), where s^2 is the variance of repeats inside a base, pooled. Bases are
    shared by all methods and do not enter. It is the least that a region of practical equivalence
    should be.

    Args:
        values: [..., bases, repeats], finite, collapsed over budgets; leading axes (problems,
            methods) are pooled.

    Returns:
        In the unit of the values; NaN of one repeat.

    >>> noise_floor([[1.0, 3.0], [2.0, 2.0]])  # two bases, two repeats
    0.7071067811865476
    """
    cube = np.asarray(values, dtype=np.float64)
    if cube.ndim < 2 or cube.size == 0 or not np.isfinite(cube).all():
        raise ValueError(f"values must be finite [..., bases, repeats], not {cube.shape}")
    bases, repeats = cube.shape[-2:]
    if repeats < 2:
        return float(np.nan)
    within = float(cube.var(axis=-1, ddof=1).mean())
    return float(np.sqrt(2 * within / (bases * repeats)))
