"""Budgets of latency: a network's time as a sum over its layers, looked up by their widths.

Each distinct layer is timed alone on a coarse grid of inputs and outputs; between, time is
interpolated. Networks that are narrower everywhere say how far a network's time follows that sum.
What was chosen by it is measured, and where it misses the budget, chosen again with the miss taken
off.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import linear_regression
from typing import Any

import torch
from torch import Tensor, nn

from criteria.network.member import kind_of
from criteria.network.modes import evaluated
from reports.records import BudgetCheck, Latency, content_key
from suites.protocol import Deployment

from ..deployed.runtimes import load, load_each, version_of
from ..deployed.timing import compare_latency, fastest
from ..errors import fault
from ..export.runtimes import resized
from ..store.provenance import machine
from ..store.sealed import read_json, write_json
from .cost import Cost
from .memory import met_in_memory
from .network import Network, Removed, Rules
from .selection import InfeasibleBudget, Limits
from .thresholds import Choice

SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)  # of the dense width: the grid
FITTED = (0.75, 0.5)  # of all widths, in the networks that say how time follows the sum
STEPS = (16, 8, 4, 2, 1)  # what kept channels may be multiples of
LIKED = 1.05  # time of odd multiples of a step, against what STEPS[0] says, up to which it is liked
TOLERANCE = 0.02  # of the modelled time: steps of many channels are coarse
CLOSE, TRIES = 0.05, 3  # how near the measured share comes to the asked one, and in how many tries

Chosen = Choice | InfeasibleBudget
Choose = Callable[[Network, Rules, float], Chosen]  # at a share kept
Met = tuple[Chosen, BudgetCheck | None]
Call = tuple[int, nn.Module, list[int]]  # a layer's term, the layer, and the shape of its input


def meet(
    network: Network,
    choose: Choose,
    rules: Rules,
    share: float,
    deployment: Deployment,
    folder: Path | None = None,
) -> Met:
    """What leaves at a share of the cost of the rules; of a latency also what that was found to be.

    `choose`: what leaves a network by some rules at a share of the modelled cost. `folder`: where
    tables of layers are kept; None: in memory.
    """
    if rules.cost == "memory":
        return met_in_memory(network, lambda now: choose(now, rules, share)), None
    if rules.cost != "latency":
        return choose(network, rules, share), None
    rules = replace(rules, tolerance=max(rules.tolerance, TOLERANCE))
    network_there, asked = _Deployed(network, deployment, folder), rules.limits.round_to
    for step in [asked] if asked > 1 else network_there.steps():
        limits = rules.limits.model_copy(update={"round_to": step})
        found = network_there.met(choose, replace(rules, limits=limits), share)
        if isinstance(found[0], Choice):
            return found
    return InfeasibleBudget(fault("latency", where=deployment.title, why=found[0])), None


class _Deployed:
    """A network in a runtime, and the table of its layers there, each timed once."""

    def __init__(self, network: Network, deployment: Deployment, folder: Path | None) -> None:
        self._network, self._deployment = network, deployment
        self._batch = resized(network.inputs, deployment.batch)
        self._dense = load(network.model, self._batch, deployment, copies=2)
        self._calls = _calls(network, self._batch)
        self._widths = network.cost.macs.of([row for row, _, _ in self._calls])
        self._device = next(network.model.parameters()).device
        device = "cpu" if self._device.type == "cpu" else torch.cuda.get_device_name()
        where = {**deployment.identity, **machine(device)}
        where["version"] = version_of(deployment.runtime)
        self._file = folder and folder / f"{content_key(where)}.json"
        self._table = (self._file and read_json(self._file)) or {"of": where, "seconds": {}}

    def met(self, choose: Choose, rules: Rules, share: float) -> Met:
        """The nearest of a few networks: each but the first takes off what the last one missed."""
        model = self._model(rules.limits)
        network = replace(self._network, cost=replace(self._network.cost, budgeted=model))
        found, asked = list[tuple[Choice, BudgetCheck]](), share
        for tries in range(1, TRIES + 1):
            choice = choose(network, rules, asked)
            if isinstance(choice, InfeasibleBudget):
                return found[0] if found else (choice, None)
            counts = torch.tensor([len(one) for one in choice.removed])
            check = BudgetCheck(
                asked=share,
                predicted=model(counts),
                round_to=rules.limits.round_to,
                tries=tries,
                table=content_key(self._table),
                latency=self._timed(choice.removed),
            )
            found = sorted([*found, (choice, check)], key=lambda one: abs(one[1].off))
            if abs(check.off) <= CLOSE:
                break
            asked = min(asked / (1 + check.off), 1.0)
        return found[0]

    def steps(self) -> Sequence[int]:
        """What kept channels may be multiples of, largest first: all but those that are not liked.

        A step is liked if layers about half as wide take as long at odd multiples of it as the
        largest step says.
        """
        even, liked = self._grid(STEPS[0]), STEPS[0]
        widths = self._widths
        dense = torch.stack([widths.inputs, widths.outputs], 1)
        lost = torch.stack([widths.lost_inputs, widths.lost_outputs], 1).any(2)
        follows = lost & (dense >= 2 * STEPS[0])
        for step in STEPS[1:]:
            odd = torch.where(follows, step * (2 * (dense / (4 * step)).round() + 1), dense)
            took = self._seconds(odd[:, None])[:, 0][follows.any(1)].sum()
            if took > LIKED * even(*odd.unbind(1))[follows.any(1)].sum():
                break
            liked = step
        return [one for one in STEPS if one <= liked]

    def _timed(self, removed: Removed) -> Latency:
        (pruned,) = load(self._network.cut(removed), self._batch, self._deployment)
        return compare_latency(self._dense[0], pruned, self._dense[1], self._deployment)

    def _model(self, limits: Limits) -> Cost:
        """The share of latency left by units removed, as networks follow it that are narrower."""
        layers, less, saved = self._grid(limits.round_to), list[float](), list[float]()

        def total(removed: Tensor) -> float:
            return float(layers(*self._widths.left(removed)).sum())

        groups = self._network.structure.groups
        whole = total(torch.zeros(len(groups)))
        for share in FITTED:
            removed = []
            for group in groups:
                step = limits.steps(group)
                kept = max(limits.floor(group), step * round(group.units * share / step))
                removed.append(torch.arange(max(group.units - kept, 0)))
            less.append(whole - total(torch.tensor([len(one) for one in removed])))
            saved.append(1 - self._timed(removed).ratio)
        # None where the limits let nothing leave.
        slope = linear_regression(less, saved, proportional=True).slope if any(less) else 1 / whole
        return lambda removed: 1 - slope * (whole - total(removed))

    def _grid(self, step: int) -> Callable[[Tensor, Tensor], Tensor]:
        """Seconds of each layer by its inputs and outputs, between multiples of a step."""
        sides = []
        for dense, lost in (
            (self._widths.inputs[:, None], self._widths.lost_inputs),
            (self._widths.outputs[:, None], self._widths.lost_outputs),
        ):
            even = step * (dense * torch.tensor(SHARES) / step).ceil()
            sides.append(torch.where(lost.any(1, keepdim=True), even.minimum(dense), dense))
        points = torch.stack([torch.cartesian_prod(*one) for one in zip(*sides, strict=True)])
        seconds = self._seconds(points).unflatten(1, (len(SHARES), len(SHARES)))
        rising, layer = seconds.cummax(1).values.cummax(2).values, torch.arange(len(seconds))

        def at(inputs: Tensor, outputs: Tensor) -> Tensor:
            (i, s), (j, t) = _between(sides[0], inputs), _between(sides[1], outputs)
            below, above = rising[layer, i], rising[layer, i + 1]  # [layers, shares]
            low, high = (torch.lerp(one[layer, j], one[layer, j + 1], t) for one in (below, above))
            return torch.lerp(low, high, s)

        return at

    def _seconds(self, widths: Tensor) -> Tensor:
        """Of each layer at [layers, points, 2] inputs and outputs: [layers, points]."""
        with torch.device("meta"):
            layers = [
                _narrow(layer, shape, int(fan_in), int(outputs))
                for (_, layer, shape), points in zip(self._calls, widths.tolist(), strict=True)
                for fan_in, outputs in points
            ]
        known, names = self._table["seconds"], [f"{layer} of {shape}" for layer, shape in layers]
        new = {name: one for name, one in zip(names, layers, strict=True) if name not in known}
        if new:
            made = [layer.to_empty(device=self._device) for layer, _ in new.values()]
            for parameter in (one for layer in made for one in layer.parameters()):
                nn.init.normal_(parameter)
            inputs = [torch.randn(shape, device=self._device) for _, shape in new.values()]
            runs = load_each(made, inputs, self._deployment)
            known |= dict(zip(new, fastest(runs, self._deployment), strict=True))
            if self._file:
                write_json(self._file, self._table)
        return torch.tensor([known[one] for one in names]).double().view(widths.shape[:2])


def _between(grid: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Where widths lie on their grids, ascending: after which point, and how far to the next."""
    after = torch.searchsorted(grid, width[:, None].contiguous())[:, 0]
    at = (after - 1).clamp(0, grid.shape[1] - 2)
    left, right = (grid.gather(1, at[:, None] + one)[:, 0] for one in (0, 1))
    return at, ((width - left) / (right - left).clamp(min=1e-9)).clamp(0, 1)


def _calls(network: Network, batch: tuple[Any, ...]) -> list[Call]:
    """Every call of a convolution or linear layer in a forward pass."""
    calls = list[Call]()
    rows = {network.model.get_submodule(one): row for row, one in enumerate(network.cost.layers)}

    def note(layer: nn.Module, given: Any) -> None:
        calls.append((rows[layer], layer, list(given[0].shape)))

    timed = [one for one in rows if kind_of(one) in ("conv", "linear")]
    hooks = [one.register_forward_pre_hook(note) for one in timed]
    with evaluated(network.model), torch.inference_mode():
        network.model(*batch)
    for hook in hooks:
        hook.remove()
    return calls


def _narrow(
    layer: nn.Module, shape: Sequence[int], fan_in: int, outputs: int
) -> tuple[nn.Module, list[int]]:
    """A layer of the same kind with these widths, and the shape of its input."""
    if isinstance(layer, nn.Linear):
        return nn.Linear(fan_in, outputs, layer.bias is not None), [*shape[:-1], fan_in]
    assert isinstance(layer, nn.modules.conv._ConvNd)
    depthwise = layer.groups == layer.in_channels > 1
    blocks = outputs * layer.groups // layer.out_channels if depthwise else layer.groups
    kind = next(one for one in type(layer).__mro__ if one.__module__ == nn.Conv2d.__module__)
    made: nn.Module = kind(
        fan_in * blocks, outputs, layer.kernel_size, layer.stride, layer.padding,
        dilation=layer.dilation, groups=blocks, bias=layer.bias is not None,
    )  # fmt: skip
    sides = len(layer.kernel_size)
    return made, [*shape[: -sides - 1], fan_in * blocks, *shape[-sides:]]
