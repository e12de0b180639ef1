"""One call chooses what leaves: at once, step by step, as many as another method, by a selector."""

from __future__ import annotations

import pytest
import torch
from conftest import Chain, lively, trace
from torch import Tensor, nn

from bench.pruning.choose import choose_removed, iterative, one_shot
from bench.pruning.masks import choose_masks, mask_at_once, weight_groups
from bench.pruning.network import Network, Removed, Rules, Schedule
from bench.pruning.selection import InfeasibleBudget
from bench.pruning.thresholds import Choice
from criteria.selector import Selector

BUDGETS = [0.7, 0.4]
RULES = Rules(tolerance=0.1)


class Least(Selector):
    """A staircase by hand: of the worth on the diagonal, what lies below the threshold leaves."""

    name = "least"
    knob = (10.0, 0.0)

    @staticmethod
    def removed(evidence: Tensor, knob: float) -> Tensor:
        return (evidence.diagonal() < knob).nonzero()[:, 0]

    @staticmethod
    def worth(evidence: Tensor) -> Tensor:
        return evidence.diagonal()


@pytest.fixture
def network() -> Network:
    return trace(lively(Chain(12, 16)))


def norms(network: Network) -> list[Tensor]:
    weights = dict(network.model.named_parameters())
    groups = network.structure.groups
    return [weights[f"{group.root}.weight"].detach().flatten(1).norm(dim=1) for group in groups]


def removed(chosen: Choice | InfeasibleBudget) -> Removed:
    assert isinstance(chosen, Choice), chosen
    return chosen.removed


def test_each_way_is_its_own(network: Network) -> None:
    schedule = Schedule(3)
    for ours, theirs in (
        (
            choose_removed(network, norms, BUDGETS, RULES),
            one_shot(network, norms(network), BUDGETS, RULES),
        ),
        (
            choose_removed(network, norms, BUDGETS, RULES, schedule=schedule),
            iterative(network, norms, BUDGETS, RULES, schedule),
        ),
    ):
        assert ours.keys() == theirs.keys() == set(BUDGETS)
        for budget, other in theirs.items():
            assert not isinstance(other, InfeasibleBudget)
            assert all(map(torch.equal, removed(ours[budget]), other))


def test_a_control_takes_the_widths_and_the_reasons_of_another_method(network: Network) -> None:
    reason = InfeasibleBudget("too little")
    like = {0.7: removed(choose_removed(network, norms, [0.7], RULES)[0.7]), 0.1: reason}
    chosen = choose_removed(
        network, lambda now: [-one for one in norms(now)], [0.7, 0.1], RULES, like=like
    )
    assert chosen[0.1] is reason
    other = removed(chosen[0.7])
    assert [len(units) for units in other] == [len(units) for units in like[0.7]]
    assert not all(map(torch.equal, other, like[0.7]))


def test_a_selector_is_asked_by_budget_or_by_threshold(network: Network) -> None:
    def worth(now: Network) -> list[Tensor]:
        return [torch.diag(10 * one / one.max()).double() for one in norms(now)]

    by_budget = choose_removed(network, worth, [0.7], RULES, selector=Least)[0.7]
    assert isinstance(by_budget, Choice)
    assert by_budget.thresholds is not None
    at = choose_removed(network, worth, [5.0], RULES, selector=Least, thresholds=True)[5.0]
    assert isinstance(at, Choice)
    assert at.thresholds == [5.0] * len(network.structure.groups)


def test_masks_are_chosen_likewise(network: Network) -> None:
    model, groups = network.model, weight_groups(network.model, network.inputs)

    def sizes(now: nn.Module) -> list[Tensor]:
        weights = dict(now.named_parameters())
        return [weights[f"{group.root}.weight"].detach().abs().flatten() for group in groups]

    plain = sizes(model)
    once = {share: mask_at_once(model, groups, plain, share, "global") for share in BUDGETS}
    for ours, theirs in (
        (choose_masks(model, groups, sizes, BUDGETS, "global"), once),
        (choose_masks(model, groups, sizes, BUDGETS, "local", like=once), once),
    ):
        assert ours.keys() == theirs.keys()
        for share, masks in theirs.items():
            assert all(torch.equal(ours[share][layer], mask) for layer, mask in masks.items())
