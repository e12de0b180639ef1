"""Selection: the budget is met within the tolerance, or refused with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from conftest import build, trace
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from bench.pruning.choose import matched, one_shot
from bench.pruning.cost import Products
from bench.pruning.network import Rules
from bench.pruning.selection import (
    InfeasibleBudget,
    Limits,
    RemovalOrder,
    Scope,
    rank,
    select,
    unranked,
)
from criteria import Group, Member
from criteria.network.member import LayerKind


def group_of(
    units: int, per_unit: int = 1, kind: LayerKind = "conv", root: str = "layer", blocks: int = 1
) -> Group:
    owners = torch.arange(units * per_unit) % units
    member = Member(
        name=root,
        kind=kind,
        side="out",
        indices=torch.arange(units * per_unit),
        units=owners,
        blocks=blocks,
        transposed=False,
        width=units * per_unit,
        prune=lambda *_: None,
    )
    return Group(root, units, (member,))


def chain_cost(groups: Sequence[Group], weights: Sequence[int], constant: float = 0) -> Products:
    """A chain of layers: each costs its weight, times what it reads, times what it makes."""
    count = len(groups)
    width = torch.tensor([float(one.units * one.channels_per_unit) for one in groups]).double()
    lost = torch.diag(torch.tensor([float(one.channels_per_unit) for one in groups]).double())
    return Products(
        weight=torch.tensor(weights).double(),
        inputs=torch.cat([torch.ones(1).double(), width[:-1]]),
        outputs=width,
        lost_inputs=torch.cat([torch.zeros(1, count).double(), lost[:-1]]),
        lost_outputs=lost,
        constant=constant,
    )


@dataclass(frozen=True)
class Problem:
    groups: list[Group]
    scores: list[Tensor]
    cost: Products
    limits: Limits

    @property
    def floors(self) -> list[int]:
        return [self.limits.floor(one) for one in self.groups]

    @property
    def steps(self) -> list[int]:
        return [self.limits.steps(one) for one in self.groups]

    @property
    def dense(self) -> float:
        return self.cost(torch.zeros(len(self.groups)))

    @property
    def least(self) -> float:
        return self.cost(
            torch.tensor(
                [one.units - floor for one, floor in zip(self.groups, self.floors, strict=True)]
            )
        )

    def select(self, share: float, tolerance: float, scope: Scope = "global") -> list[int]:
        return select(
            self.groups,
            rank(self.groups, self.scores, scope),
            self.cost,
            share * self.dense,
            tolerance * self.dense,
            self.floors,
            self.steps,
            emptied=self.limits.emptied,
        )


@st.composite
def problems(draw: st.DrawFn, most_units: int = 16) -> Problem:
    sizes = draw(
        st.lists(
            st.tuples(st.integers(1, most_units), st.sampled_from([1, 1, 2, 3])),
            min_size=1,
            max_size=4,
        )
    )
    groups = [group_of(units, per, root=f"layer{at}") for at, (units, per) in enumerate(sizes)]
    total = sum(units for units, _ in sizes)
    order = iter(draw(st.permutations(range(total))))
    scores = [torch.tensor([float(next(order)) for _ in range(units)]) for units, _ in sizes]
    weights = [draw(st.integers(1, 20)) for _ in groups]
    limits = Limits(
        min_channels=draw(st.integers(1, 3)),
        protect=draw(st.sampled_from([0.0, 0.1, 0.5])),
        round_to=draw(st.sampled_from([1, 1, 2, 4])),
    )
    cost = chain_cost(groups, weights, draw(st.sampled_from([0.0, 50.0])))
    return Problem(groups, scores, cost, limits)


def outcome(
    problem: Problem, share: float, tolerance: float, scope: Scope = "global"
) -> list[int] | str:
    """What is selected, or why nothing is."""
    try:
        return problem.select(share, tolerance, scope)
    except InfeasibleBudget as reason:
        return str(reason)


SHARES = st.floats(0.05, 1)
TOLERANCES = st.sampled_from([0.005, 0.01, 0.05, 0.3])
SCOPES: list[Scope] = ["global", "local", "isomorphic"]
WIDE = 2.0  # no unit overshoots: the prefix of the ranking alone decides


# --- the promise ----------------------------------------------------------------------------------


@given(problems(), SHARES, TOLERANCES, st.sampled_from(SCOPES))
def test_the_cost_is_within_the_tolerance_or_refused(
    problem: Problem, share: float, tolerance: float, scope: Scope
) -> None:
    target = share * problem.dense
    counts = outcome(problem, share, tolerance, scope)
    if isinstance(counts, str):
        if problem.least > target:
            assert "its limits leave at least" in counts
            assert f"{problem.least / problem.dense:.1%}" in counts
        else:
            assert "every single channel left overshoots" in counts
        return
    assert problem.least <= target
    found = problem.cost(torch.tensor(counts))
    assert target - tolerance * problem.dense <= found <= target


@given(problems(), SHARES, TOLERANCES, st.sampled_from(SCOPES))
def test_floors_and_steps_are_kept(
    problem: Problem, share: float, tolerance: float, scope: Scope
) -> None:
    try:
        counts = problem.select(share, tolerance, scope)
    except InfeasibleBudget:
        return
    for group, count, floor, step in zip(
        problem.groups, counts, problem.floors, problem.steps, strict=True
    ):
        left = (group.units - count) * group.channels_per_unit
        assert 0 <= count <= group.units - floor
        assert count % step == 0
        if count:
            assert left >= problem.limits.min_channels
            assert left >= problem.limits.protect * group.units * group.channels_per_unit - 1e-6
            assert left % problem.limits.round_to == 0


@given(problems(), st.sampled_from(SCOPES))
def test_a_wide_tolerance_refuses_only_what_the_limits_forbid(
    problem: Problem, scope: Scope
) -> None:
    share = problem.least / problem.dense
    problem.select(min(1, share * (1 + 1e-9)), WIDE, scope)
    assume(share > 1e-6)
    with pytest.raises(InfeasibleBudget, match="its limits leave at least"):
        problem.select(share * (1 - 1e-6), WIDE, scope)


@given(problems(), SHARES, SHARES, st.sampled_from(SCOPES))
def test_a_smaller_budget_removes_a_superset(
    problem: Problem, one: float, other: float, scope: Scope
) -> None:
    try:
        less = problem.select(max(one, other), WIDE, scope)
        more = problem.select(min(one, other), WIDE, scope)
    except InfeasibleBudget:
        return
    assert all(few <= many for few, many in zip(less, more, strict=True))


@given(problems(), SHARES)
def test_the_prefix_is_the_shortest_that_meets_the_budget(problem: Problem, share: float) -> None:
    """With one unit less, in the order of the ranking, the budget is not met."""
    assume(problem.limits.round_to == 1)
    try:
        counts = problem.select(share, WIDE)
    except InfeasibleBudget:
        return
    assume(sum(counts))
    highest = max(
        (float(values.sort().values[count - 1]), at)
        for at, (values, count) in enumerate(zip(problem.scores, counts, strict=True))
        if count
    )
    counts[highest[1]] -= 1
    assert problem.cost(torch.tensor(counts)) > share * problem.dense


@given(problems(), st.data())
def test_the_whole_cost_removes_nothing(problem: Problem, data: st.DataObject) -> None:
    scope = data.draw(st.sampled_from(SCOPES))
    assert problem.select(1.0, 0.01, scope) == [0] * len(problem.groups)


@given(problems(), SHARES, TOLERANCES, st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(
    problem: Problem, share: float, tolerance: float, random: object
) -> None:
    """All scores differ, so there is one ranking whatever the numbering of the groups."""
    order = list(range(len(problem.groups)))
    random.shuffle(order)  # type: ignore[attr-defined]
    cost = problem.cost
    other = Problem(
        [problem.groups[at] for at in order],
        [problem.scores[at] for at in order],
        Products(
            cost.weight,
            cost.inputs,
            cost.outputs,
            cost.lost_inputs[:, order],
            cost.lost_outputs[:, order],
            cost.constant,
        ),
        problem.limits,
    )

    first, second = outcome(problem, share, tolerance), outcome(other, share, tolerance)
    if isinstance(first, str):
        assert second == first
    else:
        assert second == [first[at] for at in order]


def test_a_unit_too_coarse_is_left_for_finer_ones() -> None:
    """The first unit would halve the cost; the second group meets 80 % by itself."""
    groups = [group_of(2, root="coarse"), group_of(20, root="fine")]
    cost = Products(
        weight=torch.tensor([10.0, 1.0]).double(),
        inputs=torch.ones(2).double(),
        outputs=torch.tensor([2.0, 20.0]).double(),
        lost_inputs=torch.zeros(2, 2).double(),
        lost_outputs=torch.eye(2).double(),
        constant=0,
    )
    scores = [torch.tensor([0.0, 100.0]), torch.arange(1.0, 21)]
    problem = Problem(groups, scores, cost, Limits(protect=0))
    assert problem.select(0.8, WIDE) == [1, 0]
    assert problem.select(0.8, 0.01) == [0, 8]


def test_a_network_that_already_costs_less_is_refused_and_kept() -> None:
    groups = [group_of(8)]
    with pytest.raises(InfeasibleBudget, match="already costs less"):
        select(
            groups,
            rank(groups, [torch.arange(8.0)], "global"),
            chain_cost(groups, [1]),
            target=10.0,
            tolerance=0.1,
            floors=[1],
            steps=[1],
        )


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "units", "per_unit", "floor", "step"),
    [
        (Limits(), 16, 1, 2, 1),  # a tenth, rounded up
        (Limits(), 10, 1, 1, 1),  # a tenth exactly: floating point adds none
        (Limits(protect=0), 16, 1, 1, 1),
        (Limits(protect=0.1), 512, 1, 52, 1),
        (Limits(protect=0.1, protect_rounds="down"), 512, 1, 51, 1),  # Gate-Decorator's int(.1 C)
        (Limits(protect=0.1, protect_rounds="down"), 64, 1, 6, 1),
        (Limits(protect=0.1, protect_rounds="down"), 128, 1, 12, 1),
        (Limits(protect=0.1, protect_rounds="down"), 256, 1, 25, 1),
        (Limits(protect=0.1, protect_rounds="down"), 10, 1, 1, 1),
        (Limits(protect=0.1, protect_rounds="down"), 9, 1, 1, 1),
        (Limits(protect=0.3, protect_rounds="down"), 10, 1, 3, 1),  # 0.3 * 10 is no less than 3
        (Limits(min_channels=4, protect=0), 16, 1, 4, 1),
        (Limits(min_channels=20), 16, 1, 16, 1),
        (Limits(min_channels=4, protect=0), 8, 2, 2, 1),  # two channels a unit
        (Limits(min_channels=5, protect=0), 8, 2, 3, 1),
        (Limits(round_to=4, protect=0.3), 16, 1, 8, 4),
        (Limits(round_to=4), 16, 1, 4, 4),
        (Limits(round_to=4), 8, 2, 2, 2),
        (Limits(round_to=4), 4, 4, 1, 1),
        (Limits(round_to=4), 8, 3, 4, 4),
        (Limits(round_to=4), 6, 1, 6, 4),  # cannot keep a multiple: stays whole
        (Limits(protect=0.99), 16, 1, 16, 1),
        (Limits(layers={"stem": 1.0}), 16, 1, 2, 1),  # another layer
        (Limits(layers={"stage.conv": 1.0}), 16, 1, 16, 1),
        (Limits(layers={"stage": 0.79}), 16, 1, 13, 1),  # the module that it lies in
        (Limits(layers={"stag": 1.0, "stage.co": 1.0}), 16, 1, 2, 1),  # names, not their beginnings
        (Limits(protect=0.5, layers={"stage": 0.25}), 16, 1, 8, 1),  # the larger counts
        (Limits(layers={"stage": 0.3, "stage.conv": 0.6}), 16, 1, 10, 1),
        (Limits(layers={"stage": 0.3}, round_to=4), 16, 1, 8, 4),
    ],
)
def test_floors_and_steps_are_those_worked_out_by_hand(
    limits: Limits, units: int, per_unit: int, floor: int, step: int
) -> None:
    group = group_of(units, per_unit, root="stage.conv")
    assert limits.floor(group) == floor
    assert limits.steps(group) == step


@pytest.mark.parametrize(
    ("units", "per_unit", "blocks", "floor"),
    [(8, 2, 2, 2), (2, 3, 3, 2), (1, 3, 3, 1), (4, 6, 3, 1)],
)
def test_each_block_of_a_grouped_convolution_keeps_two_outputs(
    units: int, per_unit: int, blocks: int, floor: int
) -> None:
    """With one, torch-pruning would take it for a depthwise one at the next step of a path."""
    limits = Limits(protect=0)
    assert limits.floor(group_of(units, per_unit, blocks=blocks)) == floor
    assert limits.floor(group_of(units, per_unit, "linear", blocks=blocks)) == 1  # attention heads


# --- scopes ---------------------------------------------------------------------------------------


def prefix(ranking: RemovalOrder, length: int, groups: int) -> list[int]:
    return torch.bincount(ranking.groups[:length], minlength=groups).tolist()


@given(problems())
def test_every_unit_is_ranked_once_lowest_of_its_group_first(problem: Problem) -> None:
    for scope in SCOPES:
        ranking = rank(problem.groups, problem.scores, scope)
        units = [one.units for one in problem.groups]
        assert prefix(ranking, len(ranking.groups), len(units)) == units
        for values, order in zip(problem.scores, ranking.within, strict=True):
            assert torch.equal(values[order], values.sort().values)


def test_global_ranks_by_the_scores_as_they_are() -> None:
    groups = [group_of(3), group_of(2)]
    ranking = rank(groups, [torch.tensor([5.0, 1.0, 3.0]), torch.tensor([2.0, 4.0])], "global")
    assert ranking.groups.tolist() == [0, 1, 0, 1, 0]
    assert [one.tolist() for one in ranking.within] == [[1, 2, 0], [0, 1]]


def test_of_equal_scores_the_earlier_group_and_unit_goes_first() -> None:
    groups = [group_of(2), group_of(2)]
    ranking = rank(groups, [torch.ones(2), torch.ones(2)], "global")
    assert ranking.groups.tolist() == [0, 0, 1, 1]
    assert [one.tolist() for one in ranking.within] == [[0, 1], [0, 1]]


@given(problems())
def test_local_shrinks_all_groups_alike(problem: Problem) -> None:
    """At every length of the ranking, shares removed differ by the half units of both at most."""
    ranking = rank(problem.groups, problem.scores, "local")
    units = [one.units for one in problem.groups]
    for length in range(len(ranking.groups) + 1):
        counts = prefix(ranking, length, len(units))
        for count, size in zip(counts, units, strict=True):
            for other, width in zip(counts, units, strict=True):
                assert abs(count / size - other / width) <= 0.5 / size + 0.5 / width + 1e-12


@given(problems(), st.floats(0.1, 1e6))
def test_local_does_not_see_the_scale_of_a_group(problem: Problem, factor: float) -> None:
    scaled = [factor * problem.scores[0], *problem.scores[1:]]
    one, other = (rank(problem.groups, each, "local") for each in (problem.scores, scaled))
    assert torch.equal(one.groups, other.groups)


def test_isomorphic_compares_scores_within_a_class_only() -> None:
    kinds: list[LayerKind] = ["conv", "linear", "conv"]
    groups = [group_of(2, kind=kind) for kind in kinds]
    scores = [torch.tensor([1.0, 2.0]), torch.tensor([30.0, 40.0]), torch.tensor([3.0, 4.0])]
    assert groups[0].pattern == groups[2].pattern != groups[1].pattern
    # Quantiles: convolutions 1/8, 3/8 (group 0), 5/8, 7/8 (group 2); linear 1/4, 3/4.
    assert rank(groups, scores, "isomorphic").groups.tolist() == [0, 1, 0, 2, 1, 2]
    scores[1] = scores[1] / 1e6  # another class: its scale does not count
    assert rank(groups, scores, "isomorphic").groups.tolist() == [0, 1, 0, 2, 1, 2]
    scores[2] = scores[2] / 1e6  # the same class: it does
    assert rank(groups, scores, "isomorphic").groups.tolist() == [2, 1, 2, 0, 1, 0]


@given(problems())
def test_with_one_class_isomorphic_is_the_global_order(problem: Problem) -> None:
    isomorphic, plain = (
        rank(problem.groups, problem.scores, scope).groups for scope in ("isomorphic", "global")
    )
    assert torch.equal(isomorphic, plain)


# --- given widths, and all of it on a network -----------------------------------------------------


def test_a_matched_control_keeps_the_best_of_each_group() -> None:
    scores = [torch.tensor([3.0, 1.0, 2.0]), torch.tensor([1.0, 1.0])]
    reason = InfeasibleBudget("too little")
    like = {
        0.5: [torch.tensor([0, 1]), torch.tensor([]).long()],
        0.6: [torch.tensor([]).long(), torch.tensor([1])],
        0.1: reason,
    }
    removed = {
        budget: one if one is reason else [units.tolist() for units in one]
        for budget, one in matched(scores, like).items()
    }
    assert removed == {0.5: [[1, 2], []], 0.6: [[], [0]], 0.1: reason}


def test_one_shot_budgets_are_nested_and_what_cannot_be_met_says_so() -> None:
    network = trace(build("residual"))
    draw = torch.Generator().manual_seed(0)
    scores = [torch.rand(one.units, generator=draw) for one in network.structure.groups]
    found = one_shot(network, scores, [0.9, 0.6, 0.3, 0.001], Rules(tolerance=0.3))
    assert isinstance(found[0.001], InfeasibleBudget)
    assert "0.1% of the network's cost" in str(found[0.001])
    sets = [[set(one.tolist()) for one in found[budget]] for budget in (0.9, 0.6, 0.3)]
    for less, more in pairwise(sets):
        assert all(few <= many for few, many in zip(less, more, strict=True))


def test_a_protected_stage_stops_where_the_others_go_on() -> None:
    """TPP's ResNet-50 at 2.31x: 0.21 of the last stage and one larger ratio of all others."""
    groups = [group_of(100, root=f"stage{at}.conv") for at in range(3)]
    problem = Problem(
        groups,
        [torch.arange(100).double()] * 3,
        chain_cost(groups, [1, 1, 1]),
        Limits(layers={"stage2": 0.79}),
    )
    lost = problem.select(0.4, 0.01, "local")
    assert lost[2] == 21
    assert abs(lost[0] - lost[1]) <= 1
    assert lost[0] > 21


# --- groups that the ranking would empty ----------------------------------------------------------


def skipping(problem: Problem) -> Problem:
    return replace(problem, limits=problem.limits.model_copy(update={"emptied": "skip"}))


def two_groups(first: int, second: int) -> Problem:
    """Every channel costs one, and those of the first group are the lowest."""
    scores = [torch.arange(float(first)), 100 + torch.arange(float(second))]
    return Problem(
        [group_of(first), group_of(second)],
        scores,
        Products(
            weight=torch.ones(2).double(),
            inputs=torch.ones(2).double(),
            outputs=torch.tensor([float(first), float(second)]).double(),
            lost_inputs=torch.zeros(2, 2).double(),
            lost_outputs=torch.eye(2).double(),
            constant=0,
        ),
        Limits(protect=0),
    )


def test_an_emptied_group_keeps_its_floor_or_stays_whole() -> None:
    problem = two_groups(2, 6)
    assert problem.select(4 / 8, 0.0) == [1, 3]
    assert skipping(problem).select(4 / 8, 0.0) == [0, 4], "others leave until the cost is met"
    assert skipping(problem).select(7 / 8, 0.0) == [1, 0], "nothing is emptied yet"


def test_a_nominal_budget_is_missed_by_what_is_skipped() -> None:
    problem = skipping(two_groups(2, 6))
    asked = [select(
        problem.groups, rank(problem.groups, problem.scores, "global"), problem.cost,
        target, 0.0, problem.floors, problem.steps, emptied="skip", nominal=True,
    ) for target in (7, 6, 4)]  # fmt: skip
    assert asked == [[1, 0], [0, 0], [0, 2]]


def test_where_no_prefix_meets_the_budget_the_nearest_stands() -> None:
    problem = two_groups(2, 2)
    with pytest.raises(InfeasibleBudget, match="leave at least"):
        problem.select(1 / 4, 0.0)
    assert skipping(problem).select(1 / 4, 0.0) == [1, 0], "no prefix really costs less than three"


@given(problems(), SHARES)
def test_skipping_takes_the_first_prefix_that_meets_the_budget(
    problem: Problem, share: float
) -> None:
    problem = skipping(problem)
    counts = outcome(problem, share, WIDE)
    if isinstance(counts, str):
        assert "its limits leave at least" in counts, "groups that all stay, and no others"
        return
    floors = problem.floors
    free = [one.units > floor for one, floor in zip(problem.groups, floors, strict=True)]
    order = [at for at in rank(problem.groups, problem.scores, "global").groups if free[at]]
    taken = []
    for length in range(len(order) + 1):
        asked = [sum(int(at == one) for at in order[:length]) for one in range(len(free))]
        asked = [count - count % step for count, step in zip(asked, problem.steps, strict=True)]
        taken.append([
            0 if group.units - count < floor else count
            for group, count, floor in zip(problem.groups, asked, floors, strict=True)
        ])  # fmt: skip
    costs = [problem.cost(torch.tensor(one)) for one in taken]
    met = [one for one, cost in zip(taken, costs, strict=True) if cost <= share * problem.dense]
    if met:
        assert counts == met[0]
    else:
        assert problem.cost(torch.tensor(counts)) == min(costs)


def test_groups_of_equal_scores_are_unranked_and_one_unit_needs_no_rank() -> None:
    groups = [group_of(3, root="a"), group_of(4, root="b"), group_of(1, root="single")]
    scores = [torch.zeros(one.units) for one in groups]
    assert unranked(groups, scores) == ["a", "b"]
    scores[0][1] = 1e-9
    assert unranked(groups, scores) == ["b"]
