"""Gate-Decorator: its norm, its score, its threshold, and the rhythm of ticks and tocks."""

from __future__ import annotations

import copy
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import toy
from conftest import CLASSES, build, conv, groups_of, images, labelled
from hypothesis import given
from hypothesis import strategies as st
from rehearsal import Rehearsal, ground_of, procedure_of
from torch import Tensor, nn

from bench.models.resnet import resnet
from bench.models.vgg import vgg_small
from bench.pruning.selection import Limits
from criteria import CriteriaError, NotApplicable, score
from criteria.families.gate_norm import GateNorm, close_gates, open_gates
from criteria.network.cut import cut
from criteria.network.member import kind_of
from criteria.phases import PHASES
from criteria.procedures.gates import beats
from criteria.procedures.gradual import under_threshold

VECTORS = json.loads((toy.VECTORS / "gates.json").read_text())
SHORT: dict[str, Any] = {"cycles": 2, "ticks_per_tock": 3, "tock": 2}  # ten beats
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64, the same sums in another order


def output(model: nn.Module, inputs: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return copy.deepcopy(model).eval()(images() if inputs is None else inputs)


def norms_of(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [one for one in model.modules() if isinstance(one, nn.BatchNorm2d)]


# --- the norm -------------------------------------------------------------------------------------


def test_a_gate_norm_is_that_of_the_vector() -> None:
    vector = VECTORS["norm"]
    model = nn.Sequential(conv(3, 3), nn.BatchNorm2d(3), nn.ReLU(), conv(3, 2)).double()
    norm = model[1]
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(vector["gamma"]))
        norm.bias.copy_(torch.tensor(vector["beta"]))
    before = model[:2].eval()(images())
    assert open_gates(model, groups_of(model)) == ["1"]
    close = {"rtol": 1e-6, "atol": 1e-7}  # the vector's numbers pass through float32
    torch.testing.assert_close(norm.weight, torch.tensor(vector["gate"]).double(), **close)
    torch.testing.assert_close(norm.bias, torch.tensor(vector["shift"]).double(), **close)
    changed = (model[:2](images()) - before).abs().amax((0, 2, 3))
    torch.testing.assert_close(
        changed, torch.tensor(vector["output_changes_by"]).double(), rtol=1e-6, atol=1e-7
    )


def test_a_gate_multiplies_everything_and_its_gradient_is_that_of_the_formula() -> None:
    model = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 2)).double().train()
    plain = nn.BatchNorm2d(4, affine=False).double()
    gate, shift = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).double()
    open_gates(model, groups_of(model))
    norm = model[1]
    with torch.no_grad():
        norm.weight.copy_(gate)
        norm.bias.copy_(shift)
    inputs = torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(1)).double()
    gate, shift = gate.requires_grad_(), shift.requires_grad_()
    wanted = gate[:, None, None] * (plain(inputs) + shift[:, None, None])
    torch.testing.assert_close(norm(inputs), wanted, **EXACT)
    torch.testing.assert_close(norm.running_var, plain.running_var, **EXACT)
    assert norm.num_batches_tracked == plain.num_batches_tracked == 1
    norm(inputs).square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(norm.weight.grad, gate.grad, **EXACT)
    torch.testing.assert_close(norm.bias.grad, shift.grad, **EXACT)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_gates_opened_and_closed_again_train_the_same_statistics(momentum: float | None) -> None:
    model = build("residual")
    for norm in norms_of(model):
        norm.momentum = momentum
        norm.reset_running_stats()
    other = copy.deepcopy(model)
    open_gates(other, groups_of(other))
    parameters = {name: id(one) for name, one in other.named_parameters()}
    for seed in range(3):
        model.train()(images(seed=seed))
        other.train()(images(seed=seed))
    assert sum(isinstance(one, GateNorm) for one in other.modules()) == 3
    gated = output(other)
    close_gates(other)
    assert {type(one) for one in norms_of(other)} == {nn.BatchNorm2d}
    assert {name: id(one) for name, one in other.named_parameters()} == parameters
    assert torch.equal(output(other), gated)  # beta is g b, the very number that the gate norm used
    # beta / gamma * gamma is beta up to rounding, wherever beta is within ten gammas
    torch.testing.assert_close(output(other), output(model), **EXACT)


def test_a_norm_without_a_factor_has_a_gate_without_a_shift() -> None:
    model = nn.Sequential(conv(3, 3), nn.BatchNorm2d(3), nn.ReLU(), conv(3, 2)).double()
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    open_gates(model, groups_of(model))
    assert model[1].bias.tolist() == [0, 10, -10]


# --- the score ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bn_mode", [None, "eval", "batch"])
def test_the_score_is_the_gates_gradient_times_the_gate_summed_over_norms_and_batches(
    bn_mode: str | None,
) -> None:
    """By default with the statistics of the batch, as the authors score while gates train."""
    model = build("residual")
    data = [labelled(4, seed) for seed in range(3)]
    options = {"bn_mode": bn_mode} if bn_mode else {}
    before = copy.deepcopy(model.state_dict())
    found = score(model, images(1), "gate_decorator", data, ignored=[model.stem], **options)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    open_gates(model, groups_of(model))
    norms = {"left1": [model.norm1], "left2": [model.norm2, model.norm3]}
    wanted = {root: torch.zeros(len(ones[0].weight)).double() for root, ones in norms.items()}
    for inputs, labels in data:
        model.zero_grad()
        F.cross_entropy(model.train(bn_mode != "eval")(inputs), labels).backward()
        for root, ones in norms.items():
            wanted[root] += sum((one.weight * one.weight.grad).abs().detach() for one in ones)
    assert {one.root for one in found} == wanted.keys()
    for one in found:
        torch.testing.assert_close(one.values, wanted[one.root], rtol=1e-9, atol=1e-12)


def test_the_score_needs_a_batch_norm() -> None:
    with pytest.raises(NotApplicable, match="gate_decorator finds nothing to score"):
        score(build("flat"), images(1), "gate_decorator", [labelled()])


# --- the threshold --------------------------------------------------------------------------------


def but_the_best(scores: list[Tensor]) -> list[Tensor]:
    """Flags of all but the top max(1, 10 %) of each group."""
    free = []
    for values in scores:
        best = values.argsort(descending=True)[: max(1, -(-len(values) // 10))]
        free.append(torch.ones(len(values), dtype=torch.bool).index_fill(0, best, False))
    return free


@pytest.mark.parametrize("case", VECTORS["threshold"]["cases"], ids=lambda one: str(one["count"]))
def test_the_threshold_is_that_of_the_vector(case: dict[str, Any]) -> None:
    vector = VECTORS["threshold"]
    scores = [torch.tensor(one).double() for one in vector["scores"]]
    closed = under_threshold(scores, but_the_best(scores), vector["norms"], case["count"])
    assert [one.nonzero()[:, 0].tolist() for one in closed] == case["closed"]


@given(
    scores=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), min_size=1, max_size=4),
    count=st.integers(0, 40),
    data=st.data(),
)
def test_the_threshold_agrees_with_plain_loops(
    scores: list[list[int]], count: int, data: st.DataObject
) -> None:
    norms = [data.draw(st.integers(1, 3)) for _ in scores]
    free = [data.draw(st.lists(st.booleans(), min_size=len(s), max_size=len(s))) for s in scores]
    pool = sorted(
        value
        for values, flags, times in zip(scores, free, norms, strict=True)
        for value, flag in zip(values, flags, strict=True)
        if flag and value
        for _ in range(times)
    )
    threshold = pool[min(count, len(pool) - 1)] if pool else 0
    wanted = [
        [flag and value <= threshold for value, flag in zip(values, flags, strict=True)]
        for values, flags in zip(scores, free, strict=True)
    ]
    found = under_threshold(
        [torch.tensor(one).double() for one in scores],
        [torch.tensor(one) for one in free],
        norms,
        count,
    )
    assert [one.tolist() for one in found] == wanted


# --- the rhythm -----------------------------------------------------------------------------------


def test_with_as_many_epochs_as_beats_a_tick_is_one_epoch() -> None:
    options: Any = PHASES["procedure"].options("gates", {"cycles": 2})
    found = beats(options, 40 * 7)
    assert len(found) == 2 * (1 + 10)
    assert {one.end - one.start for one in found if one.is_tick} == {7}
    assert {one.end - one.start for one in found if not one.is_tick} == {70}
    assert [one.is_tick for one in found[:12]] == [False] + [True] * 10 + [False]
    assert found[-1].ticks == 20


@given(steps=st.integers(10, 500))
def test_beats_cover_every_step_once(steps: int) -> None:
    options: Any = PHASES["procedure"].options("gates", SHORT)
    found = beats(options, steps)
    assert found[0].start == 0
    assert found[-1].end == steps
    assert all(one.end == after.start for one, after in itertools.pairwise(found))
    assert all(one.end > one.start for one in found)


def test_a_training_that_is_too_short_says_what_to_change() -> None:
    options: Any = PHASES["procedure"].options("gates", {})
    with pytest.raises(CriteriaError, match="at least 40; give the recipe more epochs, or lower"):
        beats(options, 39)


def test_rates_are_low_in_ticks_and_a_triangle_in_tocks() -> None:
    model = build("chain")
    gates = procedure_of("gates", ground_of(model, 0.6), **SHORT)
    Rehearsal(model, gates, epochs=20, steps=5)  # beats of 10 steps, tocks of 20
    rates = [gates.rate(step) for step in range(100)]
    assert rates[20:50] == [0.1] * 30
    assert rates[0] == rates[19] == rates[50] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10])
    assert rates[:20] == pytest.approx(rates[19::-1])
    assert max(rates) > 0.9


def test_a_tick_moves_gates_shifts_and_classifier_only() -> None:
    model = build("residual")
    gates = procedure_of("gates", ground_of(model, 0.6), **SHORT)
    ride = Rehearsal(model, gates, epochs=5).run(until=4)  # the first tock, with momentum behind it
    convs = {
        name
        for name, module in model.named_modules()
        if kind_of(module) == "conv"
        for name in (f"{name}.weight", f"{name}.bias")
    }
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    ride.run(until=5)  # half a tick: nothing has left
    assert gates.loss_term(4) is None
    moved = {name for name, one in model.named_parameters() if not torch.equal(one, before[name])}
    assert moved == before.keys() - convs
    momenta = ride.training.momenta()
    assert all(not momenta[name].any() for name in convs)
    assert all(momenta[name].any() for name in ("norm1.weight", "fc.weight"))


def test_a_tock_moves_everything_and_adds_the_gates_sizes_to_the_loss() -> None:
    model = build("residual")
    gates = procedure_of("gates", ground_of(model, 0.6), **SHORT)
    ride = Rehearsal(model, gates, epochs=5)
    sizes = sum(one.weight.abs().sum() for one in norms_of(model))
    assert gates.loss_term(0) is not None
    torch.testing.assert_close(gates.loss_term(0), 1e-3 * sizes)
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    ride.run(until=1)
    assert all(not torch.equal(one, before[name]) for name, one in model.named_parameters())


# --- what leaves ----------------------------------------------------------------------------------

GATED = ("chain", "residual", "concat", "depthwise", "grouped", "transposed", "option_a")


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("criterion", ["l2", "taylor"])
def test_what_has_left_can_be_cut_without_a_trace_and_the_budget_is_met(
    name: str, criterion: str
) -> None:
    model = build(name)
    ground = ground_of(model, 0.6, criterion)
    gates = procedure_of("gates", ground, **SHORT)
    Rehearsal(model, gates, epochs=5).run()
    removed = gates.removed()
    assert 0.4 <= ground.share(removed) <= 0.6
    assert {type(one) for one in norms_of(model)} == {nn.BatchNorm2d}
    small = cut(model, ground.groups, removed)
    torch.testing.assert_close(output(small), output(model), **EXACT)


def with_relus(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = resnet(8, CLASSES, 3, 8) if name == "resnet8" else vgg_small(CLASSES, 3, 8, width=8)
        return model.double()


@pytest.mark.parametrize("name", ["resnet8", "vgg_small"])
def test_so_it_is_behind_relus_by_the_papers_score_within_the_tolerance(name: str) -> None:
    model = with_relus(name)
    ground = ground_of(model, 0.5, "gate_decorator", tolerance=0.01)
    gates = procedure_of("gates", ground, **SHORT)
    Rehearsal(model, gates, epochs=5).run()
    assert 0.49 <= ground.share(gates.removed()) <= 0.5
    small = cut(model, ground.groups, gates.removed())
    torch.testing.assert_close(output(small), output(model), **EXACT)


def test_ticks_take_equal_shares_of_the_cost_and_give_nothing_back() -> None:
    model = with_relus("vgg_small")
    ground = ground_of(model, 0.5, "gate_decorator", tolerance=0.01)
    gates = procedure_of("gates", ground, **SHORT)
    ride = Rehearsal(model, gates, epochs=10, steps=1)
    stops = [ground.nothing()]
    for step in range(1, 11):
        ride.run(until=step)
        stops.append(gates.removed())
        for before, now in zip(*stops[-2:], strict=True):
            assert torch.isin(before, now).all()
    shares = [ground.share(one) for one in stops]
    for tock in ((0, 1, 2), (5, 6, 7)):
        assert len({shares[step] for step in tock}) == 1
    for ticks, step in enumerate((3, 4, 5, 8, 9, 10), 1):
        goal = 1 - 0.5 * ticks / 6
        assert goal - 0.04 <= shares[step] <= goal  # a channel of the widest layers: 3 % of all
    assert gates.done


def test_all_members_of_a_residual_group_are_closed_alike() -> None:
    model = build("residual")
    with torch.no_grad():
        model.left2.weight[[1, 4]] *= 1e-3  # the group's lowest by the norm of its root's filters
    ground = ground_of(model, 0.6)
    gates = procedure_of("gates", ground, **SHORT)
    ride = Rehearsal(model, gates, epochs=10, steps=1).run(until=5)
    gone = dict(zip((one.root for one in ground.groups), gates.removed(), strict=True))["left2"]
    assert len(gone)
    for norm in (model.norm2, model.norm3):
        assert (norm.weight == 0).nonzero()[:, 0].tolist() == gone.tolist()
        assert (norm.bias == 0).nonzero()[:, 0].tolist() == gone.tolist()
    ride.run(until=7)  # a tock trains everything, and what has left stays
    for layer in (model.left2, model.right, model.norm2, model.norm3):
        assert not layer.weight[gone].any()
        assert not layer.bias[gone].any()


@pytest.mark.parametrize("per_tick", [None, 0.3])
def test_the_best_of_every_group_stay_however_low_they_are(per_tick: float | None) -> None:
    """The limits of the budget hold on the way, too."""
    model = with_relus("vgg_small")
    ground = ground_of(model, 0.5, "l1", limits=Limits(protect=0.3), tolerance=0.01)
    low = [group.root for group in ground.groups].index("features.3")

    def score(now: nn.Module, removed: list[Tensor]) -> list[Tensor]:
        scores = ground.score(now, removed)
        scores[low] -= 1e6
        return scores

    gates = procedure_of("gates", replace(ground, score=score), **SHORT, per_tick=per_tick)
    ride = Rehearsal(model, gates, epochs=10, steps=1)
    for step in range(1, 11):
        ride.run(until=step)
        assert len(gates.removed()[low]) <= 5
    assert len(gates.removed()[low]) == 5  # 30 % of 8 channels stay, rounded up: 3
    assert 0.49 <= ground.share(gates.removed()) <= 0.5


def test_with_a_share_per_tick_training_ends_as_soon_as_the_budget_is_met() -> None:
    model = with_relus("vgg_small")
    ground = ground_of(model, 0.5, "gate_decorator", tolerance=0.01)
    gates = procedure_of("gates", ground, **SHORT, per_tick=0.15)
    ride = Rehearsal(model, gates, epochs=10, steps=1).run(until=3)
    channels = sum(group.units for group in ground.groups)
    assert sum(map(len, gates.removed())) == int(0.15 * channels) + 1  # up to the threshold itself
    ride.run()
    assert ride.step in (5, 8, 9)  # a tick, before the last
    assert 0.49 <= ground.share(gates.removed()) <= 0.5
    small = cut(model, ground.groups, gates.removed())
    torch.testing.assert_close(output(small), output(model), **EXACT)


def test_a_share_per_tick_that_is_too_small_fails_with_how_far_it_came() -> None:
    model = with_relus("vgg_small")
    gates = procedure_of("gates", ground_of(model, 0.5), **SHORT, per_tick=0.002)
    with pytest.raises(
        CriteriaError, match=r"6 ticks have left \d\d\.\d% .* budget is 50\.0%.*0.002"
    ):
        Rehearsal(model, gates, epochs=10, steps=1).run()


def test_a_network_without_batch_norms_is_not_applicable() -> None:
    model = build("flat")
    with pytest.raises(NotApplicable, match=r"no group .* has an nn\.BatchNorm2d"):
        Rehearsal(model, procedure_of("gates", ground_of(model, 0.6)), epochs=1)


# --- fading ---------------------------------------------------------------------------------------


def fading(steps: int = 4, **more: Any) -> dict[str, Any]:
    return {**SHORT, "decay": {"steps": steps, **more}}


def test_one_step_of_fading_is_shutting_at_once() -> None:
    models = []
    for options in (SHORT, fading(1), fading(1, of="gates_and_shifts")):
        model = build("residual")
        Rehearsal(
            model, procedure_of("gates", ground_of(model, 0.6, "taylor"), **options), epochs=5
        ).run()
        models.append(model.state_dict())
    for other in models[1:]:
        assert all(torch.equal(one, models[0][name]) for name, one in other.items())


@pytest.mark.parametrize("of", ["gates", "gates_and_shifts"])
@pytest.mark.parametrize("name", ["residual", "depthwise", "concat"])
def test_gates_fade_and_then_the_units_leave_without_a_trace(name: str, of: str) -> None:
    model = build(name)
    ground = ground_of(model, 0.6, "taylor")
    gates = procedure_of("gates", ground, **fading(of=of))
    Rehearsal(model, gates, epochs=6).run()
    assert 0.4 <= ground.share(gates.removed()) <= 0.6
    small = cut(model, ground.groups, gates.removed())
    torch.testing.assert_close(output(small), output(model), **EXACT)
    assert gates.notes() == {"releases": 0}


def test_a_fading_gate_follows_the_ramp_and_leaves_when_it_is_zero() -> None:
    model = build("residual")
    gates: Any = procedure_of("gates", ground_of(model, 0.6, "taylor"), **fading(6))
    # Beats of 2 steps: the first tick ends at 6, and the ramp at 11, in the next tock's first step.
    ride = Rehearsal(model, gates, epochs=5, steps=5).run(until=6)
    assert not any(map(len, gates.removed()))
    leaving = gates._decay.entries.listed(gates._decay.decaying)
    at = next(at for at, one in enumerate(leaving) if len(one))
    members = [one for one in gates.ground.groups[at].members if one.kind == "batchnorm"]

    def lengths() -> Tensor:
        """Of the gates of each unit that leaves."""
        values = dict(model.named_parameters())
        rows = torch.cat([one.view(values) for one in members], dim=1)
        return rows.detach()[leaving[at]].norm(dim=1)

    begun = lengths() * 6 / 5  # the step that led here counts
    for taken in range(2, 7):
        ride.run(until=ride.step + 1)
        # the ramp is re-imposed after every step, whatever the optimizer did
        torch.testing.assert_close(lengths(), begun * (6 - taken) / 6, rtol=1e-12, atol=1e-15)
        assert any(map(len, gates.removed())) == (taken == 6)
    assert torch.isin(leaving[at], gates.removed()[at]).all()


def test_gates_that_resist_are_released_and_the_budget_is_met_all_the_same() -> None:
    model = build("residual")
    ground = ground_of(model, 0.6, "taylor")
    rectify = {"rate": -1.0, "length": 0.0, "window": 1, "max_releases": 1, "cool_down": 1}
    gates = procedure_of("gates", ground, **fading(rectify=rectify))
    Rehearsal(model, gates, epochs=10).run()
    assert gates.notes()["releases"] > 0
    assert 0.4 <= ground.share(gates.removed()) <= 0.6
    small = cut(model, ground.groups, gates.removed())
    torch.testing.assert_close(output(small), output(model), **EXACT)


def test_a_training_too_short_to_fade_says_so() -> None:
    options: Any = PHASES["procedure"].options("gates", fading(50))
    with pytest.raises(CriteriaError, match=r"at least 59; .* or decay\.steps"):
        beats(options, 58)


# --- resuming -------------------------------------------------------------------------------------


RESUMED: dict[str, dict[str, Any]] = {
    "shut": SHORT,
    "by share": {**SHORT, "per_tick": 0.05},
    "fading": fading(3, rectify={"rate": 0.0, "length": 0.5}),
}


@pytest.mark.parametrize("stop", [1, 5, 6, 7, 13])
@pytest.mark.parametrize("how", RESUMED)
def test_a_resumed_training_ends_as_an_undisturbed_one(how: str, stop: int) -> None:
    def fresh() -> Rehearsal:
        model = build("residual")
        ground = ground_of(model, 0.6, "taylor")
        gates = procedure_of("gates", ground, **RESUMED[how])
        return Rehearsal(model, gates, epochs=5)

    whole = fresh().run()
    halfway = fresh().run(until=stop).state()
    resumed = fresh().load(halfway).run()
    assert resumed.losses == whole.losses[stop:]
    for one, other in zip(resumed.procedure.removed(), whole.procedure.removed(), strict=True):
        assert torch.equal(one, other)
    wanted = whole.model.state_dict()
    assert all(torch.equal(one, wanted[name]) for name, one in resumed.model.state_dict().items())
