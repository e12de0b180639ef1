"""What a network costs: MACs and parameters, as arithmetic of the channels it keeps.

A layer's cost is a product of its kept inputs and outputs, so the cost of any set of removed
channels follows from how many units each group has lost; nothing is copied or rebuilt to find out.
The truth is torch's own FlopCounterMode, and the arithmetic is checked against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal

from criteria import Structure
from criteria.evidence.batch import samples_in
from criteria.evidence.curvature import plain_attention
from criteria.lazy import Tensor, nn, pytree, torch
from criteria.network.given import copied
from criteria.network.member import kind_of

from ..errors import fault

# What removed channels change.
ChannelCost = Literal["macs", "params", "channels", "latency", "memory"]
Cost = Callable[[Tensor], float]  # by units removed, [groups]


@dataclass(frozen=True)
class Products:
    """Sum over terms of weight * (inputs - lost inputs) * (outputs - lost outputs)."""

    weight: Tensor  # [terms]
    # inputs, outputs: [terms], dense widths; 1 where a term has no such factor
    inputs: Tensor
    outputs: Tensor
    # lost_inputs, lost_outputs: [terms, groups], width lost for each unit that a group loses
    lost_inputs: Tensor
    lost_outputs: Tensor
    constant: float  # what no group changes

    def __call__(self, removed: Tensor) -> float:
        """The cost after each group has lost `removed` units, [groups]."""
        inputs, outputs = self.left(removed)
        return float((self.weight * inputs * outputs).sum()) + self.constant

    def after(self, removed: Tensor) -> Products:
        """The costs of what is then left."""
        inputs, outputs = self.left(removed)
        return replace(self, inputs=inputs, outputs=outputs)

    def of(self, rows: Sequence[int]) -> Products:
        """Some of the terms, without the constant."""
        of_terms = {one.name: getattr(self, one.name)[rows] for one in fields(self)[:-1]}
        return Products(**of_terms, constant=0.0)

    def left(self, removed: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs and outputs of each term then, [terms] each."""
        removed = removed.double()
        return self.inputs - self.lost_inputs @ removed, self.outputs - self.lost_outputs @ removed


@dataclass(frozen=True)
class CostModel:
    """The MACs of one image, parameters and prunable channels of a network, by units removed."""

    # macs, params: exact on what is modelled: convolutions, linear layers, attention. What the
    # dispatcher counts beyond that in the dense network is a constant of `macs`.
    macs: Products
    params: Products
    channels: Products  # root channels of all groups
    # Modules whose own MACs are a constant of `macs`, though they may follow widths.
    unmodelled: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()  # whose terms are those of `macs`
    budgeted: Cost | None = None  # latency or memory, where a budget is of it

    def after(self, gone: Tensor) -> CostModel:
        """That of the network after each group has lost `gone` units, [groups]."""
        whole = self.budgeted
        return replace(
            self,
            macs=self.macs.after(gone),
            params=self.params.after(gone),
            channels=self.channels.after(gone),
            budgeted=whole and (lambda more: whole(gone + more)),
        )

    def of(self, cost: ChannelCost) -> Cost:
        """The cost of this name."""
        found: Cost | None = getattr(self, cost, self.budgeted)
        assert found is not None, f"the network was given no model of its {cost}"
        return found

    def target(self, cost: ChannelCost, share: float) -> float:
        """What may be left of this network's cost; of channels, a whole number, rounded down."""
        kept = share * self.of(cost)(torch.zeros_like(self.channels.weight))
        return math.floor(kept + 1e-6) if cost == "channels" else kept


def count_macs(model: nn.Module, example_inputs: tuple[Any, ...]) -> int:
    """Multiply-accumulates of one image, by torch's dispatcher; attention by its math kernel."""
    return sum(_macs_by_module(model, example_inputs).values())


def count_params(model: nn.Module) -> int:
    """The number of all parameters, each counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def cost_model(
    model: nn.Module, example_inputs: tuple[Any, ...], structure: Structure
) -> CostModel:
    """Read the widths and positions of every layer from forward passes without arithmetic."""
    layers = _Layers(structure)
    counted = _macs_by_module(model, example_inputs)
    macs, params, channels, others = list[Term](), list[Term](), list[Term](), list[str]()
    names = {module: name for name, module in model.named_modules()}
    counting: list[str] = []
    for name, module in model.named_modules():
        own = counted.get(name, 0)
        if own and kind_of(module) in ("conv", "linear"):
            inputs, outputs = layers.fan_in(name, module), layers.out(name, module)
            macs.append((own / (inputs[0] * outputs[0]), inputs, outputs))
            counting.append(name)
        elif own and hasattr(module, "products_follow"):  # attention
            layer = module.products_follow
            width = layers.out(names[layer], layer)
            macs.append((own / width[0], layers.one, width))
            counting.append(name)
        elif own:
            others.append(f"{name or 'its own forward'} ({type(module).__name__})")
        for key, parameter in module.named_parameters(recurse=False):
            fan_in, out = layers.of_parameter(name, module, key)
            params.append((parameter.numel() / (fan_in[0] * out[0]), fan_in, out))
    each = torch.eye(len(structure.groups), dtype=torch.float64)
    for group, lost in zip(structure.groups, each, strict=True):
        per_unit = group.channels_per_unit
        channels.append((1.0, layers.one, (float(group.units * per_unit), per_unit * lost)))
    modelled = round(_products(macs)(torch.zeros(len(each))))
    unmodelled = sum(counted.values()) - modelled
    return CostModel(
        _products(macs, unmodelled),
        _products(params),
        _products(channels),
        tuple(others),
        tuple(counting),
    )


def weight_uses(model: nn.Module, example_inputs: tuple[Any, ...]) -> dict[str, int]:
    """How often one image multiplies each weight of a layer: its output positions, over all uses.

    All convolutions and linear layers that the forward pass calls are in it, by name, in the order
    of the model; so the MACs of a layer's nonzero weights are their number times this. Layers that
    share a weight count for the first of them. Attention products are no weights.

    Raises ArithmeticError where a layer does something else, too.
    """
    counted = _macs_by_module(model, example_inputs)
    uses = dict[str, int]()
    first = {id(weight): name for name, weight in model.named_parameters()}
    for name, module in model.named_modules():
        own = counted.get(name, 0)
        if own and kind_of(module) in ("conv", "linear"):
            weight = module.get_parameter("weight")
            if own % weight.numel():
                counts = {"macs": own, "weights": weight.numel()}
                raise ArithmeticError(fault("no_multiple", name=name, **counts))
            owner = first[id(weight)].removesuffix("weight").removesuffix(".")
            uses[owner] = uses.get(owner, 0) + own // weight.numel()
    return uses


Width = tuple[float, Tensor]  # dense, and [groups] lost for each unit
Term = tuple[float, Width, Width]  # a weight, inputs and outputs


def _products(terms: Sequence[Term], constant: float = 0) -> Products:
    weight, inputs, outputs = zip(*terms, strict=True)
    return Products(
        torch.tensor(weight, dtype=torch.float64),
        torch.tensor([dense for dense, _ in inputs], dtype=torch.float64),
        torch.tensor([dense for dense, _ in outputs], dtype=torch.float64),
        torch.stack([lost for _, lost in inputs]),
        torch.stack([lost for _, lost in outputs]),
        constant,
    )


class _Layers:
    """How wide each layer is on each side, and what it loses with each group's units."""

    def __init__(self, structure: Structure) -> None:
        none = torch.zeros(len(structure.groups), dtype=torch.float64)
        self.one: Width = (1.0, none)  # where there is no such factor
        self._sides: dict[tuple[str, bool], Width] = {}
        for index, group in enumerate(structure.groups):
            for member in group.members:
                key = (member.name, member.side == "in")
                _, lost = self._sides.setdefault(key, (float(member.width), none.clone()))
                lost[index] += member.entries_per_unit

    def fan_in(self, name: str, module: nn.Module) -> Width:
        """Inputs that each output sees: those of its block in a grouped convolution."""
        channels, _, blocks = _sizes(module)
        _, lost = self._sides.get((name, True), self.one)
        return channels / blocks, lost / blocks

    def out(self, name: str, module: nn.Module) -> Width:
        _, channels, _ = _sizes(module)
        return self._sides.get((name, False), (float(channels), self.one[1]))

    def of_parameter(self, name: str, module: nn.Module, key: str) -> tuple[Width, Width]:
        """The two widths that a parameter's size is a product of."""
        if kind_of(module) in ("conv", "linear"):
            fan_in = self.fan_in(name, module) if key == "weight" else self.one
            return fan_in, self.out(name, module)
        bare = f"{name}.{key}" if name else key
        return self.one, self._sides.get((name, False), self._sides.get((bare, False), self.one))


def _sizes(module: nn.Module) -> tuple[int, int, int]:
    """Inputs, outputs and blocks of a convolution or linear layer."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features, 1
    assert isinstance(module, nn.modules.conv._ConvNd)
    return module.in_channels, module.out_channels, module.groups


def _macs_by_module(model: nn.Module, example_inputs: tuple[Any, ...]) -> dict[str, int]:
    """MACs of one image that each module does itself, without those of its children.

    Counted on torch's meta device where the forward runs there: all shapes, none of the numbers.
    """
    images = samples_in(example_inputs)
    try:
        shapes = pytree.tree_map_only(torch.Tensor, lambda one: one.to("meta"), example_inputs)
        found = _counted(copied(model).to("meta"), shapes)
    except Exception:  # a forward that makes tensors, holds some, or asks for their values
        found = _counted(copied(model), example_inputs)
    return {name: flops // (2 * images) for name, flops in found.items() if flops}


def _counted(twin: nn.Module, inputs: tuple[Any, ...]) -> dict[str, int]:
    """FLOPs of each module, called how often and by whom it may be."""
    from torch.utils.flop_counter import FlopCounterMode

    own = dict.fromkeys((name for name, _ in twin.named_modules()), 0)
    calls: list[list[int]] = []  # of those that run: FLOPs when it began, and of what it has called

    def begin(*_: Any) -> None:
        calls.append([counter.get_total_flops(), 0])

    def end(name: str, *_: Any) -> None:
        began, inside = calls.pop()
        whole = counter.get_total_flops() - began
        own[name] += whole - inside
        if calls:
            calls[-1][1] += whole

    for name, module in twin.named_modules():
        module.register_forward_pre_hook(begin)
        module.register_forward_hook(partial(end, name))
    with plain_attention(), FlopCounterMode(display=False) as counter, torch.no_grad():
        twin.eval().requires_grad_(False)(*inputs)  # hooks of the counter's would ask for gradients
    return own
