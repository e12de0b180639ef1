"""Selectors under a budget: one threshold, bisected until the network costs what it may.

The cost is a staircase of the threshold, and not quite a monotone one. Where no stair lies within
the tolerance, the threshold just above the budget is taken, and of the units that the next stronger
ones remove as well, as many leave as the budget asks for, those of least worth first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from criteria import Selector
from criteria.lazy import Tensor, torch

from ..errors import fault
from .network import Network, Removed, Rules
from .selection import InfeasibleBudget, RemovalOrder, each_budget, rank, select

HALVINGS = 20
REACH, STEPS = 0.005, 10  # of the scan around the last halving, to each side


@dataclass(frozen=True, eq=False)
class Choice:
    """The units that leave at one budget, and by which thresholds where a selector picked them."""

    removed: Removed  # of each group, the units that leave
    # Of each group; None where none is weak enough, and all is kept. No list at all where no
    # selector chose.
    thresholds: list[float | None] | None = None
    trimmed: int = 0  # units that left beyond these thresholds, to meet the budget


@dataclass(frozen=True, eq=False)
class Choices:
    """What a selector removes at every threshold, worked out once each.

    The limits hold: where a group would lose too many units, those of most worth stay.
    """

    network: Network  # the dense one
    selector: type[Selector]
    evidence: Sequence[Tensor]  # of each group, from the selector's `scores`
    rules: Rules
    _known: dict[tuple[int, float], Tensor] = field(default_factory=dict, repr=False)

    def at(self, threshold: float) -> Removed:
        """The units of each group that leave at this threshold."""
        return [self.of_group(index, threshold) for index in range(len(self.evidence))]

    def of_group(self, index: int, threshold: float) -> Tensor:
        """The units of one group that leave, ascending."""
        if (index, threshold) not in self._known:
            group, evidence = self.network.structure.groups[index], self.evidence[index]
            limits, worth = self.rules.limits, self.selector.worth(evidence)
            gone = self.selector.removed(evidence, threshold)
            count = min(len(gone), group.units - limits.floor(group))
            count -= count % limits.steps(group)
            least = gone[worth[gone].argsort(stable=True)][:count]
            self._known[index, threshold] = least.sort().values
        return self._known[index, threshold]

    def cost(self, removed: Removed) -> float:
        """The share of the dense cost that is left."""
        cost = self.network.cost.of(self.rules.cost)
        counts = torch.tensor([len(gone) for gone in removed])
        return cost(counts) / cost(torch.zeros_like(counts))


def unfit(
    selector: type[Selector],
    cost: str,
    budgets: Sequence[float],
    scope: str,
    emptied: str,
    *,
    iterative: bool,
) -> str | None:
    """Why a selector cannot be run so; None where it can."""
    low, high = sorted(selector.knob)
    if iterative:
        return "picks all its sets on the dense network, in one step"
    if emptied != "floor":
        return "empties no group by a ranking; selection.emptied = skip has no effect on it"
    if scope == "isomorphic":
        return "knows the scopes global (one threshold for all groups) and local (uniform widths)"
    if cost == "threshold" and scope != "global":
        return "has one threshold for all groups; the scope local needs macs, params or speedup"
    if cost == "threshold" and not all(low <= budget <= high for budget in budgets):
        return f"takes thresholds from {low:g} to {high:g}, not {', '.join(map(str, budgets))}"
    return None


def at_thresholds(
    choices: Choices, thresholds: Sequence[float]
) -> dict[float, Choice | InfeasibleBudget]:
    """What leaves at each threshold, whatever is left then costs."""
    groups = len(choices.evidence)
    return {
        threshold: Choice(choices.at(threshold), [threshold] * groups) for threshold in thresholds
    }


def meet_budgets(
    choices: Choices, budgets: Sequence[float]
) -> dict[float, Choice | InfeasibleBudget]:
    """All budgets; one that no threshold can meet holds its reason.

    With the scope `global`, one threshold serves all groups. With `local`, all groups shrink alike,
    as far as the selector can shrink them, and each has a threshold of its own.
    """
    meet = _uniform if choices.rules.scope == "local" else _shared

    def choose(budget: float) -> Choice:
        removed = choices.at(choices.selector.knob[0])
        if (least := choices.cost(removed)) <= budget:
            return meet(choices, budget)
        groups = zip(choices.network.structure.groups, removed, strict=True)
        whole = [group.root for group, gone in groups if not len(gone)]
        kept = f" and keeps {', '.join(whole)} whole" if whole else ""
        by = choices.selector
        raise InfeasibleBudget(fault("strongest", budget=budget, by=by, least=least, kept=kept))

    return each_budget(budgets, choose)


def _shared(choices: Choices, budget: float) -> Choice:
    groups = len(choices.evidence)
    weaker, enough = _nearest(
        choices.selector, lambda threshold: choices.cost(choices.at(threshold)), budget
    )
    met = choices.at(enough[0])
    if choices.cost(met) >= budget - choices.rules.tolerance:
        return Choice(met, [enough[0]] * groups)
    start = [gone[:0] for gone in met] if weaker is None else choices.at(weaker)
    trimmed = _trim(choices, start, enough, budget)
    more, few = (sum(map(len, removed)) for removed in (trimmed, start))
    return Choice(trimmed, [weaker] * groups, more - few)


def _uniform(choices: Choices, budget: float) -> Choice:
    """The widths of a uniform ranking, and for each group the threshold nearest to its width.

    All groups shrink alike, as far as the selector lets them.
    """
    groups = choices.network.structure.groups
    worth = [choices.selector.worth(evidence) for evidence in choices.evidence]
    reach = [len(gone) for gone in choices.at(choices.selector.knob[0])]
    counts = _counts(choices, rank(groups, worth, "local"), reach, budget)
    parts = [_narrowed(choices, index, count) for index, count in enumerate(counts)]
    removed, thresholds, trimmed = zip(*parts, strict=True)
    return Choice(list(removed), list(thresholds), sum(trimmed))


def _counts(choices: Choices, order: RemovalOrder, most: Sequence[int], budget: float) -> list[int]:
    """How many units each group loses to a budget, at most so many; raises InfeasibleBudget."""
    groups, rules = choices.network.structure.groups, choices.rules
    cost = choices.network.cost.of(rules.cost)
    whole = cost(torch.zeros(len(groups)))
    return select(
        groups,
        order,
        cost,
        target=budget * whole,
        tolerance=rules.tolerance * whole,
        floors=[group.units - count for group, count in zip(groups, most, strict=True)],
        steps=[rules.limits.steps(group) for group in groups],
    )


def _narrowed(choices: Choices, index: int, count: int) -> tuple[Tensor, float | None, int]:
    """The units of one group, so many, the nearest threshold, and how many units it lacks."""
    weaker, (enough, *_) = _nearest(
        choices.selector, lambda threshold: -len(choices.of_group(index, threshold)), -count
    )
    met = choices.of_group(index, enough)
    if len(met) == count:
        return met, enough, 0
    start = met[:0] if weaker is None else choices.of_group(index, weaker)
    order = _towards(choices, index, start, met).argsort(stable=True)
    return order[:count].sort().values, weaker, count - len(start)


def _nearest(
    selector: type[Selector], cost: Callable[[float], float], target: float
) -> tuple[float | None, list[float]]:
    """The nearest threshold tried that costs more than the target, and all that do not.

    Bisects, then scans the neighbourhood, as the cost is not monotone. The strongest must meet the
    target. Nearest first, of equals the weaker; None where the weakest meets it as well.
    """
    strong, weak = strongest, weakest = selector.knob
    tried = {threshold: cost(threshold) for threshold in selector.knob}
    for _ in range(HALVINGS):
        middle = (strong + weak) / 2
        tried[middle] = cost(middle)
        strong, weak = (middle, weak) if tried[middle] <= target else (strong, middle)
    low, high = sorted((strongest, weakest))
    for step in range(-STEPS, STEPS + 1):
        near = min(max(strong + step * REACH / STEPS, low), high)
        tried[near] = cost(near)

    def distance(threshold: float) -> tuple[float, float]:
        return abs(tried[threshold] - target), abs(threshold - weakest)

    nearest = sorted(tried, key=distance)
    above = [threshold for threshold in nearest if tried[threshold] > target]
    enough = [threshold for threshold in nearest if tried[threshold] <= target]
    return above[0] if above else None, enough


def _trim(choices: Choices, start: Removed, stronger: Sequence[float], budget: float) -> Removed:
    """From `start`, which costs too much, towards one stronger threshold or else the next."""
    groups, limits = choices.network.structure.groups, choices.rules.limits
    threshold, *rest = stronger
    pairs = enumerate(zip(start, choices.at(threshold), strict=True))
    scores = [_towards(choices, index, *pair) for index, pair in pairs]
    most = [
        min(int((one < torch.inf).sum()), group.units - limits.floor(group))
        for group, one in zip(groups, scores, strict=True)
    ]
    order = rank(groups, scores, "global")
    try:
        counts = _counts(choices, order, most, budget)
    except InfeasibleBudget:
        if not rest:
            raise
        return _trim(choices, start, rest, budget)
    return [one[:count].sort().values for one, count in zip(order.within, counts, strict=True)]


def _towards(choices: Choices, index: int, start: Tensor, wanted: Tensor) -> Tensor:
    """Scores of a group by which `start` leaves first, then of the wanted those of least worth."""
    worth = choices.selector.worth(choices.evidence[index])
    scores = torch.full_like(worth, torch.inf).index_copy(0, wanted, worth[wanted])
    return scores.index_fill(0, start, -torch.inf)
