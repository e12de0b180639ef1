"""A network with its groups and its costs, and how units leave it: at once, or step by step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from criteria import Structure, find_structure
from suites.protocol import Axis

from .cost import ChannelCost, CostModel, cost_model
from .cut import cut
from .selection import TOLERANCE, InfeasibleBudget, Limits, Scope, rank, select

Removed = list[Tensor]  # of each group, the units that have left, numbered as in the dense network
Shape = Literal["linear", "quadratic", "geometric"]
Scorer = Callable[["Network"], Sequence[Tensor]]


@dataclass(frozen=True, eq=False)
class Network:
    """A model, traced and counted."""

    model: nn.Module
    inputs: tuple[Any, ...]
    ignored: tuple[str, ...]
    structure: Structure
    cost: CostModel

    @classmethod
    def trace(
        cls, model: nn.Module, example_inputs: Any, ignored: Collection[nn.Module] = ()
    ) -> Network:
        """Find the groups of a model and what its layers cost."""
        inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
        structure = find_structure(model, inputs, ignored)
        names = tuple(
            name for name, module in model.named_modules() if any(module is one for one in ignored)
        )
        return cls(model, inputs, names, structure, cost_model(model, inputs, structure))

    def cut(self, removed: Removed) -> nn.Module:
        """A copy of the model without these units."""
        return cut(self.model, self.structure.groups, removed)

    def without(self, removed: Removed) -> Network:
        """The same, traced and counted anew; its groups are in the order of this network's."""
        model = self.cut(removed)
        rest = Network.trace(
            model, self.inputs, [model.get_submodule(name) for name in self.ignored]
        )
        by_root = {group.root: group for group in rest.structure.groups}
        roots = [group.root for group in self.structure.groups]
        if sorted(by_root) != sorted(roots):
            raise RuntimeError("pruning changed how the network's channels are coupled")
        if list(by_root) == roots:
            return rest
        structure = Structure(tuple(by_root[root] for root in roots), rest.structure.refused)
        return Network(
            model, self.inputs, self.ignored, structure, cost_model(model, self.inputs, structure)
        )

    def kept(self, removed: Removed) -> dict[str, list[int]]:
        """Root channels that stay, by the name of the root."""
        return {
            group.root: group.root_channels(_complement(group.units, gone)).tolist()
            for group, gone in zip(self.structure.groups, removed, strict=True)
        }


@dataclass(frozen=True)
class Rules:
    """How scores become removed channels; the same for all methods of a suite."""

    cost: ChannelCost = "macs"
    scope: Scope = "global"
    limits: Limits = field(default_factory=Limits)
    tolerance: float = TOLERANCE  # of the dense cost


@dataclass(frozen=True)
class Schedule:
    """Stops of an iterative path: from the dense cost to the last budget in `steps` steps.

    Where the steps lead on, `to` a lower share, those up to the last budget are taken.
    """

    steps: int
    shape: Shape = "linear"
    to: float | None = None

    def stops(self, budgets: Sequence[float]) -> list[float]:
        """Shares of the cost, falling; every budget is a stop of its own on the way."""
        last = min(budgets)
        end = last if self.to is None else self.to
        share = [step / self.steps for step in range(1, self.steps + 1)]
        match self.shape:
            case "linear":
                planned = [1 - (1 - end) * one for one in share]
            case "quadratic":  # widths fall linearly, and the cost with their square
                planned = [(1 - (1 - end**0.5) * one) ** 2 for one in share]
            case "geometric":
                planned = [end**one for one in share]
        planned = [one for one in planned if one > last]
        known = {round(one, 9) for one in budgets}  # of a budget and its rounding, one stop
        return sorted({round(one, 9) for one in planned} - known | set(budgets), reverse=True)


def one_shot(
    network: Network, scores: Sequence[Tensor], budgets: Sequence[float], rules: Rules
) -> dict[float, Removed | InfeasibleBudget]:
    """All budgets from one set of scores; a budget that cannot be met holds its reason."""
    found: dict[float, Removed | InfeasibleBudget] = {}
    for budget in budgets:
        try:
            found[budget] = selected(network, scores, budget, rules)
        except InfeasibleBudget as reason:
            found[budget] = reason
    return found


def iterative(
    network: Network,
    scorer: Scorer,
    budgets: Sequence[float],
    rules: Rules,
    schedule: Schedule,
    recover: Callable[[nn.Module, float, int], None] | None = None,
) -> dict[float, Removed | InfeasibleBudget]:
    """Score, remove down to the next stop, score what is left; one path visits all budgets.

    Args:
        recover: may train, in place, the network that is left at each stop; steps count from 0.
    """
    remaining = [torch.arange(group.units) for group in network.structure.groups]
    found: dict[float, Removed | InfeasibleBudget] = {}
    now = network
    stops = schedule.stops(budgets)
    for step, stop in enumerate(stops):
        ranking = rank(now.structure.groups, scorer(now), rules.scope)
        ahead = max(budget for budget in budgets if budget <= stop)  # not to be overshot
        tolerance = rules.tolerance + stop - ahead
        try:
            counts = _select(network, now, ranking, stop, tolerance, rules)
        except InfeasibleBudget as reason:
            found |= {budget: reason for budget in budgets if budget <= stop}
            return found
        remaining = [
            mine[order[count:].sort().values]
            for mine, order, count in zip(remaining, ranking.within, counts, strict=True)
        ]
        if stop in budgets:
            found[stop] = _gone(network, remaining)
        leaving = _lowest(ranking.within, counts)
        if stop == stops[-1]:  # no one scores what is left
            if recover is not None:
                recover(now.cut(leaving), stop, step)
            break
        now = now.without(leaving)
        if recover is not None:
            recover(now.model, stop, step)
    return found


def selected(network: Network, scores: Sequence[Tensor], budget: float, rules: Rules) -> Removed:
    """The units of lowest score, so many that the budget is met; raises InfeasibleBudget."""
    ranking = rank(network.structure.groups, scores, rules.scope)
    return _lowest(
        ranking.within, _select(network, network, ranking, budget, rules.tolerance, rules)
    )


def given_widths(scores: Sequence[Tensor], widths: Sequence[int]) -> Removed:
    """Keep so many units of each group, the best by these scores: selection without allocation."""
    orders = [values.argsort(stable=True) for values in scores]
    counts = [len(order) - width for order, width in zip(orders, widths, strict=True)]
    return _lowest(orders, counts)


def _select(
    dense: Network, now: Network, ranking: Any, budget: float, tolerance: float, rules: Rules
) -> list[int]:
    """Limits and tolerance are shares of the dense network, wherever on a path we stand."""
    groups = dense.structure.groups
    whole = dense.cost.of(rules.cost)(torch.zeros(len(groups)))
    return select(
        now.structure.groups,
        ranking,
        now.cost.of(rules.cost),
        target=dense.cost.target(rules.cost, budget),
        tolerance=tolerance * whole,
        floors=[rules.limits.floor(group) for group in groups],
        steps=[rules.limits.steps(group) for group in groups],
        whole=whole,
    )


def _lowest(orders: Sequence[Tensor], counts: Sequence[int]) -> Removed:
    return [order[:count].sort().values for order, count in zip(orders, counts, strict=True)]


def _gone(network: Network, remaining: Sequence[Tensor]) -> Removed:
    return [
        _complement(group.units, mine)
        for group, mine in zip(network.structure.groups, remaining, strict=True)
    ]


def _complement(units: int, some: Tensor) -> Tensor:
    rest = torch.ones(units, dtype=torch.bool)
    rest[some] = False
    return rest.nonzero()[:, 0]


def shares(budget: Mapping[str, float]) -> tuple[Axis, float]:
    """A budget as people write it, as (cost, share kept), or (threshold, its value).

    Raises:
        InfeasibleBudget: not exactly one of the axes or speedup, or a share outside (0, 1].
    """
    axes = tuple(budget) if isinstance(budget, Mapping) else ()
    if len(axes) != 1 or axes[0] not in (*get_args(Axis), "speedup"):
        raise InfeasibleBudget(
            f"budget {budget!r}: give one of macs, params, channels, weights (share kept), "
            "speedup, or, for a selector, threshold, as in {'macs': 0.5}"
        )
    axis: Any
    ((axis, value),) = budget.items()
    share = 1 / value if axis == "speedup" and value > 0 else value
    if not 0 < share <= 1:
        raise InfeasibleBudget(
            f"budget {axis} = {value}: "
            + ("a speed-up is at least 1" if axis == "speedup" else "a share is in (0, 1]")
        )
    return ("macs" if axis == "speedup" else axis), share
