"""Networks on their way down: one-shot, step by step, and the public call."""

from __future__ import annotations

import gc
import itertools
import math
import weakref
from collections.abc import Sequence

import pytest
import torch
from conftest import Chain, build, conv, images, labelled, left_as_found, lively, marked, trace
from torch import Tensor, nn

import bench
from bench.pruning.choose import iterative, one_shot
from bench.pruning.cost import count_macs, count_params
from bench.pruning.network import Network, Removed, Rules, Schedule
from bench.pruning.prune import Pruned, prune, shares
from bench.pruning.selection import InfeasibleBudget, Limits
from criteria import NotApplicable, OptionError, UnknownCriterion, find_structure
from criteria.criterion import checked_scores
from criteria.gather import gather, score_alone
from criteria.network.cut import cut, mask
from criteria.registry import create

COARSE = 0.1  # of the dense cost: one channel of these tiny networks costs several per cent


def l1(now: Network) -> list[Tensor]:
    criterion = create("l1", now.structure.groups, {}, torch.Generator())
    gather(now.model, [criterion], ())
    return checked_scores(criterion)


class Counting:
    """A scorer that counts its calls and keeps the widths it was asked about."""

    def __init__(self) -> None:
        self.widths: list[list[int]] = []

    def __call__(self, now: Network) -> Sequence[Tensor]:
        self.widths.append([group.units for group in now.structure.groups])
        return l1(now)


def share_of(network: Network, removed: list[Tensor]) -> float:
    counts = torch.tensor([len(one) for one in removed])
    return network.cost.macs(counts) / network.cost.macs(torch.zeros(len(counts)))


# --- budgets and stops ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({"macs": 0.5}, ("macs", 0.5)),
        ({"params": 0.25}, ("params", 0.25)),
        ({"speedup": 4}, ("macs", 0.25)),
        ({"channels": 0.5}, ("channels", 0.5)),
        ({"weights": 0.1}, ("weights", 0.1)),
        ({"macs": 1}, ("macs", 1)),
        ({"speedup": 1}, ("macs", 1)),
    ],
)
def test_budgets_as_people_write_them(
    budget: dict[str, float], expected: tuple[str, float]
) -> None:
    assert shares(budget) == expected


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ({}, "give one of macs, params, channels, latency, memory, weights .* speedup"),
        ({"macs": 0.5, "params": 0.5}, "give one of"),
        ({"flops": 0.5}, "give one of"),
        ({"macs": 0}, r"a share is in \(0, 1\]"),
        ({"macs": -0.5}, r"a share is in \(0, 1\]"),
        ({"params": 1.5}, r"a share is in \(0, 1\]"),
        ({"speedup": 0.5}, "a speed-up is at least 1"),
        ({"speedup": 0}, "a speed-up is at least 1"),
        ({"macs": float("nan")}, r"a share is in \(0, 1\]"),
    ],
)
def test_wrong_budgets_say_what_is_right(budget: dict[str, float], says: str) -> None:
    with pytest.raises(InfeasibleBudget, match=says):
        shares(budget)


def test_stops_fall_to_the_last_budget_and_pass_through_all() -> None:
    assert Schedule(4).stops([0.2]) == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert Schedule(4).stops([0.5, 0.2]) == pytest.approx([0.8, 0.6, 0.5, 0.4, 0.2])
    assert Schedule(2, "geometric").stops([0.25]) == pytest.approx([0.5, 0.25])
    assert Schedule(1).stops([0.7]) == [0.7]
    assert Schedule(2, "quadratic").stops([0.25]) == pytest.approx([0.75**2, 0.25])


def test_steps_that_lead_beyond_the_last_budget_end_there() -> None:
    assert Schedule(4, "quadratic", to=0).stops([0.3]) == pytest.approx([0.75**2, 0.3])
    assert Schedule(4, "geometric", to=0.0625).stops([0.2]) == pytest.approx([0.5, 0.25, 0.2])
    assert Schedule(10, to=0.5).stops([0.9, 0.8]) == pytest.approx([0.95, 0.9, 0.85, 0.8])
    assert Schedule(4, to=0.2).stops([0.2]) == pytest.approx(Schedule(4).stops([0.2]))
    planned = [0.1 ** (step / 49) for step in range(1, 50)]  # OBA's script, and where it records
    assert Schedule(49, "geometric").stops([round(planned[2], 9), 0.1]) == pytest.approx(planned)
    assert len(Schedule(49, "geometric").stops([0.9, 0.1])) == 50


@pytest.mark.parametrize("speedup", [3, 7, 1.3])
@pytest.mark.parametrize("shape", ["linear", "geometric"])
def test_a_budget_that_no_decimal_writes_is_one_stop(speedup: float, shape: str) -> None:
    stops = Schedule(5, shape).stops([1 / speedup])  # type: ignore[arg-type]
    assert len(stops) == 5
    assert stops[-1] == 1 / speedup


# --- one-shot -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", ["macs", "params"])
def test_one_shot_meets_every_budget(model: nn.Module, cost: str) -> None:
    network = trace(model)
    rules = Rules(cost, tolerance=COARSE, limits=Limits(protect=0))  # type: ignore[arg-type]
    dense = network.cost.of(cost)(torch.zeros(len(network.structure.groups)))
    found = one_shot(network, l1(network), [0.8, 0.6, 0.4], rules)
    met = {key: one for key, one in found.items() if not isinstance(one, InfeasibleBudget)}
    assert met or network.model[0].out_channels <= 8  # a channel of some costs more than a tenth
    for budget, removed in met.items():
        counts = torch.tensor([len(one) for one in removed])
        assert budget - COARSE <= network.cost.of(cost)(counts) / dense <= budget
        pruned = network.cut(removed)
        count = count_macs(pruned, network.inputs) if cost == "macs" else count_params(pruned)
        assert count == round(network.cost.of(cost)(counts))


def test_lowest_scores_leave_first() -> None:
    network = trace(build("chain"))
    scores = l1(network)
    removed = one_shot(network, scores, [0.5], Rules(tolerance=COARSE))[0.5]
    assert not isinstance(removed, InfeasibleBudget)
    for values, gone in zip(scores, removed, strict=True):
        assert set(gone.tolist()) == set(values.argsort()[: len(gone)].tolist())


def test_round_to_holds_on_the_pruned_network() -> None:
    network = trace(lively(Chain(16, 12)))
    rules = Rules(tolerance=0.5, limits=Limits(round_to=4))
    removed = one_shot(network, l1(network), [0.5], rules)[0.5]
    assert not isinstance(removed, InfeasibleBudget)
    pruned = network.cut(removed)
    widths = [one.out_channels for one in pruned.modules() if isinstance(one, nn.Conv2d)]
    assert all(width % 4 == 0 for width in widths)
    assert widths != [16, 12]


# --- counts of channels ---------------------------------------------------------------------------


def channels(network: Network, removed: Removed | InfeasibleBudget) -> int:
    """Root channels that stay, counted on the groups."""
    assert not isinstance(removed, InfeasibleBudget)
    return sum(len(one) for one in network.kept(removed).values())


@pytest.mark.parametrize("steps", [0, 18])
def test_a_share_of_channels_is_met_to_the_channel(steps: int) -> None:
    """OBC's protocol: 18 linear steps of 5 % of the prunable channels each, on one path."""
    network = trace(lively(Chain(20, 13, 8)))  # 41: most shares are no whole number
    budgets = [round(1 - 0.05 * step, 2) for step in range(1, 19)]
    rules = Rules("channels", limits=Limits(protect=0))
    if steps:
        assert Schedule(steps).stops(budgets) == budgets
        found = iterative(network, l1, budgets, rules, Schedule(steps))
    else:
        found = one_shot(network, l1(network), budgets, rules)
    assert [channels(network, found[one]) for one in budgets] == [
        math.floor(41 * b) for b in budgets
    ]


def test_a_unit_of_several_channels_counts_as_many() -> None:
    """Two blocks tie channels in pairs: the cost falls by two at a time."""
    network = trace(build("grouped"))
    whole = network.cost.channels(torch.zeros(len(network.structure.groups)))
    assert whole == sum(group.units * group.channels_per_unit for group in network.structure.groups)
    for at, group in enumerate(network.structure.groups):
        one = torch.zeros(len(network.structure.groups))
        one[at] = 1
        assert network.cost.channels(one) == whole - group.channels_per_unit


def test_limits_hold_for_channels_too() -> None:
    network = trace(lively(Chain(8, 8)))
    rules = Rules("channels", limits=Limits(protect=0.5))
    found = one_shot(network, l1(network), [0.5, 0.4], rules)
    assert channels(network, found[0.5]) == 8
    assert "its limits leave at least 50.0%" in str(found[0.4])


# --- step by step ---------------------------------------------------------------------------------


def test_one_step_is_one_shot() -> None:
    network = trace(build("residual"))
    rules = Rules(tolerance=COARSE)
    step = iterative(network, l1, [0.5], rules, Schedule(1))[0.5]
    shot = one_shot(network, l1(network), [0.5], rules)[0.5]
    assert [one.tolist() for one in step] == [one.tolist() for one in shot]


def test_what_is_left_is_trained_at_every_stop() -> None:
    network = trace(lively(Chain(12, 12, 12)))
    left: list[tuple[float, int, int]] = []

    def recover(model: nn.Module, stop: float, step: int, removed: Removed) -> None:
        left.append((stop, step, sum(one.numel() for one in model.parameters())))
        assert left[-1][2] == count_params(network.cut(removed))

    rules, schedule = Rules(tolerance=0.03), Schedule(4)
    found = iterative(network, l1, [0.75, 0.4], rules, schedule, recover)
    stops = schedule.stops([0.75, 0.4])
    assert [(stop, step) for stop, step, _ in left] == [(one, i) for i, one in enumerate(stops)]
    removed = found[0.4]
    assert not isinstance(removed, InfeasibleBudget)
    cut = network.cut(removed)
    assert left[-1][2] == sum(one.numel() for one in cut.parameters())


def test_every_step_scores_what_is_left() -> None:
    network, scorer = trace(lively(Chain(12, 12, 12))), Counting()
    found = iterative(network, scorer, [0.75, 0.4], Rules(tolerance=0.03), Schedule(4))
    stops = Schedule(4).stops([0.75, 0.4])
    assert len(scorer.widths) == len(stops) == 5
    assert scorer.widths[0] == [12, 12, 12]
    for before, after in itertools.pairwise(scorer.widths):
        assert sum(after) < sum(before)
    for budget in (0.75, 0.4):
        assert budget - 0.03 <= share_of(network, found[budget]) <= budget
    for few, many in zip(found[0.75], found[0.4], strict=True):
        assert set(few.tolist()) <= set(many.tolist())


def test_indices_of_a_path_are_those_of_the_dense_network() -> None:
    """Cut step by step, or all at once from the dense network: the same weights are left."""
    network = trace(lively(Chain(12, 12)))
    seen: list[Network] = []

    def scorer(now: Network) -> list[Tensor]:
        seen.append(now)
        return l1(now)

    found = iterative(network, scorer, [0.7, 0.3], Rules(tolerance=COARSE), Schedule(2))
    at_once = network.cut(found[0.7])
    midway = next(now.model for now in seen if widths(now.model) == widths(at_once))
    for one, other in zip(midway.parameters(), at_once.parameters(), strict=True):
        assert torch.equal(one, other)


def widths(model: nn.Module) -> list[int]:
    return [one.out_channels for one in model.modules() if isinstance(one, nn.Conv2d)]


@pytest.mark.parametrize("budget", [0.79, 0.59, 0.39])
def test_no_stop_overshoots_the_budget_behind_it(budget: float) -> None:
    """Stops at 0.8, 0.6, 0.4 may not remove a channel that the budget just behind forbids."""
    network = trace(lively(Chain(8, 8)))
    rules = Rules(tolerance=0.03, limits=Limits(protect=0))
    removed = iterative(network, l1, [budget, 0.2], rules, Schedule(4))[budget]
    shot = one_shot(network, l1(network), [budget], rules)[budget]
    assert isinstance(removed, InfeasibleBudget) == isinstance(shot, InfeasibleBudget)
    if not isinstance(removed, InfeasibleBudget):
        assert budget - 0.03 <= share_of(network, removed) <= budget


def test_limits_are_of_the_dense_network_on_the_whole_path() -> None:
    """Half of the dense width stays, not half of a half."""
    network = trace(lively(Chain(8, 8)))
    rules = Rules(tolerance=0.2, limits=Limits(protect=0.5))
    found = iterative(network, l1, [0.5, 0.2], rules, Schedule(4))
    assert isinstance(found[0.2], InfeasibleBudget)
    assert "its limits leave at least" in str(found[0.2])
    assert all(len(one) <= 4 for one in found[0.5])


def test_a_path_that_fails_keeps_the_budgets_it_met() -> None:
    network = trace(lively(Chain(8, 8)))
    found = iterative(network, l1, [0.6, 0.001, 0.0005], Rules(tolerance=COARSE), Schedule(2))
    assert set(found) == {0.6, 0.001, 0.0005}
    assert not isinstance(found[0.6], InfeasibleBudget)
    assert isinstance(found[0.001], InfeasibleBudget)
    assert isinstance(found[0.0005], InfeasibleBudget)


def test_ignored_layers_stay_ignored_after_each_cut() -> None:
    model = lively(Chain(8, 8, 8))
    network = Network.trace(model, images(1), [model[3]])
    found = iterative(network, l1, [0.5], Rules(tolerance=COARSE), Schedule(3))[0.5]
    assert widths(network.cut(found))[1] == 8


def test_a_network_without_some_units_is_as_a_trace_would_find_it(model: nn.Module) -> None:
    network = trace(model)
    groups = network.structure.groups
    removed = [torch.arange(group.units - Limits(protect=0.5).floor(group)) for group in groups]
    rest = network.without(removed)
    found = Network.trace(rest.model, network.inputs)
    assert [one.root for one in rest.structure.groups] == [one.root for one in groups]
    traced = {one.root: one for one in found.structure.groups}
    assert len(traced) == len(groups)
    for group in rest.structure.groups:
        assert group.units == traced[group.root].units
        for one, other in zip(group.members, traced[group.root].members, strict=True):
            assert torch.equal(one.indices, other.indices)
            assert torch.equal(one.units, other.units)
            for name in ("name", "kind", "side", "blocks", "width", "dim", "multiplied"):
                assert getattr(one, name) == getattr(other, name), (one.name, name)
    none = torch.zeros(len(groups))
    for cost in ("macs", "params", "channels"):
        assert rest.cost.of(cost)(none) == found.cost.of(cost)(none)


def test_a_grouped_convolution_stays_grouped_on_its_whole_path() -> None:
    """With one output a block it would be traced as depthwise, and the path would end."""
    model = nn.Sequential(
        conv(3, 8), nn.SiLU(), conv(8, 8, groups=2), nn.SiLU(), conv(8, 8), nn.SiLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    network = trace(lively(model))
    middle = [one.root for one in network.structure.groups].index("2")

    def scorer(now: Network) -> list[Tensor]:
        return [values - 1000.0 * (at == middle) for at, values in enumerate(l1(now))]

    found = iterative(network, scorer, [0.5, 0.3], Rules(tolerance=0.2), Schedule(4))
    assert all(len(one[middle]) == 2 for one in found.values())


def test_a_depthwise_convolution_stays_depthwise_on_its_whole_path() -> None:
    """With one channel it would be traced as plain, its inputs no longer coupled to its outputs."""
    network = trace(build("depthwise"))
    groups = network.structure.groups
    at = [any(one.side == "both" and one.kind == "conv" for one in each.members) for each in groups]
    first = at.index(True)

    def scorer(now: Network) -> list[Tensor]:
        return [values - 1000.0 * (each == first) for each, values in enumerate(l1(now))]

    rules = Rules(tolerance=0.3, limits=Limits(protect=0))
    found = iterative(network, scorer, [0.5, 0.3], rules, Schedule(4))
    assert all(len(one[first]) == groups[first].units - 2 for one in found.values())


def test_kept_channels_are_those_of_the_root() -> None:
    network = trace(build("grouped"))
    at = [one.root for one in network.structure.groups].index("0")
    removed = [torch.empty(0).long() for _ in network.structure.groups]
    removed[at] = torch.tensor([1])
    kept = network.kept(removed)
    assert kept["0"] == [0, 2, 3, 5]
    assert kept["3"] == list(range(8))


# --- the public call ------------------------------------------------------------------------------


def test_the_call_of_the_readme() -> None:
    model = lively(Chain(16, 16))
    x, y = labelled()
    with left_as_found(model):
        result = bench.prune(model, images(1), "taylor", budget={"macs": 0.5}, batches=[(x, y)],
                             tolerance=0.05)  # fmt: skip
    assert isinstance(result, Pruned)
    from bench import prune as again

    assert again is prune
    assert 0.45 <= result.macs / result.dense_macs <= 0.5
    assert result.macs == count_macs(result.model, (images(1),))
    assert result.params == count_params(result.model) < result.dense_params
    assert result.model(x).shape == (4, 5)


def test_a_marked_model_is_left_as_found() -> None:
    model = marked(lively(Chain(16, 16)))
    with left_as_found(model):
        prune(model, images(1), "hessian_diag", {"params": 0.5}, [labelled()], tolerance=0.1)
        prune(model, images(1), "l1", {"macs": 0.5}, steps=3, tolerance=0.1)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    ("budget", "least"), [({"macs": 0.5}, 0.45), ({"params": 0.5}, 0.45), ({"speedup": 2.5}, 0.35)]
)
def test_every_kind_of_budget_is_met(budget: dict[str, float], least: float, steps: int) -> None:
    found = prune(lively(Chain(16, 16)), images(1), "l2", budget, steps=steps, tolerance=0.05)
    if "params" in budget:
        share = found.params / found.dense_params
    else:
        share = found.macs / found.dense_macs
    assert least <= share <= least + 0.05


@pytest.mark.parametrize("steps", [1, 4])
def test_kept_channels_masked_in_the_dense_network_give_the_same_outputs(steps: int) -> None:
    model = lively(Chain(16, 12, 8))
    found = prune(model, images(1), "group_norm", {"macs": 0.4}, steps=steps, tolerance=0.05)
    groups = find_structure(model, images(1)).groups
    removed = [
        torch.tensor([unit for unit in range(one.units) if unit not in found.kept[one.root]]).long()
        for one in groups
    ]
    assert sum(len(one) for one in removed) > 5
    with torch.no_grad():
        outputs = found.model(images(3))
        torch.testing.assert_close(outputs, mask(model, groups, removed)(images(3)))
        torch.testing.assert_close(outputs, cut(model, groups, removed)(images(3)), rtol=0, atol=0)


def test_steps_score_again_and_one_shot_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: object, **options: object) -> object:
        calls.append(arguments[0])
        return score_alone(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.pruning.prune, "score_alone", counted)
    model = lively(Chain(16, 16))
    for steps in (1, 5):
        calls.clear()
        prune(model, images(1), "l1", {"macs": 0.5}, steps=steps, tolerance=0.05)
        assert len(calls) == steps
    assert len({id(one) for one in calls}) == 5  # each time a smaller network


def test_scores_that_rank_nothing_are_said_out_loud() -> None:
    model = lively(Chain(16, 12))
    with torch.no_grad():
        list(model.modules())[-1].weight.zero_()  # type: ignore[operator, union-attr]
    with pytest.warns(UserWarning, match=r"taylor gives all units .* in 2 of 2 groups"):
        prune(model, images(1), "taylor", {"macs": 0.5}, [labelled(2)], tolerance=0.05)
    prune(model, images(1), "l1", {"macs": 0.5}, tolerance=0.05)  # any warning is an error here


def test_batches_may_be_an_iterator_that_is_read_once() -> None:
    batches = iter([labelled(2, seed) for seed in range(2)])
    model = lively(Chain(16, 16))
    found = prune(model, images(1), "taylor", {"macs": 0.5}, batches, steps=3, tolerance=0.05)
    same = prune(model, images(1), "taylor", {"macs": 0.5},
                 [labelled(2, seed) for seed in range(2)], steps=3, tolerance=0.05)  # fmt: skip
    assert found.kept == same.kept


def test_pruning_is_a_function_of_its_arguments() -> None:
    model = lively(Chain(16, 16))

    def run(seed: int) -> dict[str, list[int]]:
        torch.manual_seed(torch.seed() % 2**32)  # the global state must not matter
        draw = torch.Generator().manual_seed(seed)
        return prune(model, images(1), "random", {"macs": 0.5}, generator=draw, tolerance=0.05).kept

    with torch.random.fork_rng(devices=[]):
        assert run(1) == run(1)
        assert run(1) != run(2)


def test_pruned_models_train() -> None:
    found = prune(lively(Chain(16, 16)), images(1), "l1", {"macs": 0.5}, tolerance=0.05)
    found.model.train()
    x, y = labelled()
    nn.functional.cross_entropy(found.model(x), y).backward()
    assert all(one.grad is not None and one.requires_grad for one in found.model.parameters())


def test_what_cannot_be_done_is_refused_with_the_reason() -> None:
    model = build("flat")
    with pytest.raises(InfeasibleBudget, match="its limits leave at least"):
        prune(model, images(1), "l1", {"macs": 0.01})
    with pytest.raises(
        InfeasibleBudget, match=r"channel left overshoots; raise the tolerance .* to 0\.\d+"
    ):
        prune(model, images(1), "l1", {"macs": 0.9}, tolerance=1e-4)
    with pytest.raises(InfeasibleBudget, match="give one of"):
        prune(model, images(1), "l1", {"flops": 0.5})
    with pytest.raises(UnknownCriterion, match="Did you mean"):
        prune(model, images(1), "tailor", {"macs": 0.5})
    with pytest.raises(OptionError, match="variant"):
        prune(model, images(1), "taylor", {"macs": 0.5}, [labelled()], variant="cubed")
    with pytest.raises(NotApplicable):
        prune(model, images(1), "bn_scale", {"macs": 0.5})


def test_fifty_prunings_keep_nothing_alive() -> None:
    """torch-pruning's default dictionaries hold on to every model that they have seen."""
    alive = []
    for seed in range(50):
        model = lively(Chain(8, 8), seed)
        found = prune(model, images(1), "taylor", {"macs": 0.5}, [labelled(2)], tolerance=0.2)
        alive += [weakref.ref(model), weakref.ref(found.model), weakref.ref(found)]
        del model, found
    gc.collect()
    assert not [one for one in alive if one() is not None]


def test_coupled_groups_may_be_kept_whole() -> None:
    network = trace(build("residual"))
    limits = Limits(coupled=False)
    for group in network.structure.groups:
        makers = [one for one in group.members if one.side == "out" and one.kind == "conv"]
        assert group.coupled == (len(makers) > 1)
        assert (limits.floor(group) == group.units) == group.coupled
    assert {group.coupled for group in network.structure.groups} == {True, False}
