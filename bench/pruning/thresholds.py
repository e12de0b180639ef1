"""Selectors under a budget: their own knob, bisected until the network costs what it may.

The cost is a staircase of the knob, and not quite a monotone one. Where no stair lies within the
tolerance, the setting just above the budget is taken, and of the units that the next stronger
settings remove as well, as many leave as the budget asks for, those of least worth first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from criteria import Selector

from .network import Network, Removed, Rules
from .selection import InfeasibleBudget, rank, select

HALVINGS = 20
REACH, STEPS = 0.005, 10  # of the scan around the last halving, to each side


@dataclass(frozen=True, eq=False)
class Choice:
    """What a selector removes.

    Attributes:
        removed: of each group, the units that leave.
        knobs: of each group, the setting; None where no setting is weak enough, and all is kept.
        trimmed: units that left beyond these settings, to meet the budget.
    """

    removed: Removed
    knobs: list[float | None]
    trimmed: int = 0


@dataclass(frozen=True, eq=False)
class Choices:
    """What a selector removes at every setting of its knob, worked out once each.

    The limits hold: where a group would lose too many units, those of most worth stay.

    Attributes:
        network: the dense one.
        evidence: of each group, from the selector's `scores`.
    """

    network: Network
    selector: type[Selector]
    evidence: Sequence[Tensor]
    rules: Rules
    _known: dict[tuple[int, float], Tensor] = field(default_factory=dict, repr=False)

    def at(self, knob: float) -> Removed:
        """Of each group, the units that leave at this setting."""
        return [self.of_group(at, knob) for at in range(len(self.evidence))]

    def of_group(self, at: int, knob: float) -> Tensor:
        """Of one group, by its index."""
        if (at, knob) not in self._known:
            group, evidence = self.network.structure.groups[at], self.evidence[at]
            limits, worth = self.rules.limits, self.selector.worth(evidence)
            gone = self.selector.removed(evidence, knob)
            count = min(len(gone), group.units - limits.floor(group))
            count -= count % limits.steps(group)
            self._known[at, knob] = _least(gone, worth, count)
        return self._known[at, knob]

    def cost(self, removed: Removed) -> float:
        """Share of the dense cost."""
        cost = self.network.cost.of(self.rules.cost)
        counts = torch.tensor([len(gone) for gone in removed])
        return cost(counts) / cost(torch.zeros_like(counts))


def unfit(
    selector: type[Selector], cost: str, budgets: Sequence[float], scope: str, *, iterative: bool
) -> str | None:
    """Why a selector cannot be run so; None where it can."""
    low, high = sorted(selector.knob)
    if iterative:
        return "picks all its sets on the dense network, in one step"
    if scope == "isomorphic":
        return "knows the scopes global (one knob for all groups) and local (uniform widths)"
    if cost == "threshold" and scope != "global":
        return "has one threshold for all groups; the scope local needs macs, params or speedup"
    if cost == "threshold" and not all(low <= one <= high for one in budgets):
        return f"takes thresholds from {low:g} to {high:g}, not {', '.join(map(str, budgets))}"
    return None


def choose(
    choices: Choices, cost: str, budgets: Sequence[float]
) -> dict[float, Choice | InfeasibleBudget]:
    """All budgets; where `cost` is `threshold` they are settings, whatever these cost."""
    if cost != "threshold":
        return by_knob(choices, budgets)
    return {knob: Choice(choices.at(knob), [knob] * len(choices.evidence)) for knob in budgets}


def by_knob(choices: Choices, budgets: Sequence[float]) -> dict[float, Choice | InfeasibleBudget]:
    """All budgets; one that no setting can meet holds its reason.

    With the scope `global`, one setting serves all groups. With `local`, all groups shrink alike,
    as far as the selector can shrink them, and each has a setting of its own.
    """
    meet = _uniform if choices.rules.scope == "local" else _shared
    found: dict[float, Choice | InfeasibleBudget] = {}
    for budget in budgets:
        try:
            _refuse_out_of_reach(choices, budget)
            found[budget] = meet(choices, budget)
        except InfeasibleBudget as reason:
            found[budget] = reason
    return found


def _refuse_out_of_reach(choices: Choices, budget: float) -> None:
    strongest = choices.at(choices.selector.knob[0])
    least = choices.cost(strongest)
    if least > budget:
        groups = choices.network.structure.groups
        whole = [one.root for one, gone in zip(groups, strongest, strict=True) if not len(gone)]
        raise InfeasibleBudget(
            f"the budget is {budget:.1%} of the network's cost, but at its strongest setting, "
            f"{choices.selector.knob[0]:g}, {choices.selector.name} leaves {least:.1%}"
            + (f" and keeps {', '.join(whole)} whole" if whole else "")
            + "; choose a larger budget, or lower selection.protect"
        )


def _shared(choices: Choices, budget: float) -> Choice:
    """One setting for all groups."""
    groups = choices.evidence
    weaker, enough = _nearest(
        choices.selector.knob, lambda knob: choices.cost(choices.at(knob)), budget
    )
    met = choices.at(enough[0])
    if choices.cost(met) >= budget - choices.rules.tolerance:
        return Choice(met, [enough[0] for _ in groups])
    start = [gone[:0] for gone in met] if weaker is None else choices.at(weaker)
    trimmed = _trim(choices, start, enough, budget)
    return Choice(trimmed, [weaker for _ in groups], _total(trimmed) - _total(start))


def _uniform(choices: Choices, budget: float) -> Choice:
    """The widths of a uniform ranking, and for each group the setting that comes nearest to its."""
    groups, rules = choices.network.structure.groups, choices.rules
    cost = choices.network.cost.of(rules.cost)
    whole = cost(torch.zeros(len(groups)))
    worth = [choices.selector.worth(one) for one in choices.evidence]
    reach = [len(gone) for gone in choices.at(choices.selector.knob[0])]
    counts = select(
        groups,
        rank(groups, worth, "local"),
        cost,
        target=budget * whole,
        tolerance=rules.tolerance * whole,
        floors=[group.units - most for group, most in zip(groups, reach, strict=True)],
        steps=[rules.limits.steps(group) for group in groups],
    )
    removed: Removed = []
    knobs: list[float | None] = []
    trimmed = 0
    for at, count in enumerate(counts):
        weaker, (enough, *_) = _nearest(
            choices.selector.knob,
            lambda knob, at=at: -len(choices.of_group(at, knob)),  # type: ignore[misc]
            -count,
        )
        met = choices.of_group(at, enough)
        exact = len(met) == count
        start = met if exact else met[:0] if weaker is None else choices.of_group(at, weaker)
        more = _least_first(_without(met, start), worth[at])[: count - len(start)]
        removed.append(torch.cat([start, more]).sort().values)
        knobs.append(enough if exact else weaker)
        trimmed += len(more)
    return Choice(removed, knobs, trimmed)


def _nearest(
    knob: tuple[float, float], cost: Callable[[float], float], target: float
) -> tuple[float | None, list[float]]:
    """Of the settings tried, the nearest that costs more than the target, and all that do not.

    Bisects, then scans the neighbourhood, as the cost is not monotone. The strongest setting must
    meet the target. Nearest first, of equals the weaker; None where the weakest meets it as well.
    """
    tried = {one: cost(one) for one in knob}
    strong, weak = knob
    for _ in range(HALVINGS):
        middle = (strong + weak) / 2
        tried[middle] = cost(middle)
        strong, weak = (middle, weak) if tried[middle] <= target else (strong, middle)
    low, high = sorted(knob)
    for step in range(-STEPS, STEPS + 1):
        near = min(max(strong + step * REACH / STEPS, low), high)
        tried[near] = cost(near)
    order = sorted(tried, key=lambda one: (abs(tried[one] - target), abs(one - knob[1])))
    above = [one for one in order if tried[one] > target]
    return above[0] if above else None, [one for one in order if tried[one] <= target]


def _trim(choices: Choices, start: Removed, stronger: Sequence[float], budget: float) -> Removed:
    """From `start`, which costs too much, towards stronger settings, one after the other."""
    removed = list(start)
    for knob in stronger:
        for at, units in _steps(choices, removed, choices.at(knob)):
            more = list(removed)
            more[at] = torch.cat([removed[at], units]).sort().values
            cost = choices.cost(more)
            if cost >= budget - choices.rules.tolerance:
                removed = more
                if cost <= budget:
                    return removed
    raise InfeasibleBudget(
        f"{choices.selector.name} leads to no cost between {budget - choices.rules.tolerance:.1%} "
        f"and {budget:.1%} of the network: from {choices.cost(removed):.1%}, every single unit "
        "that a stronger setting removes overshoots; raise the tolerance, or choose another budget"
    )


def _steps(choices: Choices, removed: Removed, wanted: Removed) -> list[tuple[int, Tensor]]:
    """(group, units that leave together) towards the wanted ones, those of least worth first."""
    groups, limits = choices.network.structure.groups, choices.rules.limits
    found = []
    for at, (group, mine, all_) in enumerate(zip(groups, removed, wanted, strict=True)):
        worth, together = choices.selector.worth(choices.evidence[at]), limits.steps(group)
        spare = group.units - limits.floor(group) - len(mine)
        rest = _least_first(_without(all_, mine), worth)[:spare]
        rest = rest[: len(rest) - len(rest) % together]
        found += [(float(worth[one].sum()), at, one) for one in rest.split(together) if len(one)]
    return [(at, units) for _, at, units in sorted(found, key=lambda one: one[:2])]


def _total(removed: Removed) -> int:
    return sum(len(gone) for gone in removed)


def _least(units: Tensor, worth: Tensor, count: int) -> Tensor:
    """So many of the units, those of least worth; ascending."""
    return _least_first(units, worth)[:count].sort().values


def _least_first(units: Tensor, worth: Tensor) -> Tensor:
    return units[worth[units].argsort(stable=True)]


def _without(units: Tensor, others: Tensor) -> Tensor:
    return units[~torch.isin(units, others)]
