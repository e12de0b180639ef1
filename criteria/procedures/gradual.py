"""Removing step by step: of the units that have to leave in the end, those that leave first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .procedure import Ground, Removed


def lowest(ground: Ground, scores: Sequence[Tensor], share: float) -> Removed:
    """The units of lowest score whose removal leaves at most `share` of the cost.

    They are among those that would leave now under the whole budget, so the limits of the final
    selection hold on the way, and a share on the way, which single channels may be too coarse to
    meet, is never infeasible. From the budget on they are exactly those.

    Args:
        scores: `[units]` of each group, low leaves first.
        share: of the dense cost.
    """
    doomed = ground.select(scores, ground.budget)
    if share <= ground.budget:
        return doomed
    units = torch.cat(doomed)
    owner = torch.cat([torch.full_like(one, at) for at, one in enumerate(doomed)])
    values = torch.cat([one[gone] for one, gone in zip(scores, doomed, strict=True)])
    order = values.argsort(stable=True)

    def first(count: int) -> Removed:
        chosen = order[:count]
        return [units[chosen[owner[chosen] == at]].sort().values for at in range(len(doomed))]

    low, high = 0, len(order)
    while low < high:  # the shortest prefix
        middle = (low + high) // 2
        enough = ground.share(first(middle)) <= share
        low, high = (low, middle) if enough else (middle + 1, high)
    return first(low)


def joined(one: Removed, other: Removed) -> Removed:
    """Units of either."""
    return [torch.cat(pair).unique() for pair in zip(one, other, strict=True)]
