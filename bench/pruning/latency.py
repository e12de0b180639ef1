"""Budgets of latency: a network's time as a sum over its layers, looked up by their widths.

Each distinct layer is timed alone on a coarse grid of inputs and outputs; between, time is
interpolated. Networks that are narrower everywhere say how far a network's time follows that sum.
What was chosen by it is measured, and where it misses the budget, chosen again with the miss taken
off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from criteria.network.member import kind_of
from criteria.network.modes import evaluated
from reports.records import BudgetCheck, Latency, content_key
from suites.protocol import Deployment

from ..deployed.runtimes import Loaded, load, load_each, version_of
from ..deployed.timing import compare_latency, fastest
from ..export.runtimes import resized
from ..store.provenance import environment
from ..store.sealed import read_json, write_json
from .cost import Products
from .memory import met_in_memory
from .network import Network, Removed, Rules
from .selection import InfeasibleBudget, Limits
from .thresholds import Choice

SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)  # of the dense width: the grid
FITTED = (0.75, 0.5)  # of all widths, in the networks that say how time follows the sum
STEPS = (16, 8, 4, 2, 1)  # what kept channels may be multiples of
LIKED = 1.05  # seconds a MAC against those of the best step, up to which a step is liked as well
TOLERANCE = 0.02  # of the modelled time: steps of many channels are coarse
CLOSE, TRIES = 0.05, 3  # how near the measured share comes to the asked one, and in how many tries

Chosen = Choice | InfeasibleBudget
Choose = Callable[[Network, Rules, float], Chosen]  # at a share kept
Met = tuple[Chosen, BudgetCheck | None]
Cell = tuple[nn.Module, Sequence[int], int, int]  # a layer, its input's shape, fan-in and outputs


@dataclass(frozen=True, eq=False)
class LatencyModel:
    """Seconds of a network's layers, by units removed."""

    widths: Products  # a term a layer
    inputs: Tensor  # [layers, shares], the grid's fan-ins, ascending
    outputs: Tensor  # the same of outputs
    seconds: Tensor  # [layers, shares, shares]
    gone: Tensor  # [groups], units that have left before
    slope: float = 1.0  # seconds of the network for one of its layers alone

    def __call__(self, removed: Tensor) -> float:
        """The time after each group has lost `removed` units more, [groups]."""
        whole, left = self._sum(torch.zeros_like(self.gone)), self._sum(self.gone + removed)
        return whole + self.slope * (left - whole)

    def after(self, removed: Tensor) -> "LatencyModel":
        """The same of what is left once units have gone."""
        return replace(self, gone=self.gone + removed)

    def _sum(self, gone: Tensor) -> float:
        return float(self.at(*self.widths.left(gone)).sum())

    def at(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Seconds of each layer at these widths, [layers] all."""
        (i, s), (j, t) = _between(self.inputs, inputs), _between(self.outputs, outputs)
        layer = torch.arange(len(i))
        low, high = (
            (1 - t) * self.seconds[layer, one, j] + t * self.seconds[layer, one, j + 1]
            for one in (i, i + 1)
        )
        return (1 - s) * low + s * high


def _between(grid: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Where widths lie on their grids: after which point, and how far towards the next."""
    at = (torch.searchsorted(grid, width[:, None].contiguous())[:, 0] - 1).clamp(
        0, grid.shape[1] - 2
    )
    left, right = (grid.gather(1, at[:, None] + one)[:, 0] for one in (0, 1))
    return at, ((width - left) / (right - left).clamp(min=1e-9)).clamp(0, 1)


class Table:
    """Seconds of single layers in one deployment on this machine, each measured once.

    Args:
        folder: where it is kept between runs; None keeps it in memory.
    """

    def __init__(self, deployment: Deployment, device: torch.device, folder: Path | None) -> None:
        made = environment(torch.cuda.get_device_name() if device.type == "cuda" else "cpu")
        self.deployment, self._device = deployment, device
        self._where = {**deployment.identity, **{one: made[one] for one in ("cpu", "device")}}
        self._where["versions"] = [made["packages"]["torch"], version_of(deployment.runtime)]
        self._file = folder and folder / f"{content_key(self._where)}.json"
        self._known = (self._file and read_json(self._file)) or {"of": self._where, "seconds": {}}

    @property
    def digest(self) -> str:
        """SHA-256 of all that it holds, by which a record says on what it stood."""
        return content_key(self._known)

    def seconds(self, cells: Sequence[Cell]) -> list[float]:
        """Of one call of each layer.

        Raises:
            ExportError: the runtime cannot run one of them.
        """
        with torch.device("meta"):
            layers = [_narrow(*cell) for cell in cells]
        known, names = self._known["seconds"], [f"{layer} of {shape}" for layer, shape in layers]
        new = {name: one for name, one in zip(names, layers, strict=True) if name not in known}
        if new:
            made = [layer.to_empty(device=self._device) for layer, _ in new.values()]
            for parameter in (one for layer in made for one in layer.parameters()):
                nn.init.normal_(parameter)
            inputs = [torch.randn(shape, device=self._device) for _, shape in new.values()]
            runs = load_each(made, inputs, self.deployment)
            known |= dict(zip(new, fastest(runs, self.deployment), strict=True))
            if self._file:
                write_json(self._file, self._known)
        return [known[name] for name in names]


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


@dataclass(frozen=True, eq=False)
class _Deployed:
    """A network in a runtime, on its way to a share of its latency there."""

    network: Network
    deployment: Deployment
    batch: tuple[Any, ...]  # what it is timed on
    dense: Sequence[Loaded]  # twice
    table: Table
    calls: Sequence[tuple[nn.Module, list[list[int]]]]  # layers, and the shapes of their inputs
    widths: Products  # their terms

    def meet(self, choose: Choose, rules: Rules, share: float) -> Met:
        """Widths are multiples of `round_to`; where that is 1, of the least step that the runtime
        likes, or, where such widths do not meet the budget, of less."""
        found: Met = InfeasibleBudget("no width"), None
        for step in self._steps(rules.limits.round_to):
            limits = replace(rules.limits, round_to=step)
            found = self._met(choose, replace(rules, limits=limits), share)
            if isinstance(found[0], Choice):
                break
        return found

    def _met(self, choose: Choose, rules: Rules, share: float) -> Met:
        model = self._fitted(rules.limits)
        network = replace(self.network, cost=replace(self.network.cost, latency=model))
        found: list[tuple[Choice, BudgetCheck]] = []
        asked = share
        for tries in range(1, TRIES + 1):
            choice = choose(network, rules, asked)
            if isinstance(choice, InfeasibleBudget):
                return found[0] if found else (choice, None)
            counts = torch.tensor([len(one) for one in choice.removed])
            check = BudgetCheck(
                asked=share,
                predicted=model(counts) / model(torch.zeros_like(counts)),
                round_to=rules.limits.round_to,
                tries=tries,
                table=self.table.digest,
                latency=self._timed(choice.removed),
            )
            found = sorted([*found, (choice, check)], key=lambda one: abs(one[1].off))
            if abs(check.off) <= CLOSE:
                break
            asked = min(asked / (1 + check.off), 1.0)
        return found[0]

    def _timed(self, removed: Removed) -> Latency:
        (pruned,) = load(self.network.cut(removed), self.batch, self.deployment)
        return compare_latency(self.dense[0], pruned, self.dense[1], self.deployment)

    def _fitted(self, limits: Limits) -> LatencyModel:
        """The sum of the layers, and how the network's time follows it, as far as limits allow."""
        model = self._model(limits.round_to)
        less, saved = [], []
        for share in FITTED:
            removed = []
            for group in self.network.structure.groups:
                step = limits.steps(group)
                kept = max(limits.floor(group), step * round(group.units * share / step))
                removed.append(torch.arange(max(group.units - kept, 0)))
            counts = torch.tensor([len(one) for one in removed])
            less.append(1 - model(counts) / model(torch.zeros_like(counts)))
            saved.append(1 - self._timed(removed).ratio)
        squares = sum(one**2 for one in less)  # none where the limits let nothing leave
        slope = sum(x * y for x, y in zip(less, saved, strict=True)) / squares if squares else 1.0
        return replace(model, slope=slope)

    def _model(self, step: int) -> LatencyModel:
        """On a grid of widths that are multiples of a step, or dense."""
        sides = []
        for dense, lost in (
            (self.widths.inputs, self.widths.lost_inputs),
            (self.widths.outputs, self.widths.lost_outputs),
        ):
            even = step * (dense[:, None] * torch.tensor(SHARES) / step).ceil()
            follows = lost.any(1, keepdim=True)
            sides.append(torch.where(follows, even.minimum(dense[:, None]), dense[:, None]))
        points = [torch.cartesian_prod(*one) for one in zip(*sides, strict=True)]
        seconds = self._seconds(torch.stack(points)).view(len(points), len(SHARES), len(SHARES))
        rising = seconds.cummax(1).values.cummax(2).values
        none = torch.zeros(self.widths.lost_inputs.shape[1])
        return LatencyModel(self.widths, sides[0], sides[1], rising, none)

    def _seconds(self, widths: Tensor) -> Tensor:
        """Of each layer, in all its calls, at [layers, points, 2] widths: [layers, points]."""
        cells = [
            (layer, shape, int(fan_in), int(outputs))
            for (layer, shapes), points in zip(self.calls, widths.tolist(), strict=True)
            for fan_in, outputs in points
            for shape in shapes
        ]
        rest = iter(self.table.seconds(cells))
        return torch.tensor(
            [
                [sum(next(rest) for _ in shapes) for _ in points]
                for (_, shapes), points in zip(self.calls, widths, strict=True)
            ],
            dtype=torch.float64,
        )

    def _steps(self, asked: int) -> Sequence[int]:
        """Those to try, largest first: a step is liked if layers about half as wide take as long at
        odd multiples of it as the largest step says."""
        if asked > 1:
            return [asked]
        even, liked = self._model(STEPS[0]), STEPS[0]
        dense = torch.stack([self.widths.inputs, self.widths.outputs], 1)
        lost = torch.stack([self.widths.lost_inputs, self.widths.lost_outputs], 1)
        follows = lost.any(2) & (dense >= 2 * STEPS[0])
        for step in STEPS[1:]:
            odd = torch.where(follows, step * (2 * (dense / (4 * step)).round() + 1), dense)
            took = self._seconds(odd[:, None])[:, 0][follows.any(1)].sum()
            if took > LIKED * even.at(*odd.unbind(1))[follows.any(1)].sum():
                break
            liked = step
        return [one for one in STEPS if one <= liked]


def meet(
    network: Network,
    choose: Choose,
    rules: Rules,
    share: float,
    deployment: Deployment,
    folder: Path | None = None,
) -> Met:
    """What leaves at a share of the cost of the rules; of a latency also what that was found to be.

    Args:
        choose: what leaves a network by some rules at a share of the modelled cost.
        folder: where tables of layers are kept; None: in memory.

    Raises:
        ExportError: a runtime is missing, or cannot run the network.
    """
    if rules.cost == "memory":
        return met_in_memory(network, choose, rules, share), None
    if rules.cost != "latency":
        return choose(network, rules, share), None
    batch = resized(network.inputs, deployment.batch)
    layers = dict(network.model.named_modules())
    rows = [
        at
        for at, name in enumerate(network.cost.layers)
        if kind_of(layers[name]) in ("conv", "linear")
    ]
    calls = [(layers[network.cost.layers[at]], list[list[int]]()) for at in rows]
    hooks = [
        layer.register_forward_pre_hook(lambda _, given, to=shapes: to.append(list(given[0].shape)))
        for layer, shapes in calls
    ]
    with evaluated(network.model), torch.inference_mode():
        network.model(*batch)
    for hook in hooks:
        hook.remove()
    return _Deployed(
        network,
        deployment,
        batch,
        load(network.model, batch, deployment, copies=2),
        Table(deployment, next(network.model.parameters()).device, folder),
        calls,
        network.cost.macs.of(rows),
    ).meet(choose, replace(rules, tolerance=max(rules.tolerance, TOLERANCE)), share)
