"""Which units leave a network at each budget: at once, step by step, or by a selector."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from criteria import Selector
from criteria.network.member import complement

from .network import Network, Removed, Rules, Schedule
from .selection import InfeasibleBudget, RemovalOrder, each_budget, rank, select
from .thresholds import Choice, Choices, at_thresholds, meet_budgets

Scorer = Callable[[Network], Sequence[Tensor]]  # scores, or a selector's evidence, of each group
Recover = Callable[[nn.Module, float, int, Removed], None]


def choose_removed(
    network: Network,  # the dense one
    scorer: Scorer,  # is asked once, of an iterative path before every step
    budgets: Sequence[float],  # shares kept of `rules.cost`
    rules: Rules,
    *,
    # The steps of an iterative path; without, all budgets follow from one scoring.
    schedule: Schedule | None = None,
    # May train, in place, the network that is left at each stop of the schedule; told the stop, its
    # number, from 0, and the units that have left.
    recover: Recover | None = None,
    # What leaves by another method at each budget; as many units of each group leave.
    like: Mapping[float, Removed | InfeasibleBudget] | None = None,
    # Picks the sets, by the evidence that `scorer` gives of each group.
    selector: type[Selector] | None = None,
    # The budgets are settings of the selector's threshold, whatever these cost.
    thresholds: bool = False,
) -> dict[float, Choice | InfeasibleBudget]:
    """The units that leave at each budget, or why a budget cannot be met."""
    removed: Mapping[float, Removed | InfeasibleBudget]
    if schedule is not None:
        removed = iterative(network, scorer, budgets, rules, schedule, recover)
    elif like is not None:
        removed = matched(scorer(network), {budget: like[budget] for budget in budgets})
    elif selector is not None:
        choices = Choices(network, selector, scorer(network), rules)
        return (at_thresholds if thresholds else meet_budgets)(choices, budgets)
    else:
        removed = one_shot(network, scorer(network), budgets, rules)
    return {
        budget: units if isinstance(units, InfeasibleBudget) else Choice(units)
        for budget, units in removed.items()
    }


def one_shot(
    network: Network, scores: Sequence[Tensor], budgets: Sequence[float], rules: Rules
) -> dict[float, Removed | InfeasibleBudget]:
    """All budgets from one set of scores; a budget that cannot be met holds its reason."""
    return each_budget(budgets, lambda budget: selected(network, scores, budget, rules))


def iterative(
    network: Network,
    scorer: Scorer,
    budgets: Sequence[float],
    rules: Rules,
    schedule: Schedule,
    recover: Recover | None = None,
) -> dict[float, Removed | InfeasibleBudget]:
    """Score, remove down to the next stop, score what is left; one path visits all budgets."""
    remaining = [torch.arange(group.units) for group in network.structure.groups]
    removed: dict[float, Removed | InfeasibleBudget] = {}
    now = network
    stops = schedule.stops(budgets)
    for step, stop in enumerate(stops):
        ranking = rank(now.structure.groups, scorer(now), rules.scope)
        ahead = max(budget for budget in budgets if budget <= stop)  # not to be overshot
        tolerance = rules.tolerance + stop - ahead
        try:
            counts = _select(network, now, ranking, stop, tolerance, rules)
        except InfeasibleBudget as reason:
            return removed | {budget: reason for budget in budgets if budget <= stop}
        remaining = [
            units[order[count:].sort().values]
            for units, order, count in zip(remaining, ranking.within, counts, strict=True)
        ]
        gone = [
            complement(group.units, units)
            for group, units in zip(network.structure.groups, remaining, strict=True)
        ]
        if stop in budgets:
            removed[stop] = gone
        if stop == stops[-1] and recover is None:
            break  # no one asks for what is left
        now = now.without(_lowest(ranking.within, counts))
        if recover is not None:
            recover(now.model, stop, step, gone)
    return removed


def selected(network: Network, scores: Sequence[Tensor], budget: float, rules: Rules) -> Removed:
    """The units of lowest score, so many that the budget is met; raises InfeasibleBudget."""
    ranking = rank(network.structure.groups, scores, rules.scope)
    counts = _select(network, network, ranking, budget, rules.tolerance, rules)
    return _lowest(ranking.within, counts)


def matched(
    scores: Sequence[Tensor], like: Mapping[float, Removed | InfeasibleBudget]
) -> dict[float, Removed | InfeasibleBudget]:
    """Another method's widths at each budget, these scores' choice of units; so are its reasons."""
    orders = [values.argsort(stable=True) for values in scores]
    return {
        budget: other
        if isinstance(other, InfeasibleBudget)
        else _lowest(orders, [len(gone) for gone in other])
        for budget, other in like.items()
    }


def _select(
    dense: Network, now: Network, order: RemovalOrder, budget: float, tolerance: float, rules: Rules
) -> list[int]:
    """Limits and tolerance are shares of the dense network, wherever on a path we stand.

    Under `skip` a budget of channels is what is asked for; groups at their floor are lowest in any
    ranking, so what they hold is asked for first, and stays.
    """
    groups, cost = dense.structure.groups, now.cost.of(rules.cost)
    none = torch.zeros(len(groups))
    whole = dense.cost.of(rules.cost)(none)
    target = dense.cost.target(rules.cost, budget)
    floors = [rules.limits.floor(group) for group in groups]
    nominal = rules.cost == "channels" and rules.limits.emptied == "skip"
    if nominal:
        stuck = (
            group.units * group.channels_per_unit
            for group, floor, at_first in zip(now.structure.groups, floors, groups, strict=True)
            if group.units == floor < at_first.units
        )
        target = min(target + sum(stuck), cost(none))
    return select(
        now.structure.groups,
        order,
        cost,
        target=target,
        tolerance=tolerance * whole,
        floors=floors,
        steps=[rules.limits.steps(group) for group in groups],
        whole=whole,
        emptied=rules.limits.emptied,
        nominal=nominal,
    )


def _lowest(orders: Sequence[Tensor], counts: Sequence[int]) -> Removed:
    return [order[:count].sort().values for order, count in zip(orders, counts, strict=True)]
