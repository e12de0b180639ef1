"""Smooth pruning and self-rectifying: the spec's vectors, and what holds of any network.

float64 everywhere; vectors are given to six decimals, identities hold to rounding.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import toy
from conftest import build, groups_of, labelled
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from criteria.errors import StructureError
from criteria.network.cut import cut
from criteria.network.units import Entries, Units
from criteria.procedures.decay_controller import (
    DecayController,
    DecayOptions,
    RectifyOptions,
    relative_length,
)
from criteria.procedures.procedure import Removed
from criteria.training import Training

VECTORS = json.loads((toy.VECTORS / "dpm.json").read_text())
GIVEN = {"rtol": 0, "atol": 1e-6}  # six decimals


class Vectors(nn.Module):
    """One parameter `x`, a row a unit: what the controller sees of a layer, and nothing else."""

    def __init__(self, rows: Any) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(rows, dtype=torch.float64))

    def __len__(self) -> int:
        return len(self.x)

    def tensors(self) -> dict[str, Tensor]:
        return {"x": self.x.data}

    def gradients(self) -> dict[str, Tensor]:
        assert self.x.grad is not None
        return {"x": self.x.grad}

    def rows(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return tensors["x"].reshape(len(self), -1)

    def zero_(self, units: Tensor) -> None:
        self.x.data.view(len(self), -1)[units] = 0


def training_of(
    model: nn.Module, rate: float = 0.1, momentum: float = 0.0, **more: Any
) -> Training:
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum, **more)
    return Training(model, optimizer, steps_per_epoch=10, steps=100)


def every(rows: Vectors) -> Removed:
    return [torch.arange(len(rows))]


def push(training: Training, controller: DecayController, gradients: Any) -> Tensor:
    """One step with given gradients; the weights between the optimizer and the controller."""
    x = training.model.x
    assert isinstance(x, nn.Parameter)
    x.grad = torch.as_tensor(gradients, dtype=torch.float64).expand_as(x).clone()
    controller.after_backward()
    training.optimizer.step()
    moved = x.detach().clone()
    controller.after_step()
    return moved


# --- the vectors ----------------------------------------------------------------------------------


@pytest.mark.parametrize("run", VECTORS["smooth"]["runs"])
def test_smooth_pruning_follows_the_vectors(run: dict[str, Any]) -> None:
    given = VECTORS["smooth"]
    rows = Vectors([given["start"]])
    training = training_of(rows, given["learning_rate"], run["momentum"])
    controller = DecayController([rows], DecayOptions(steps=given["steps"]), training)
    controller.begin(every(rows))
    for at, expected in enumerate(run["after"]):
        moved = push(training, controller, run["gradient"])
        if "norms_before" in run:
            assert moved.norm().item() == pytest.approx(run["norms_before"][at], abs=1e-6)
        torch.testing.assert_close(rows.x.data, torch.tensor([expected]).double(), **GIVEN)
    assert torch.equal(rows.x.data, torch.zeros(1, 2))
    assert controller.entries.listed(controller.gone)[0].tolist() == [0]
    assert controller.entries.listed(controller.decaying)[0].tolist() == []


def test_escape_rates_of_the_vectors() -> None:
    """A flat parameter counts as it is; rows of weights would count by how much is left of them."""

    class OneUnit(Vectors):
        def __len__(self) -> int:
            return 1

    given = VECTORS["smooth"]
    rows = OneUnit(given["start"])
    training = training_of(rows, given["learning_rate"])
    rules = RectifyOptions(rate=1, window=given["steps"])
    options = DecayOptions(steps=given["steps"], rectify=rules)
    controller = DecayController([rows], options, training)
    controller.begin([torch.tensor([0])])
    for _ in range(given["steps"]):
        push(training, controller, given["runs"][0]["gradient"])
    found = controller.state_dict()["_seen"][0, :, 0]
    torch.testing.assert_close(found, torch.tensor(given["runs"][0]["escape"]).double(), **GIVEN)


def test_the_relative_ramp_multiplies() -> None:
    given = VECTORS["relative"]
    rows = Vectors([[3, 4]])
    training = training_of(rows)
    options = DecayOptions(steps=given["steps"], ramp="relative")
    controller = DecayController([rows], options, training)
    controller.begin(every(rows))
    for share in given["after"]:
        push(training, controller, [0, 0])
        assert rows.x.norm().item() == pytest.approx(5 * share)


def test_growth_survives_the_relative_ramp_alone() -> None:
    lengths = {}
    for ramp in ("absolute", "relative"):
        rows = Vectors([[3, 4]])
        training = training_of(rows)
        controller = DecayController([rows], DecayOptions(steps=4, ramp=ramp), training)
        controller.begin(every(rows))
        push(training, controller, [-3, -4])  # straight outward, 0.5
        lengths[ramp] = rows.x.norm().item()
    assert lengths == pytest.approx({"absolute": 3.75, "relative": 5.5 * 0.75})


def test_self_rectifying_follows_the_vectors() -> None:
    given = VECTORS["rectify"]
    rows = Vectors(given["weights"])
    training = training_of(rows, given["learning_rate"])
    rules = RectifyOptions(rate=0, length=1, window=1)
    controller = DecayController([rows], DecayOptions(steps=5, rectify=rules), training)
    controller.begin(every(rows))
    push(training, controller, given["gradients"])
    assert controller.releases == 0  # the first step is exempt
    seen = controller.state_dict()["_seen"][:, 0]
    torch.testing.assert_close(seen[0], torch.tensor(given["escape"]).double(), **GIVEN)
    torch.testing.assert_close(seen[1], torch.tensor(given["length"]).double(), **GIVEN)
    push(training, controller, given["gradients"])
    assert controller.entries.listed(controller.resting)[0].tolist() == given["released"]
    assert controller.entries.listed(controller.decaying)[0].tolist() == [1, 2, 3]


def test_either_test_may_do() -> None:
    given = VECTORS["rectify"]
    rows = Vectors(given["weights"])
    training = training_of(rows, given["learning_rate"])
    rules = RectifyOptions(rate=0, length=1, window=1, combine="or")
    controller = DecayController([rows], DecayOptions(steps=5, rectify=rules), training)
    controller.begin(every(rows))
    for _ in range(2):
        push(training, controller, given["gradients"])
    assert controller.entries.listed(controller.resting)[0].tolist() == [0, 2]


def test_gradients_are_compared_with_units_that_stay() -> None:
    pulls, group = torch.tensor([8.0, 2, 4, 100, 3, 5, 7]), torch.tensor([0, 0, 0, 0, 1, 1, 2])
    decaying = torch.tensor([True, False, False, False, True, True, True])
    gone = torch.tensor([False, False, False, True, False, False, False])
    found = relative_length(pulls, group, decaying, gone)
    assert found[0] == 8 / 3  # the one that is gone does not count
    assert found[4:6].tolist() == pytest.approx([3 / 5, 5 / 3])  # none stays: those that decay do
    assert found[6] == 0  # alone: nothing to compare with


# --- releases -------------------------------------------------------------------------------------


def outward(steps: int = 5, **rules: Any) -> tuple[Vectors, Training, DecayController]:
    """Two vectors, of which the first decays against a gradient that makes it grow."""
    rows = Vectors([[3, 4], [1, 0]])
    training = training_of(rows)
    options = DecayOptions(steps=steps, rectify=RectifyOptions(**rules))
    controller = DecayController([rows], options, training)
    controller.begin([torch.tensor([0])])
    return rows, training, controller


AWAY = [[-3.0, -4.0], [0.1, 0.0]]


def test_a_released_unit_keeps_its_weights_and_is_trained_on() -> None:
    rows, training, controller = outward()
    push(training, controller, AWAY)
    push(training, controller, AWAY)
    assert controller.releases == 1
    assert rows.x[0].norm().item() == pytest.approx(3)  # (5 - 2) / 5 of 5
    moved = push(training, controller, AWAY)
    assert torch.equal(rows.x.data, moved)  # nobody rescales it


def test_a_released_unit_rests_and_may_then_decay_again() -> None:
    _, training, controller = outward(cool_down=2)
    for resting in ([], [0], [0], []):
        push(training, controller, AWAY)
        assert controller.entries.listed(controller.resting)[0].tolist() == resting
    controller.begin([torch.tensor([0])])
    assert controller.entries.listed(controller.decaying)[0].tolist() == [0]


def test_releases_of_one_unit_are_limited() -> None:
    rows, training, controller = outward(max_releases=1)
    push(training, controller, AWAY)
    push(training, controller, AWAY)
    controller.begin([torch.tensor([0])])
    for _ in range(5):
        push(training, controller, AWAY)
    assert controller.releases == 1
    assert controller.entries.listed(controller.gone)[0].tolist() == [0]
    assert torch.equal(rows.x[0], torch.zeros(2))


def test_an_owner_may_stop_releases() -> None:
    _, training, controller = outward()
    controller.rectifying = False
    for _ in range(5):
        push(training, controller, AWAY)
    assert controller.releases == 0
    assert controller.entries.listed(controller.gone)[0].tolist() == [0]


def test_rates_are_means_over_the_window() -> None:
    """Outward once and inward after: a window of one forgets, a longer one releases."""
    inward = [[3.0, 4.0], [0.1, 0.0]]
    for window, releases in ((1, 0), (5, 1)):
        _, training, controller = outward(window=window, rate=-0.1, length=0)
        push(training, controller, AWAY)
        push(training, controller, inward)
        assert controller.releases == releases  # means -1 and 0


def test_shrunken_rows_count_by_what_is_left_of_them() -> None:
    """Behind a batch norm gradients of rows grow as the rows shrink; that is no resistance."""
    rows = Vectors([[3, 4], [1, 0]])
    training = training_of(rows, 0.0)
    rules = RectifyOptions(rate=1, window=5)
    controller = DecayController([rows], DecayOptions(steps=5, rectify=rules), training)
    controller.begin([torch.tensor([0])])
    for left in range(5, 0, -1):
        push(training, controller, [[5 / left, 0], [1, 0]])
    lengths = controller.state_dict()["_seen"][1, :, 0]
    assert lengths.tolist() == pytest.approx([1] * 5)


# --- what must not happen -------------------------------------------------------------------------


def test_units_that_decay_or_are_gone_cannot_begin_again() -> None:
    rows = Vectors([[3, 4], [1, 0]])
    controller = DecayController([rows], DecayOptions(steps=1), training_of(rows))
    controller.begin([torch.tensor([0])])
    with pytest.raises(StructureError, match="1 of the units to decay"):
        controller.begin([torch.tensor([0, 1])])
    controller.after_step()
    with pytest.raises(StructureError, match="1 of the units to decay"):
        controller.begin([torch.tensor([0])])


def test_structures_that_share_entries_are_rejected() -> None:
    rows = Vectors([[3, 4], [1, 0]])
    with pytest.raises(StructureError, match="4 entries belong to two units, the first in x"):
        Entries.of([rows, rows])


# --- whole networks -------------------------------------------------------------------------------


def some(model: nn.Module) -> Removed:
    """Every second unit of every group; none where a norm takes statistics over channels."""
    return [
        torch.arange(0 if group.normalizes_over_channels else group.units)[1::2]
        for group in groups_of(model)
    ]


def controlled(
    model: nn.Module, momentum: float = 0.9, **options: Any
) -> tuple[list[Units], Training, DecayController]:
    units = [Units(model, group) for group in groups_of(model)]
    training = training_of(model.train(), 0.02, momentum, weight_decay=1e-3)
    return units, training, DecayController(units, DecayOptions(**options), training)


def step(training: Training, controller: DecayController | None, seed: int) -> None:
    images, labels = labelled(8, seed)
    training.optimizer.zero_grad(set_to_none=True)
    functional.cross_entropy(training.model(images), labels).backward()
    if controller is not None:
        controller.after_backward()
    training.optimizer.step()
    if controller is not None:
        controller.after_step()


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: one.clone() for name, one in state.items()}


def test_entries_are_those_of_the_units(model: nn.Module) -> None:
    units = [Units(model, group) for group in groups_of(model)]
    entries = Entries.of(units)
    norms = torch.cat([one.rows(one.tensors()).norm(dim=1) for one in units])
    # float64: the same numbers summed in another order
    torch.testing.assert_close(
        entries.norms(units[0].tensors()).norm(dim=0), norms, rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("norm", ["joint", "per_tensor"])
def test_norms_fall_linearly_to_zero_and_the_cut_changes_nothing(
    model: nn.Module, norm: str
) -> None:
    """For all couplings: every member of a coupled unit shrinks, and no other unit."""
    units, training, controller = controlled(model, steps=5, norm=norm)
    which = some(model)
    first = [
        one.rows(one.tensors())[gone].norm(dim=1) for one, gone in zip(units, which, strict=True)
    ]
    controller.begin(which)
    for n in range(1, 6):
        step(training, controller, n)
        for one, gone, length in zip(units, which, first, strict=True):
            expected = length * (5 - n) / 5
            now = one.rows(one.tensors())[gone].norm(dim=1)
            torch.testing.assert_close(now, expected, rtol=1e-6, atol=0)
    groups = groups_of(model)
    assert all(
        torch.equal(one, other)
        for one, other in zip(controller.entries.listed(controller.gone), which, strict=True)
    )
    images, _ = labelled()
    with torch.no_grad():
        small, full = cut(model, groups, which).eval()(images), model.eval()(images)
    assert torch.allclose(small, full, atol=1e-12)  # the same numbers in another order


def test_nothing_revives_what_is_gone(model: nn.Module) -> None:
    units, training, controller = controlled(model, steps=2)
    which = some(model)
    for seed in range(3):
        step(training, controller, seed)  # momentum
    controller.begin(which)
    for seed in range(6):
        step(training, controller, seed)
    for one, gone in zip(units, which, strict=True):
        assert not one.rows(one.tensors())[gone].any()


def test_momentum_is_cleared_when_a_unit_is_gone() -> None:
    model = build("residual")
    units, training, controller = controlled(model, steps=2)
    which = some(model)
    controller.begin(which)
    step(training, controller, 0)
    step(training, controller, 1)
    for one, gone in zip(units, which, strict=True):
        rest = torch.ones(len(one), dtype=torch.bool).index_fill_(0, gone, False)
        assert not one.rows(training.momenta())[gone].any()
        assert one.rows(training.momenta())[rest].any()


@pytest.mark.parametrize("at_once", [False, True])
def test_one_step_equals_the_host(model: nn.Module, at_once: bool) -> None:
    """The host zeroes units, after a step or before the first, and holds them: bit for bit."""
    ours, hosts = model, copy.deepcopy(model)
    which = some(ours)
    _, training, controller = controlled(ours, steps=1)
    controller.begin(which, at_once=at_once)
    units, plain, _ = controlled(hosts)

    def zero() -> None:
        for one, gone in zip(units, which, strict=True):
            one.zero_(gone)

    if at_once:
        zero()
        assert_equal(ours, hosts)
    for seed in range(3):
        step(training, controller, seed)
        step(plain, None, seed)
        zero()
        assert_equal(ours, hosts)


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    theirs = other.state_dict()
    for name, value in one.state_dict().items():
        assert torch.equal(value, theirs[name]), name


RECTIFY = {"rate": 0.0, "length": 0.5, "window": 3}


def test_a_resumed_decay_is_bit_equal() -> None:
    def run(stop: int | None) -> tuple[nn.Module, DecayController]:
        model = build("residual")
        _, training, controller = controlled(model, steps=6, rectify=RECTIFY)
        controller.begin(some(model))
        for seed in range(10):
            if seed == stop:
                held = controller.state_dict()
                weights, momenta = model.state_dict(), training.optimizer.state_dict()
                model = build("residual", seed=1)
                _, training, controller = controlled(model, steps=6, rectify=RECTIFY)
                model.load_state_dict(copied(weights))
                training.optimizer.load_state_dict(momenta)
                controller.load_state_dict(held)
            step(training, controller, seed)
        return model, controller

    (model, controller), (again, resumed) = run(None), run(3)
    assert_equal(model, again)
    assert controller.releases == resumed.releases > 0
    for name, value in controller.state_dict().items():
        mine = resumed.state_dict()[name]
        assert (
            mine == value
            if isinstance(value, bool)
            else torch.equal(mine.nan_to_num(-9), value.nan_to_num(-9))
        )


@settings(max_examples=20, deadline=None)
@given(
    steps=st.integers(1, 6),
    begins=st.lists(st.integers(0, 5), min_size=5, max_size=5),
    seed=st.integers(0, 99),
)
def test_units_that_begin_apart_keep_their_own_ramps(
    steps: int, begins: list[int], seed: int
) -> None:
    """Brute force: each unit alone, by its definition."""
    draw = torch.Generator().manual_seed(seed)
    start = torch.randn(5, 3, generator=draw, dtype=torch.float64)
    gradients = torch.randn(10, 5, 3, generator=draw, dtype=torch.float64)
    rows = Vectors(start.tolist())
    training = training_of(rows)
    controller = DecayController([rows], DecayOptions(steps=steps), training)
    for at in range(10):
        controller.begin([torch.tensor([one for one in range(5) if begins[one] == at]).long()])
        push(training, controller, gradients[at])
    for one in range(5):
        x, length, n = start[one], 0.0, 0
        for at in range(10):
            if at == begins[one]:
                length = float(x.norm())
            x = x - 0.1 * gradients[at, one]
            if at >= begins[one]:
                n = min(n + 1, steps)
                x = x * (length * (steps - n) / steps / x.norm())
        torch.testing.assert_close(rows.x[one].detach(), x, rtol=1e-12, atol=1e-12)
