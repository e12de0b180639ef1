"""Removing step by step: of the units that have to leave in the end, those that leave first."""

from bisect import bisect_left
from collections.abc import Sequence

from ..lazy import Tensor, torch
from .procedure import Ground, Removed


def lowest(ground: Ground, scores: Sequence[Tensor], share: float) -> Removed:
    """The units of lowest score whose removal leaves at most `share` of the cost.

    They are among those that would leave now under the whole budget, so the limits of the final
    selection hold on the way, and a share on the way, which single channels may be too coarse to
    meet, is never infeasible. From the budget on they are exactly those.

    `scores`: `[units]` of each group, low leaves first. `share`: of the dense cost.
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

    prefixes = range(len(order))  # the shortest that is enough, or all
    return first(bisect_left(prefixes, True, key=lambda n: ground.share(first(n)) <= share))


def under_threshold(
    scores: Sequence[Tensor], free: Sequence[Tensor], norms: Sequence[int], count: int
) -> list[Tensor]:
    """Gate-Decorator's rule: of each group, `[units]` flags of those that leave at a tick.

    Nonzero scores of all free units, each as often as its group has norms, are sorted; whatever
    is free and not above the one at `count` leaves: one more than that, at least (You et al.,
    NeurIPS 2019, arXiv 1909.08174, the authors' code).

    `scores`, `free`: `[units]` of each group; what is not free stays, whatever its score. `norms`:
    how many each group has.
    """
    nonzero = [
        values[flags & (values != 0)].repeat_interleave(times)
        for values, flags, times in zip(scores, free, norms, strict=True)
    ]
    pool = torch.cat(nonzero).sort().values
    threshold = pool[min(count, len(pool) - 1)] if len(pool) else 0.0
    return [flags & (values <= threshold) for values, flags in zip(scores, free, strict=True)]
