"""Factors that every criterion shares: the reduction over a group's members, and the normaliser.

They decide which layers are pruned as much as the criterion does, so they are options of every
criterion, part of its identity, and never implied.
"""

from typing import Annotated, Literal

from .lazy import Tensor, torch
from .options import Only

Reduction = Annotated[
    Literal["sum", "mean", "max", "prod", "first"],
    Only("channels", "a single weight is one member, with nothing to reduce"),
]
Normalizer = Literal["none", "sum", "mean", "max", "l2", "minmax", "gaussian", "lamp"]


def reduce_members(scores: Tensor, how: Reduction) -> Tensor:
    """`[members, units]` to `[units]`; `first` is the group's root alone."""
    if how == "first":
        return scores[0]
    return getattr(scores, "amax" if how == "max" else how)(0)


def normalize(scores: Tensor, how: Normalizer) -> Tensor:
    """Rescale the scores `[units]` of one group; what would divide by zero is left as it is."""
    match how:
        case "none":
            return scores
        case "minmax":
            return (scores - scores.min()) / _nonzero(scores.max() - scores.min())
        case "gaussian":
            return (scores - scores.mean()) / _nonzero(scores.std(unbiased=False))
        case "lamp":
            return lamp(scores)
    return scores / _nonzero(getattr(scores, "norm" if how == "l2" else how)())


def lamp(scores: Tensor) -> Tensor:
    """Each score over the sum of those that are not smaller (Lee et al., ICLR 2021, eq. 3).

    Of equal scores, each is counted once for those before it in order of index.
    """
    ascending, order = scores.sort(stable=True)
    not_smaller = ascending.flip(0).cumsum(0).flip(0)
    shares = torch.empty_like(scores)
    shares[order] = ascending / _nonzero(not_smaller)
    return shares


def _nonzero(value: Tensor) -> Tensor:
    return torch.where(value == 0, torch.ones_like(value), value)
