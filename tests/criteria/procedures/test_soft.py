"""Soft filter pruning: what is set to zero, what comes back, and what is left at the end."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import NETWORKS, build, images
from rehearsal import Rehearsal, ground_of, procedure_of
from torch import Tensor, nn

from criteria.network.cut import cut
from criteria.procedures.gradual import lowest
from criteria.procedures.procedure import Ground, Removed

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64, the same sums in another order


def output(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return copy.deepcopy(model).eval()(images())


def rolling(ground: Ground, root: str) -> Ground:
    """Of one group, unit 0 is the lowest at the first scoring, unit 1 at the second, and so on."""
    calls = Counter[str]()

    def score(model: nn.Module, removed: Removed) -> list[Tensor]:
        scores = [torch.ones(group.units).double() for group in ground.groups]
        for group, values in zip(ground.groups, scores, strict=True):
            if group.root == root:
                values[calls["score"] % group.units] = 0
        calls["score"] += 1
        return scores

    return replace(ground, score=score)


@pytest.mark.parametrize("schedule", ["constant", "asymptotic"])
@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"one_channel"}))
def test_at_the_end_what_has_left_is_zero_and_can_be_cut_without_a_trace(
    name: str, schedule: str
) -> None:
    model = build(name)
    ground = ground_of(model, 0.6)
    soft = procedure_of("soft", ground, schedule=schedule)
    Rehearsal(model, soft, epochs=3).run()
    removed = soft.removed()
    assert 0.4 <= ground.share(removed) <= 0.6
    plain = [  # a layer norm over the channels sees fewer of them
        gone[:0] if group.normalizes_over_channels else gone
        for group, gone in zip(ground.groups, removed, strict=True)
    ]
    small = cut(model, ground.groups, plain)
    torch.testing.assert_close(output(small), output(model), **EXACT)


def test_filters_are_zero_after_an_epoch_and_norms_and_biases_are_not() -> None:
    model = build("residual")
    ground = rolling(ground_of(model, 0.95), "left2")
    soft = procedure_of("soft", ground)
    Rehearsal(model, soft, epochs=2, steps=3).run(until=3)
    (gone,) = [
        one for group, one in zip(ground.groups, soft.removed(), strict=True)
        if group.root == "left2"
    ]  # fmt: skip
    assert gone.tolist() == [0]
    for layer in (model.left2, model.right):  # all that add up to the unit
        assert not layer.weight[0].any()
        assert layer.weight[1:].flatten(1).any(1).all()
        assert layer.bias.all()
    for norm in (model.norm2, model.norm3):
        assert norm.weight.all()
        assert norm.bias.all()


def test_what_was_zero_comes_back_and_can_stay() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 4, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for layer in model:
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    model = model.double()
    nn.init.ones_(model[1].bias)  # open, so that a gradient passes the ReLU
    ground = rolling(ground_of(model, 0.9), "0")
    soft = procedure_of("soft", ground)
    ride = Rehearsal(model, soft, epochs=2).run(until=4)
    assert [one.tolist() for one in soft.removed()] == [[], [0]]
    assert not model[0].weight[0].any()
    ride.run(until=7)
    assert model[0].weight[0].norm() > 1e-3
    ride.run(until=8)  # now another is the lowest
    assert [one.tolist() for one in soft.removed()] == [[], [1]]
    assert model[0].weight[0].norm() > 1e-3
    ride.run()
    assert soft.notes() == {"revived": 1}
    assert model[1].weight[0] != 0
    assert model[1].weight[1] == model[1].bias[1] == 0


@pytest.mark.parametrize(("every", "epochs", "selections"), [(1, 4, 4), (2, 4, 2), (3, 4, 2)])
def test_selections_are_every_so_many_epochs_and_after_the_last(
    every: int, epochs: int, selections: int
) -> None:
    model = build("chain")
    ground, calls = ground_of(model, 0.6), Counter[str]()

    def score(now: nn.Module, removed: Removed) -> list[Tensor]:
        calls["score"] += 1
        assert not any(map(len, removed))  # the network as it is
        return ground.score(now, removed)

    soft = procedure_of("soft", replace(ground, score=score), every=every)
    Rehearsal(model, soft, epochs=epochs, steps=1).run()
    assert calls["score"] == selections


def test_the_asymptotic_share_is_three_quarters_after_an_eighth() -> None:
    model = build("chain")
    soft: Any = procedure_of("soft", ground_of(model, 0.6), schedule="asymptotic")
    assert soft._growth(0) == 0
    assert soft._growth(1 / 8) == pytest.approx(3 / 4, abs=2e-5)
    assert soft._growth(1) == 1
    grown = [soft._growth(at / 16) for at in range(17)]
    assert grown == sorted(grown)


def test_asymptotic_takes_ever_more_and_meets_the_budget_at_the_end() -> None:
    model = build("chain")
    ground = ground_of(model, 0.3)
    soft = procedure_of("soft", ground, schedule="asymptotic")
    ride = Rehearsal(model, soft, epochs=32, steps=1)
    shares = []
    for step in range(1, 33):
        ride.run(until=step)
        shares.append(ground.share(soft.removed()))
    assert shares[0] > shares[3] > shares[-1]
    assert shares[-1] <= 0.3


def test_a_resumed_training_ends_as_an_undisturbed_one() -> None:
    def fresh() -> Rehearsal:
        model = build("grouped")
        ground = ground_of(model, 0.6, "taylor")
        return Rehearsal(model, procedure_of("soft", ground, every=2), epochs=4)

    whole = fresh().run()
    for stop in (3, 8, 9, 15):
        resumed = fresh().load(fresh().run(until=stop).state()).run()
        assert resumed.losses == whole.losses[stop:]
        assert resumed.procedure.notes() == whole.procedure.notes()
        wanted = whole.model.state_dict()
        for name, one in resumed.model.state_dict().items():
            assert torch.equal(one, wanted[name])


# --- the order in which units leave ---------------------------------------------------------------


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("name", ["chain", "residual", "concat", "grouped"])
def test_the_lowest_are_a_shortest_prefix_of_those_that_leave_in_the_end(
    name: str, equal: bool
) -> None:
    model = build(name)
    ground = ground_of(model, 0.4)
    draw = torch.Generator().manual_seed(0)
    scores = [torch.rand(group.units, generator=draw).double() for group in ground.groups]
    if equal:
        scores = [torch.zeros_like(one) for one in scores]
    doomed = ground.select(scores, 0.4)
    before = ground.nothing()
    for share in (1.0, 0.9, 0.7, 0.5, 0.4, 0.2):
        found = lowest(ground, scores, share)
        assert ground.share(found) <= max(share, 0.4)
        for some, more, all_ in zip(before, found, doomed, strict=True):
            assert torch.isin(some, more).all()
            assert torch.isin(more, all_).all()
        last = max(
            (values[unit], at, unit)
            for at, (values, gone) in enumerate(zip(scores, found, strict=True))
            for unit in gone
        ) if any(map(len, found)) else None  # fmt: skip
        if last is not None and share >= 0.4:
            less = [one[one != last[2]] if at == last[1] else one for at, one in enumerate(found)]
            assert ground.share(less) > share
        before = found
    for one, wanted in zip(before, doomed, strict=True):
        assert torch.equal(one, wanted)


def first_steps(restart: str) -> tuple[Tensor, Tensor]:
    """Lengths of the filters of `left2`, ahead of a norm: when one is zeroed, and a step later."""
    model = build("residual")
    ground = rolling(ground_of(model, 0.95), "left2")
    rehearsal = Rehearsal(
        model, procedure_of("soft", ground, restart=restart), epochs=2, steps=3
    )  # fmt: skip
    rehearsal.run(until=3)
    before = model.left2.weight.detach().flatten(1).norm(dim=1)
    rehearsal.run(until=4)
    return before, model.left2.weight.detach().flatten(1).norm(dim=1)


def test_a_filter_ahead_of_a_norm_does_not_come_back_as_the_largest_of_all() -> None:
    (zero, *others), raw = first_steps("raw")
    assert zero == 0
    _, scaled = first_steps("scaled")
    assert raw[0] > 100 * scaled[0] > 0
    assert scaled[0] < 0.1 * min(others)
    torch.testing.assert_close(scaled[1:], raw[1:], **EXACT)  # no other is touched
