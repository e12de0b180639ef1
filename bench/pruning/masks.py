"""Pruning single weights: exactly so many stay, and a mask holds the others at zero.

Nothing is cut, so a mask saves no time on dense kernels; its MACs are theoretical.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from criteria import Group, weight_structure
from criteria.training import Rider
from suites.protocol import pattern

from ..errors import fault
from .cost import weight_uses
from .network import Schedule
from .selection import InfeasibleBudget, ordered_quantiles

WeightScorer = Callable[[nn.Module], Sequence[Tensor]]  # of each group, [weights]; low leaves first
Masks = dict[str, Tensor]  # layer -> [weights], flattened as its weight: True where one stays
Recover = Callable[[nn.Module, float, int, Masks], None]


def weight_groups(model: nn.Module, example_inputs: tuple[Any, ...]) -> tuple[Group, ...]:
    """The prunable weights, a group a layer: all convolutions and linear layers that are called.

    The classifier's are among them; biases and norms are not.
    """
    called = weight_uses(model, example_inputs)
    return tuple(group for group in weight_structure(model).groups if group.root in called)


def weights_kept(total: int, share: float) -> int:
    """The share of so many weights, rounded to a whole one; InfeasibleBudget if none is left."""
    kept = round(share * total)
    if kept < 1:
        raise InfeasibleBudget(fault("none_stays", share=share, total=total))
    return kept


def choose_masks(
    model: nn.Module,  # the dense one
    groups: Sequence[Group],  # its `weight_groups`
    scorer: WeightScorer,  # is asked once, of an iterative path before every step
    shares: Sequence[float],
    scope: str,  # `global` or `local`, as in `mask_at_once`, or a pattern such as `2:4`
    *,
    # The steps of an iterative path; without, all masks follow from one scoring.
    schedule: Schedule | None = None,
    # Another method's masks at each share; each layer keeps as many weights, or each block of a
    # pattern.
    like: Mapping[float, Masks] | None = None,
    # May train, in place, the network at each stop of the schedule, and keeps what is masked at
    # zero; told the stop, its number, from 0, and the masks.
    recover: Recover | None = None,
) -> dict[float, Masks]:
    """The masks at each share of weights kept; as `choose_removed`, of single weights. Raises
    InfeasibleBudget for a share that leaves nothing, or is not that of the pattern."""
    kept, of = pattern(scope) or (0, 0)
    if of and any(abs(share - kept / of) > 1e-6 for share in shares):
        raise InfeasibleBudget(fault("pattern", scope=scope, kept=kept, of=of, share=kept / of))
    if schedule is None:
        scores = scorer(model)
        if like is not None and not of:
            return {share: given_counts(groups, scores, like[share]) for share in shares}
        return {share: mask_at_once(model, groups, scores, share, scope) for share in shares}
    masks = {group.root: torch.ones(group.units, dtype=torch.bool) for group in groups}
    chosen, now = {}, model
    for step, stop in enumerate(schedule.stops(shares)):
        scores = scorer(now)
        left = [
            values.masked_fill(~masks[group.root], -torch.inf)  # lowest, whatever it was given
            for group, values in zip(groups, scores, strict=True)
        ]
        masks = mask_at_once(model, groups, left, stop, scope)
        now = masked(now, masks)
        if recover is not None:
            recover(now, stop, step, masks)
        if stop in shares:
            chosen[stop] = masks
    return chosen


def input_blocks(layer: nn.Module, size: int) -> Tensor:
    """`[blocks, size]`: where weights of consecutive inputs lie in a layer's flattened weight.

    Those of one output, at each kernel position, in blocks that never span groups of a convolution;
    no block where the inputs that an output sees are no multiple of the size.
    """
    weight = layer.get_parameter("weight")
    transposed = getattr(layer, "transposed", False)
    places = torch.arange(weight.numel()).reshape(weight.shape).movedim(0 if transposed else 1, -1)
    inputs = places.shape[-1] // (layer.groups if transposed else 1)  # type: ignore[operator]
    return places.reshape(-1, size) if inputs % size == 0 else places.new_empty(0, size)


def mask_blocks(
    model: nn.Module, groups: Sequence[Group], scores: Sequence[Tensor], share: float, scope: str
) -> Masks:
    """Masks of a pattern N:M: the best N of every M in `input_blocks` stay, and layers without.

    Above N/M, on the way there, N is that share of M, rounded up. Of equals the first leaves.
    """
    kept, size = pattern(scope) or (0, 0)
    kept = max(kept, math.ceil(share * size - 1e-4))
    masks = {}
    for group, values in zip(groups, scores, strict=True):
        mask = torch.ones(group.units, dtype=torch.bool)
        places = input_blocks(model.get_submodule(group.root), size)
        order = values[places].argsort(dim=1, stable=True)
        mask[places.gather(1, order[:, : size - kept])] = False
        masks[group.root] = mask
    return masks


def mask_at_once(
    model: nn.Module, groups: Sequence[Group], scores: Sequence[Tensor], share: float, scope: str
) -> Masks:
    """Masks that keep exactly `weights_kept` of all weights, or as many of each block of a pattern.

    The scope global ranks all weights together; local ranks them by their quantile in the layer, so
    that all layers keep the same share, up to a weight. Among equals the earlier one leaves first.
    """
    if pattern(scope):
        return mask_blocks(model, groups, scores, share, scope)
    keys = torch.cat(list(scores))
    if scope == "local":
        sizes = torch.tensor([len(one) for one in scores])
        keys = ordered_quantiles(keys, torch.arange(len(sizes)).repeat_interleave(sizes))
    order = keys.argsort(stable=True)
    return _split(_last(order, weights_kept(len(order), share)), groups)


def given_counts(groups: Sequence[Group], scores: Sequence[Tensor], other: Masks) -> Masks:
    """Keep as many weights of each layer as another mask does, the best by these scores."""
    return {
        group.root: _last(values.argsort(stable=True), int(other[group.root].sum()))
        for group, values in zip(groups, scores, strict=True)
    }


def masked(model: nn.Module, masks: Masks) -> nn.Module:
    """A copy of the network with the masked weights at zero."""
    twin = copy.deepcopy(model)
    Holder(twin, masks)()
    return twin


class Holder(Rider):
    """Sets the masked weights of this very network to zero, as often as it is called.

    Called after every step of an optimizer, neither momentum nor weight decay brings any back.
    """

    def __init__(self, model: nn.Module, masks: Masks) -> None:
        self._doomed = [
            (weight, ~mask.reshape(weight.shape).to(weight.device))
            for layer, mask in masks.items()
            for weight in [_weight(model, layer)]
        ]

    def __call__(self) -> None:
        with torch.no_grad():
            for weight, gone in self._doomed:
                weight.masked_fill_(gone, 0.0)

    def after_step(self, step: int) -> None:
        self()


def macs_saved(masks: Masks, uses: Mapping[str, int]) -> int:
    """Multiply-accumulates of one image that no kept weight does; `uses` from `weight_uses`."""
    return sum(uses[layer] * int((~mask).sum()) for layer, mask in masks.items())


def check_counts(model: nn.Module, masks: Masks, share: float, scope: str) -> None:
    """Raises ArithmeticError where masks keep another share, or of a pattern others of a block."""
    kept, of = pattern(scope) or (0, 0)
    for layer, mask in masks.items() if of else ():
        places = input_blocks(model.get_submodule(layer), of)
        others = mask.sum() - mask[places].sum() - (len(mask) - places.numel())
        if others or (mask[places].sum(1) != kept).any():
            raise ArithmeticError(f"{layer}: the mask keeps others than {kept} of every {of}")
    found, total = int(sum(one.sum() for one in masks.values())), sum(map(len, masks.values()))
    if not of and found != weights_kept(total, share):
        raise ArithmeticError(f"the mask keeps {found} of {total} weights")


def check_held(model: nn.Module, masks: Masks) -> None:
    """Raises ArithmeticError where masked weights are back, with their layer and number."""
    for layer, mask in masks.items():
        weights = _weight(model, layer).detach().flatten().cpu()
        if back := int(weights[~mask].count_nonzero()):
            raise ArithmeticError(f"{layer}: {back} masked weights are no longer zero")


def pack(masks: Masks) -> NDArray[np.uint8]:
    """A bit a weight, layer after layer."""
    return np.packbits(torch.cat(list(masks.values())).numpy())


def unpack(bits: NDArray[Any], groups: Sequence[Group]) -> Masks:
    """The masks of these layers that `pack` was given."""
    total = sum(group.units for group in groups)
    return _split(torch.from_numpy(np.unpackbits(bits, count=total)).bool(), groups)


def _last(order: Tensor, count: int) -> Tensor:
    """`[len(order)]`: True at the last `count` of an order."""
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[order[len(order) - count :]] = True
    return kept


def _split(flat: Tensor, groups: Sequence[Group]) -> Masks:
    parts = flat.split([group.units for group in groups])
    return {group.root: part for group, part in zip(groups, parts, strict=True)}


def _weight(model: nn.Module, layer: str) -> nn.Parameter:
    return model.get_submodule(layer).get_parameter("weight")
