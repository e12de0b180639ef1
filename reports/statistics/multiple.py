"""Several comparisons in one family."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from .arrays import Floats


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given.

    Args:
        p_values: [m], each in [0, 1]. A comparison that was declared and could not be made
            belongs in the family as p = 1.

    Raises:
        ValueError: not one-dimensional, or a value outside [0, 1].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = _family(p_values)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((p.size - np.arange(p.size)) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjusted p-values that bound the false discovery rate (Benjamini and Hochberg 1995).

    For large exploratory families of independent or positively dependent tests; arguments and
    errors as `holm`.
    """
    p = _family(p_values)
    return np.asarray(false_discovery_control(p, method="bh")) if p.size else p


def benjamini_yekutieli(p_values: ArrayLike) -> Floats:
    """The same under any dependence (Benjamini and Yekutieli 2001): m harmonic times larger."""
    p = _family(p_values)
    return np.asarray(false_discovery_control(p, method="by")) if p.size else p


def _family(p_values: ArrayLike) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must be one-dimensional and lie in [0, 1]")
    return p
