"""Scores become removed channels under a budget, the same way for every method.

One ranking of all units, whatever the scope; a floor under every group; and the shortest prefix of
the ranking whose cost meets the budget. A unit that would overshoot by more than the tolerance is
left, and the walk goes on to finer ones. A group that the ranking takes below its floor keeps its
floor, or stays whole (`Limits.emptied`); then a budget that is out of reach is missed by what such
groups hold, and refused only where the limits alone put it there.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from criteria import Group
from criteria.lazy import Tensor, torch
from suites.protocol import LimitsSpec

from ..errors import BenchError, fault
from .cost import Cost

Scope = Literal["global", "local", "isomorphic"]
TOLERANCE = 0.01  # of the dense cost
T = TypeVar("T")


class InfeasibleBudget(BenchError):
    """A budget that the limits do not allow, or that no unit is fine enough to meet."""


def each_budget(
    budgets: Sequence[float], choose: Callable[[float], T]
) -> dict[float, T | InfeasibleBudget]:
    """What is chosen at each budget; of one that cannot be met, the reason."""
    chosen: dict[float, T | InfeasibleBudget] = {}
    for budget in budgets:
        try:
            chosen[budget] = choose(budget)
        except InfeasibleBudget as reason:
            chosen[budget] = reason
    return chosen


def unranked(groups: Sequence[Group], scores: Sequence[Tensor]) -> list[str]:
    """Roots of the groups of which all units have one score: their places alone decide."""
    return [
        group.root
        for group, values in zip(groups, scores, strict=True)
        if group.units > 1 and bool((values == values[:1]).all())
    ]


class Limits(LimitsSpec):
    """What every group of channels keeps, in units."""

    def steps(self, group: Group) -> int:
        """Units that leave together, so that kept channels stay multiples of `round_to`."""
        return self.round_to // math.gcd(self.round_to, group.channels_per_unit)

    def floor(self, group: Group) -> int:
        """Units that stay. A group that cannot keep a multiple of `round_to` stays whole."""
        if not self.coupled and group.coupled:
            return group.units
        per_unit = group.channels_per_unit
        own = [share for place, share in self.layers.items() if made_in(group, place)]
        share = max([self.protect, *own])
        kept = share * group.units * per_unit
        whole = math.ceil(kept - 1e-9) if self.protect_rounds == "up" else math.floor(kept + 1e-9)
        channels = max(self.min_channels, whole)
        units = max(1, math.ceil(channels / per_unit), _still_grouped(group))
        step = self.steps(group)
        if group.units % step:
            return group.units
        return min(math.ceil(units / step) * step, group.units)


def made_in(group: Group, place: str) -> bool:
    """Whether a layer of this name, or inside a module of this name, makes the group's channels."""
    return any(
        f"{member.name}.".startswith(f"{place}.")
        for member in group.members
        if member.side == "out" and member.kind in ("conv", "linear")
    )


def _still_grouped(group: Group) -> int:
    """The units that keep two outputs in each block of a grouped or depthwise convolution.

    With one the first would be traced as depthwise, its inputs coupled to its outputs, on the next
    step, and the second as plain, with inputs of their own.
    """
    convolutions = [member for member in group.members if member.kind == "conv"]
    grouped = [
        math.ceil(2 * member.blocks / member.entries_per_unit)
        for member in convolutions
        if member.side == "out" and member.blocks > 1
    ]
    depthwise = [2 for member in convolutions if member.side == "both"]
    return max([1, *grouped, *depthwise])


@dataclass(frozen=True)
class RemovalOrder:
    """All units in the order in which they leave."""

    groups: Tensor  # [units of the network], the group of each, first to go first
    within: tuple[Tensor, ...]  # of each group, its own units, first to go first


def rank(groups: Sequence[Group], scores: Sequence[Tensor], scope: Scope) -> RemovalOrder:
    """Order units by score; among equals the earlier group and channel goes first.

    The scope global goes by the scores as they are; local by their quantile in the group, so that
    all groups shrink alike; isomorphic by their quantile among all groups of one pattern. Units at
    minus infinity have left already, and go first in any.
    """
    within = tuple(values.argsort(stable=True) for values in scores)
    owner = torch.cat([torch.full((len(one),), at) for at, one in enumerate(scores)])
    values = torch.cat([one.double() for one in scores])
    match scope:
        case "global":
            keys = values
        case "local":
            keys = ordered_quantiles(values, owner)
        case "isomorphic":
            patterns = {group.pattern: at for at, group in enumerate(groups)}
            classes = torch.tensor([patterns[group.pattern] for group in groups])
            keys = ordered_quantiles(values, classes[owner])
    keys = keys.masked_fill(values == -torch.inf, -torch.inf)
    return RemovalOrder(owner[keys.argsort(stable=True)], within)


def ordered_quantiles(values: Tensor, classes: Tensor) -> Tensor:
    """Place of each of `[n]` values among those of its class, in (0, 1); of equals, in order."""
    places = torch.empty(len(values), dtype=torch.float64)
    for one in classes.unique():
        mine = (classes == one).nonzero()[:, 0]
        steps = torch.arange(len(mine), dtype=torch.float64)
        places[mine[values[mine].argsort(stable=True)]] = (steps + 0.5) / len(mine)
    return places


def select(
    groups: Sequence[Group],  # of the network at hand
    ranking: RemovalOrder,  # of all its units
    cost: Cost,  # its cost by removed units
    # target, tolerance: absolute, in the units of `cost`
    target: float,
    tolerance: float,
    floors: Sequence[int],  # units that each group keeps
    steps: Sequence[int],  # units that leave each group together
    # What messages give shares of; default: the cost of the network at hand.
    whole: float | None = None,
    # What of a group that the ranking takes below its floor.
    emptied: Literal["floor", "skip"] = "floor",
    nominal: bool = False,  # the target is what the ranking asks for, and what is skipped misses it
) -> list[int]:
    """How many units each group loses, lowest first, to cost target - tolerance to target.

    With `emptied` = `skip`, the network of least cost where no prefix of the ranking costs that.

    Raises InfeasibleBudget, which says what is the least that can be reached.
    """
    units = torch.tensor([group.units for group in groups])
    step, least = torch.tensor(list(steps)), torch.tensor(list(floors))
    spare = (units - least).clamp(min=0)
    asked_of = units * (spare > 0) if emptied == "skip" else spare
    order = _eligible(ranking.groups, asked_of)

    def asked(counts: Tensor) -> Tensor:
        return counts - counts % step

    def removed(counts: Tensor) -> Tensor:
        gone = asked(counts)
        return gone.masked_fill(units - gone < least, 0)  # none, unless floors may be asked for

    def counts(length: int) -> Tensor:
        return torch.bincount(order[:length], minlength=len(groups))

    now = cost(torch.zeros_like(units))
    whole = whole or now
    least_cost, bare = cost(asked(counts(len(order)))), cost(units - 1)
    _refuse_out_of_reach(now, least_cost, bare, target, tolerance, whole)
    shortest = bisect_left(
        range(len(order)), True, key=lambda length: cost(asked(counts(length))) <= target
    )
    met = removed(counts(shortest))
    if nominal or target - tolerance <= cost(met) <= target:
        return met.tolist()
    for start in (shortest - 1, 0):  # from the unit that overshoots, or empties a group
        nearest = _finish(order[start:], counts(start), cost, target, tolerance, removed)
        if emptied == "floor" or cost(nearest) <= target:
            break
    if emptied == "skip" and cost(nearest) > target:  # what was too coarse may be skipped later on
        for length in range(shortest, len(order) + 1):
            if target - tolerance <= cost(removed(counts(length))) <= target:
                return removed(counts(length)).tolist()
    if emptied == "floor" and cost(nearest) > target:
        enough = math.ceil(100 * (target - cost(met)) / whole) / 100
        low, high, found = (one / whole for one in (target - tolerance, target, cost(nearest)))
        said = fault("no_cost_between", low=low, high=high, cost=found, enough=enough)
        raise InfeasibleBudget(said)
    return nearest.tolist()


def _refuse_out_of_reach(
    now: float, least: float, bare: float, target: float, tolerance: float, whole: float
) -> None:
    """Refuse a target below the least that the limits leave, or above what is left by now.

    `bare` is the cost with one unit in each group, which no limits change.
    """
    if least > target:
        loosen = "loosen selection.protect, min_channels, round_to, layers or coupled"
        if bare > target:
            loosen = f"no limits help: one channel in each group leaves {bare / whole:.1%}"
        shares = {"target": target / whole, "least": least / whole}
        raise InfeasibleBudget(fault("limits_leave", **shares, loosen=loosen))
    if now < target - tolerance:
        raise InfeasibleBudget(fault("refuse_out_of_reach", target=target / whole, now=now / whole))


def _eligible(order: Tensor, spare: Tensor) -> Tensor:
    """The ranking without the units that are last in their group and stay."""
    seen = torch.zeros_like(order)
    for group in range(len(spare)):
        places = order == group
        seen[places] = torch.arange(int(places.sum()))
    return order[seen < spare[order]]


def _finish(
    rest: Tensor,
    counts: Tensor,
    cost: Cost,
    target: float,
    tolerance: float,
    removed: Callable[[Tensor], Tensor],
) -> Tensor:
    """Walk on, taking units that do not overshoot, until the budget is met; or what is nearest."""
    too_coarse: set[int] = set()
    nearest = removed(counts)
    least = cost(nearest)
    for group in rest.tolist():
        if group in too_coarse:
            continue
        counts[group] += 1
        gone = removed(counts)
        now = cost(gone)
        if now < target - tolerance:
            counts[group] -= 1
            too_coarse.add(group)
        elif now < least:
            nearest, least = gone, now
            if now <= target:
                break
    return nearest
