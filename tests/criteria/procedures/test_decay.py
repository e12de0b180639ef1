"""Decay around hosts, on the harness's own selection and cut."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import labelled, trace
from decaying import Ride, assert_resumes, difference_of_cut, equal, ground_of, prepared
from torch import Tensor
from torch.nn import functional

from bench.models import build_model
from bench.pruning.choose import iterative
from bench.pruning.network import Network, Rules, Schedule
from criteria.errors import CriteriaError
from criteria.gather import score_alone
from criteria.network.units import Units
from criteria.registry import create
from suites.problem import ModelSpec

SIMPLE = ("chain", "residual", "concat", "depthwise", "flat", "grouped")


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize("options", [{"steps": 4}, {"steps": 3, "rounds": 2}])
def test_units_fade_and_their_removal_changes_nothing(name: str, options: dict[str, int]) -> None:
    model, ground = prepared(name)
    phase = "decay_staged" if "rounds" in options else "decay"
    ride = Ride(model, ground, phase, length=20, **options).run()
    removed = ride.procedure.removed()
    assert ground.budget - 0.2 <= ground.share(removed) <= ground.budget
    assert ride.step == options.get("rounds", 1) * (options["steps"] - 1)  # done, before the end
    # float64: the same numbers in another order
    assert difference_of_cut(model, ground, removed, labelled()[0]) < 1e-12


@pytest.mark.parametrize("arch", ["resnet20", "vgg_small"])
def test_removal_from_the_zoo_changes_nothing(arch: str) -> None:
    """float32, ReLU, residual groups."""
    spec = ModelSpec(name=arch)
    model = build_model(spec, classes=5, channels=3, image_size=8, seed=0)

    def batches(seed: int) -> tuple[Tensor, Tensor]:
        images, labels = labelled(8, seed)
        return images.float(), labels

    network = Network.trace(copy.deepcopy(model).eval(), torch.randn(1, 3, 8, 8))
    ground = ground_of(network, 0.5, tolerance=0.02, batches=batches)
    ride = Ride(model, ground, "decay", length=3, batches=batches, steps=3)
    ride.run()
    assert difference_of_cut(model, ground, ride.procedure.removed(), batches(0)[0]) < 1e-5


def test_block_mode_takes_what_the_host_has_chosen() -> None:
    model, ground = prepared("residual")
    assert ground.doomed is not None
    some = [units.flip(0)[: len(units) // 2].sort().values for units in ground.doomed]
    ride = Ride(model, replace(ground, doomed=some), "decay", length=9, steps=3).run()
    assert equal(ride.procedure.removed(), some)


def test_one_step_is_the_one_shot_host() -> None:
    """Zero before the first step, and held there: bit for bit."""
    model, ground = prepared("residual")
    host = copy.deepcopy(model)
    ride = Ride(model, ground, "decay", length=1, steps=1).run()
    assert equal(ride.procedure.removed(), ground.doomed or [])
    hosts = Ride(host, ground, "decay", length=1, steps=1)

    def zero() -> None:
        for group, gone in zip(ground.groups, ground.doomed or [], strict=True):
            Units(host, group).zero_(gone)

    zero()
    images, labels = labelled(8, 0)
    functional.cross_entropy(host(images), labels).backward()
    hosts.optimizer.step()
    zero()
    for name, value in model.state_dict().items():
        assert torch.equal(value, host.state_dict()[name]), name


def test_rounds_of_one_step_are_the_iterative_host() -> None:
    """The host scores what is left after each removal, without training in between."""
    model, ground = prepared("residual", budget=0.4)
    network = trace(copy.deepcopy(model).eval())

    def scorer(now: Network) -> Any:
        one = create("l2", now.structure.groups, {}, torch.Generator().manual_seed(0))
        return score_alone(now.model, one, [labelled(8, seed) for seed in range(2)])[0]

    hosts = iterative(network, scorer, [0.4], Rules(tolerance=0.2), Schedule(3))[0.4]
    ride = Ride(model, ground, "decay_staged", length=1, steps=1, rounds=3).run()
    assert isinstance(hosts, list)
    assert equal(ride.procedure.removed(), hosts)
    assert ride.procedure.notes()["rounds"] == 3


RECTIFY = {"rate": -0.5, "length": 0.2, "window": 2, "max_releases": 1}


@pytest.mark.parametrize("phase", ["decay", "decay_staged"])
def test_others_go_in_place_of_released_units(phase: str) -> None:
    model, ground = prepared("residual")
    ride = Ride(model, ground, phase, length=60, steps=6, rectify=RECTIFY).run()
    notes, removed = ride.procedure.notes(), ride.procedure.removed()
    assert notes["releases"] > 0
    assert ground.budget - 0.2 <= ground.share(removed) <= ground.budget
    assert ride.step < 60
    if phase == "decay":
        assert notes["rounds"] > 1
    assert difference_of_cut(model, ground, removed, labelled()[0]) < 1e-12


def test_nothing_is_released_where_no_time_is_left_for_another_round() -> None:
    model, ground = prepared("residual")
    ride = Ride(model, ground, "decay", length=9, steps=6, rectify=RECTIFY).run()
    assert ride.procedure.notes() == {"rounds": 1, "releases": 0}
    assert equal(ride.procedure.removed(), ground.doomed or [])


def test_a_training_that_is_too_short_is_refused() -> None:
    model, ground = prepared("chain")
    said = r"5 rounds of steps = 7 take 30 steps of training, its recipe has 29; lower"
    with pytest.raises(CriteriaError, match=said):
        Ride(model, ground, "decay_staged", length=29, steps=7)


def test_a_training_that_is_cut_short_is_an_error() -> None:
    model, ground = prepared("chain")
    ride = Ride(model, ground, "decay", length=9, steps=5).run(until=2)
    with pytest.raises(CriteriaError, match="ended before"):
        ride.procedure.at_end()


@pytest.mark.parametrize("phase", ["decay", "decay_staged"])
@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_resumed_ride_is_bit_equal(phase: str, stop: int) -> None:
    assert_resumes("residual", phase, stop, 30, steps=4, rectify=RECTIFY)


def test_a_resumed_ride_knows_which_padded_shortcuts_are_silent() -> None:
    assert_resumes("option_a", "decay_staged", 5, 30, steps=3, rounds=3)
