"""Budgets collapsed to one number a trial: repeated measures are averaged, never counted."""

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Floats


def budget_weights(kept: ArrayLike) -> Floats:
    """What each budget weighs in the area under a curve over log compression; sums to 1.

    The trapezoid rule over log(1 / kept), divided by the range: a budget counts for the stretch of
    compression around it, so that a grid that is dense somewhere does not decide. One budget
    weighs 1; two weigh one half each.

    `kept`: [budgets], shares kept in (0, 1], in any order. Suites hold none twice.

    >>> budget_weights([0.5, 0.25, 0.0625]).round(3).tolist()
    [0.167, 0.5, 0.333]
    """
    share = np.asarray(kept, dtype=np.float64)
    if share.size == 1:
        return np.ones(1)
    order = np.argsort(-share)
    gaps = np.diff(-np.log(share[order]))
    weights = np.empty_like(share)
    weights[order] = (np.append(gaps, 0) + np.append(0, gaps)) / 2
    return weights / gaps.sum()


def per_trial(values: ArrayLike, kept: ArrayLike | None) -> Floats:
    """[..., bases, repeats] area under each trial's curve, whose means over both are compared.

    Budgets, bases and repeats inside a problem are repeated measures: taking them as blocks rejects
    a true null in a quarter to nine tenths of all experiments. With retained accuracy (pruned minus
    dense, in points) differences between two methods on the same bases are paired.

    `values`: [..., budgets, bases, repeats] of complete cells: a mean over what happens to be there
    would compare different bases. `kept`: [budgets], shares kept: the area under the curve over log
    compression, as `budget_weights`. None (settings of a knob, which are no compression): the plain
    mean.
    """
    cube = np.asarray(values, dtype=np.float64)
    if kept is None:
        return np.asarray(cube.mean(axis=-3))
    return np.asarray(np.tensordot(cube, budget_weights(kept), axes=(-3, 0)))
