"""A growing penalty on doomed units: pace, decay, zeroing, resuming; GReg-1 and GReg-2."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from conftest import SMOOTH, about, build, conv, groups_of, images, lively, multiply
from growing import STEPS, equal_units, lowest_half, procedure, rehearse
from rehearsal import Rehearsal
from torch import Tensor, nn

from bench.conformance.networks import Concat, Depthwise
from bench.models import build_model
from criteria import OptionError
from criteria.network.cut import cut, difference
from criteria.network.units import Units
from criteria.phases import PHASES
from criteria.procedures.growth import Ramp
from criteria.procedures.leaving import doomed_entries
from criteria.training import Rider
from suites.problem import ModelSpec

ALL = ("greg1", "greg2", "tpp")
FAST = {"update_every": 1}


def built(name: str) -> nn.Module:
    spec = ModelSpec(name=name)
    return build_model(spec, classes=5, channels=3, image_size=8, seed=0).double()


# --- the pace -------------------------------------------------------------------------------------


def test_a_ramp_reaches_its_end_in_whole_updates() -> None:
    ramp = Ramp(start=20, every=5, low=0.1, high=0.4, delta=0.1)
    assert ramp.updates == 3  # though 0.3 / 0.1 is more than 3 in floating point
    assert ramp.end == 35
    found = [ramp.strength(step) for step in (0, 20, 24, 25, 34, 35, 99)]
    assert found == pytest.approx([0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.4])


def test_a_ramp_does_not_pass_its_ceiling() -> None:
    ramp = Ramp(start=0, every=1, low=0, high=1, delta=0.3)
    assert [ramp.strength(step) for step in range(6)] == pytest.approx([0, 0.3, 0.6, 0.9, 1, 1])


@pytest.mark.parametrize("steps", [110_000, 1100, 97, 22])
def test_by_default_growth_takes_ten_elevenths_up_to_a_whole_update(steps: int) -> None:
    (ramp,) = procedure("greg1", build("chain")).ramps(steps)
    assert 0 <= round(steps * 10 / 11) - ramp.end < 10
    assert ramp.strength(ramp.end - 1) < 1 == ramp.strength(ramp.end)


def test_delta_is_in_the_papers_units() -> None:
    (ramp,) = procedure("greg1", build("chain"), delta=1e-4).ramps(200_000)
    assert ramp.end == 100_000
    assert ramp.strength(99_999) == pytest.approx(0.9999, rel=1e-12)


def test_greg2_picks_at_its_first_ceiling_and_grows_on_from_there() -> None:
    first, second = procedure("greg2", build("chain"), pick_delta=1e-5, delta=1e-4).ramps(9)
    assert (first.end, second.end) == (10_000, 109_000)
    assert second.strength(first.end) == first.strength(first.end) == 0.01
    assert second.strength(first.end + 10) == pytest.approx(0.0101)
    first, second = procedure("greg2", build("chain")).ramps(1200)
    assert (first.end, second.end) == (100, 1100)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("tpp", {"growth": 0.5, "delta": 1e-4}, "delta.*give one of the two"),
        ("greg2", {"pick": 0.5, "pick_delta": 1e-4}, "pick_delta.*give one of the two"),
        ("greg2", {"pick_ceiling": 1.0}, "below ceiling"),
        ("greg1", {"growth": 1.0}, "growth"),
        ("greg1", {"weight_term": False}, "no option 'weight_term'"),
        ("tpp", {"scheme": "v5_2", "mean_over": "masked"}, "no mask"),
        ("tpp", {"strength": 0.0}, "strength"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        PHASES["procedure"].options(name, options)


@pytest.mark.parametrize(
    ("options", "steps", "words"),
    [
        ({}, 10, "after 10 steps, but the training has 10.*train longer"),
        ({"delta": 1e-4}, 5000, "after 100000 steps"),
        ({"delta": 1e-4, "stabilize": 10_000}, 109_999, "has 109999, and 10000 must be left"),
        ({"zero_every": 4, "stabilize": 12}, 200, "takes more than 12 steps for 3 layers, but 12"),
        ({"zero_every": 4}, 110, "zero_every = 4 takes more than 12 steps for 3 layers, but 10"),
    ],
)
def test_a_training_that_is_too_short_is_refused(
    options: dict[str, Any], steps: int, words: str
) -> None:
    model = build("chain")
    with pytest.raises(OptionError, match=words):
        rehearse(model, procedure("greg1", model, **options), steps=steps)


# --- the decay ------------------------------------------------------------------------------------


def test_parts_are_the_makers_of_the_units_and_nothing_else(model: nn.Module) -> None:
    """Brute force, on every kind of coupling: exactly what doubling the units' makers moves."""
    groups, doomed = groups_of(model), lowest_half(model)
    parts = {part.name: part for part in doomed_entries(model, groups, doomed)}
    moved = copy.deepcopy(model)
    for group, gone in zip(groups, doomed, strict=True):
        units = Units(moved, group)
        multiply(units, gone, 2.0)
    for (name, before), (_, after) in zip(
        model.named_parameters(), moved.named_parameters(), strict=True
    ):
        gone = parts[name].gone.bool() if name in parts else torch.zeros_like(before).bool()
        assert torch.equal(gone, before != after)


@pytest.mark.parametrize("name", ["chain", "grouped", "grouped_chain", "depthwise", "vit"])
def test_greg_adds_the_weight_itself_on_doomed_units_alone(name: str) -> None:
    """Norms, grouped convolutions and equal scores included, where torch-pruning's does not."""
    model = build(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)  # every unit scores alike
    rider = procedure("greg1", model, delta=0.25, update_every=1)
    rehearse(model, rider, steps=100)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    rider.after_backward(3)
    parts = {part.name: part.gone for part in rider.parts}
    assert any(part.norm for part in rider.parts) or name == "grouped_chain" or name == "vit"
    for at, parameter in model.named_parameters():
        expected = 0.75 * 0.5 * parts[at] if at in parts else torch.zeros_like(parameter)
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, expected)


def test_without_the_bn_term_norms_are_left_alone_until_they_are_zeroed() -> None:
    model = build("chain")
    rider = procedure("greg1", model, bn_term=False, **FAST)
    loop = rehearse(model, rider)
    assert {part.name for part in rider.decayed} == {"0.weight", "0.bias", "3.weight", "3.bias"}
    loop.run()
    assert all((part.parameter * part.gone == 0).all() for part in rider.parts)
    assert any(part.norm for part in rider.parts)


def test_a_frozen_parameter_stays_frozen() -> None:
    model = build("chain")
    rider = procedure("tpp", model, **FAST)
    rehearse(model, rider)
    for parameter in model.parameters():
        parameter.grad = None
    rider.after_backward(20)
    assert all(parameter.grad is None for parameter in model.parameters())


# --- the zeroing ----------------------------------------------------------------------------------


class Backwards(nn.Module):
    """Layers that are defined in the opposite order to that in which they run."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 5)
        self.norm2, self.conv2 = nn.BatchNorm2d(8), conv(6, 8)
        self.norm1, self.conv1 = nn.BatchNorm2d(6), conv(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.conv1(x)).relu()
        return self.fc(self.norm2(self.conv2(x)).relu().mean((2, 3)))


@pytest.mark.parametrize("name", ["greg1", "tpp"])
def test_layers_are_zeroed_from_front_to_back_as_they_run(name: str) -> None:
    model = lively(Backwards())
    strength = {"strength": 1.0} if name == "tpp" else {}
    rider = procedure(name, model, **strength, delta=0.5, update_every=5, zero_every=3)
    loop = rehearse(model, rider, steps=25)
    assert rider.ramp.end == 10

    def zeroed() -> set[str]:
        return {
            one.name.rpartition(".")[0]
            for one in rider.parts
            if not (one.parameter * one.gone).any()
        }

    for last, expected in [
        (12, set()),
        (13, {"conv1", "norm1"}),
        (15, {"conv1", "norm1"}),
        (16, {"conv1", "norm1", "conv2", "norm2"}),
        (24, {"conv1", "norm1", "conv2", "norm2"}),
    ]:
        loop.run(until=last + 1)
        assert zeroed() == expected
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_by_default_all_are_zero_before_the_end() -> None:
    model = build("depthwise")
    rider = procedure("greg1", model, growth=0.5, **FAST)
    rehearse(model, rider).run(until=STEPS)
    assert all(not (part.parameter * part.gone).any() for part in rider.parts)


def test_a_padded_shortcut_is_cut_off_when_stabilising_begins() -> None:
    model = build("option_a")
    rider = procedure("greg1", model, growth=0.5, **FAST)
    loop = rehearse(model, rider).run(until=rider.ramp.end)
    source = model.shortcut.source
    (gone,) = [
        units
        for group, units in zip(rider.ground.groups, rider.removed(), strict=True)
        if group.root == "conv2"
    ]
    assert (source[gone] >= 0).any()
    before = source.clone()
    loop.run(until=rider.ramp.end + 1)
    assert torch.equal(source, before.index_fill(0, gone, -1))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "network", [lambda: built("resnet20"), lambda: built("vgg_small"), Depthwise, Concat]
)
def test_cutting_what_has_left_changes_nothing(name: str, network: Any) -> None:
    model = lively(network())
    options = FAST if name != "tpp" else {**FAST, "layers": "all", "strength": 10.0}
    rider = procedure(name, model, **options)
    before = copy.deepcopy(model)
    rehearse(model, rider, rate=0.001).run()
    groups, removed = rider.ground.groups, rider.removed()
    assert sum(map(len, removed)) > 0
    for group, gone in zip(groups, removed, strict=True):
        units = Units(model, group)
        assert not units.rows(units.tensors())[gone].any()
    # float64: both networks sum the same numbers in another order
    assert difference(model, cut(model, groups, removed), (images(),)) < 1e-12
    assert difference(before, cut(before, groups, removed), (images(),)) > 1e-3


def test_notes_tell_how_much_growth_has_left() -> None:
    weak, strong = (build("chain") for _ in range(2))
    left = []
    for model, ceiling in ((weak, 1e-6), (strong, 50.0)):
        rider = procedure("greg1", model, ceiling=ceiling, **FAST)
        rehearse(model, rider).run()
        left.append(rider.notes()["norm_left"])
    assert left[1] < 0.1 < 0.8 < left[0] < 1.2


@pytest.mark.parametrize("name", ["greg1", "tpp"])
def test_nothing_doomed_is_training_as_usual(name: str) -> None:
    model, plain = build("chain"), build("chain")
    nothing = [torch.empty(0, dtype=torch.long) for _ in groups_of(model)]
    rider = procedure(name, model, doomed=nothing, **FAST)
    rehearse(model, rider).run()
    rehearse(plain, Rider()).run()
    one, two = model.state_dict(), plain.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert rider.notes() == {}


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("tpp", {"delta": 1e-4, "stabilize": 10_000}, 110_000),  # CIFAR
        ("tpp", {"delta": 1e-4, "update_every": 5, "stabilize": 40_000}, 90_000),  # ImageNet
        (
            "greg2",
            {"pick_delta": 1e-5, "delta": 1e-4, "update_every": 5, "stabilize": 40_000},
            5_000 + 49_500 + 40_000,
        ),
    ],
)
def test_the_papers_steps_can_be_given(name: str, options: dict[str, Any], steps: int) -> None:
    rider = procedure(name, build("chain"), zero_every=100, **options)
    rider.check_length(steps)
    with pytest.raises(OptionError, match=f"has {steps - 1}"):
        rider.check_length(steps - 1)


@pytest.mark.parametrize("name", ALL)
def test_a_stabilising_phase_of_given_length_ends_the_training(name: str) -> None:
    model = build("chain")
    strength = {"strength": 1.0} if name == "tpp" else {}
    rider = procedure(name, model, growth=0.4, stabilize=7, **strength, **FAST)
    loop = rehearse(model, rider).run()
    assert loop.step == rider.ramp.end + 7 < STEPS
    assert all(not (part.parameter * part.gone).any() for part in rider.parts)


# --- GReg: an early end ---------------------------------------------------------------------------


def test_growth_ends_where_what_is_doomed_is_small_in_every_layer() -> None:
    """The running mean by hand: of a layer's kept weights over its doomed, one tenth an update."""
    model = build("chain")
    options = {"ceiling": 20.0, "growth": 0.8, "update_every": 2, "mag_ratio_limit": 3.0}
    rider = procedure("greg1", model, **options, stabilize=5)
    loop = rehearse(model, rider)
    layers = {one.name: one for one in rider.parts if one.parameter.dim() > 1}
    assert set(layers) == {"0.weight", "3.weight"}
    means: dict[str, float] = {}
    ended = None
    for step in range(STEPS):
        for name, part in layers.items() if step % 2 == 0 else ():
            size, gone = part.parameter.detach().abs(), part.gone.bool()
            now = float(size[~gone].mean() / size[gone].mean())
            means[name] = 0.9 * means.get(name, now) + 0.1 * now
        if ended is None and min(means.values()) >= 3.0:
            ended = step
        loop.run(until=step + 1)
        if ended is not None:
            break
        assert rider.stable == rider.ramp.end
    assert ended is not None
    assert 2 < ended == rider.stable < rider.ramp.end
    assert rider.strength(ended + 4) == rider.ramp.strength(ended) < 20.0
    loop.run()
    assert loop.step == ended + 5
    assert 0.0 < rider.notes()["norm_left"] < 0.5


def test_without_a_limit_growth_goes_to_its_ceiling() -> None:
    model = build("chain")
    ends = []
    for limit in (3.0, None):
        rider = procedure("greg2", model, ceiling=20.0, mag_ratio_limit=limit, **FAST)
        rehearse(model, rider).run()
        ends.append(rider.stable - rider.ramp.end)
    assert ends[0] < ends[1] == 0


# --- GReg-2 ---------------------------------------------------------------------------------------


def test_greg2_penalises_all_then_the_picked_alone() -> None:
    model = build("chain")
    rider = procedure("greg2", model, pick=0.3, growth=0.4, pick_ceiling=0.1, **FAST)
    loop = rehearse(model, rider)
    assert rider.picking.end == 10
    everything = {part.name: part.gone for part in rider.parts}
    assert all(mask.all() for mask in everything.values())
    loop.run(until=9)
    assert not rider.picked
    weights = {name: one.clone() for name, one in model.named_parameters()}
    loop.run(until=10)
    assert rider.picked
    picked = rider.removed()
    scores = rider.ground.score(model, rider.ground.nothing())  # after the step of the pick
    assert equal_units(picked, rider.ground.select(scores, 0.5))
    assert any(not torch.equal(weights[name], one) for name, one in model.named_parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    rider.after_backward(10)
    for group, gone in zip(rider.ground.groups, picked, strict=True):
        units = Units(model, group)
        kept = torch.ones(len(units)).index_fill(0, gone, 0.0).bool()
        pulled = units.rows(units.gradients())
        pushed = -1e-4 if len(gone) else 0.0  # of groups that lose some
        assert torch.allclose(pulled[kept], pushed * units.rows(units.tensors())[kept], atol=1e-18)
        assert torch.allclose(pulled[gone], 0.1 * units.rows(units.tensors())[gone])
    loop.run()
    assert equal_units(rider.removed(), picked)


# --- resuming -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("network", ["depthwise", "option_a"])
@pytest.mark.parametrize("early", [False, True])
def test_a_killed_training_goes_on_bit_for_bit(name: str, network: str, early: bool) -> None:
    def start() -> Rehearsal:
        model = build(network)
        pace: dict[str, Any] = {"growth": 0.4, "pick": 0.3} if name == "greg2" else {"growth": 0.7}
        if early:
            pace["stabilize"] = 6
            pace |= {"mag_ratio_limit": 1.5, "ceiling": 30.0} if name != "tpp" else {}
        return rehearse(model, procedure(name, model, **pace, **FAST))

    whole, files = start(), {}
    for left_at in (1, 9, 10, 25, 31, 32):
        files[left_at] = io.BytesIO()
        torch.save(whole.run(until=left_at).state(), files[left_at])
    whole.run()
    for left_at, file in files.items():
        file.seek(0)
        resumed = start()
        with torch.no_grad():
            for parameter in resumed.model.parameters():
                parameter.add_(1)
        resumed.load(torch.load(file, weights_only=True)).run()
        with about(left_at):
            one, two = whole.model.state_dict(), resumed.model.state_dict()
            assert all(torch.equal(one[key], two[key]) for key in one)
            assert equal_units(whole.procedure.removed(), resumed.procedure.removed())
            assert whole.procedure.notes() == resumed.procedure.notes()


@pytest.mark.parametrize("name", ["greg1", "tpp"])
@pytest.mark.parametrize("network", sorted(SMOOTH))
def test_the_doomed_units_never_change(name: str, network: str) -> None:
    model = build(network)
    rider = procedure(name, model, **FAST)
    chosen = [one.clone() for one in rider.ground.doomed]
    rehearse(model, rider, rate=1e-4).run()
    assert equal_units(rider.removed(), chosen)


@pytest.mark.parametrize("steps", range(12, 121, 4))
def test_any_training_of_more_than_one_update_leaves_steps_to_stabilise(steps: int) -> None:
    (ramp,) = procedure("greg1", build("chain")).ramps(steps)
    assert ramp.end < steps
