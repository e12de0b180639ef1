"""Procedures on a few steps that are left and resumed, on the harness's selection and cut."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from conftest import build, labelled, trace
from torch import Tensor, nn
from torch.nn import functional

from bench.pruning.choose import selected
from bench.pruning.network import Network, Removed, Rules
from bench.pruning.selection import Limits
from criteria.gather import score_alone
from criteria.network.cut import cut
from criteria.phases import PHASES
from criteria.procedures.procedure import Ground, Procedure
from criteria.registry import create
from criteria.training import Training

Batches = Callable[[int], tuple[Tensor, Tensor]]


def ground_of(
    network: Network,
    budget: float,
    criterion: str = "l2",
    tolerance: float = 0.2,  # single channels of tiny networks are coarse
    batches: Batches = lambda seed: labelled(8, seed),
) -> Ground:
    """As the harness makes it."""
    groups = network.structure.groups
    rules = Rules(tolerance=tolerance, limits=Limits())
    whole = network.cost.macs(torch.zeros(len(groups)))

    def score(model: nn.Module, gone: Removed) -> list[Tensor]:
        left = replace(network, model=model).without(gone)
        draw = torch.Generator().manual_seed(0)
        one = create(criterion, left.structure.groups, {}, draw)
        found, _ = score_alone(left.model, one, [batches(seed) for seed in range(2)])
        spread = [torch.full((group.units,), -torch.inf).double() for group in groups]
        for values, mine, out in zip(found, spread, gone, strict=True):
            kept = torch.ones(len(mine), dtype=torch.bool).index_fill(0, out, False)
            mine[kept] = values.double()
        return spread

    ground = Ground(
        groups=groups,
        budget=budget,
        doomed=None,
        score=score,
        select=lambda scores, share: selected(network, scores, share, rules),
        share=lambda gone: network.cost.macs(torch.tensor([len(one) for one in gone])) / whole,
        generator=torch.Generator().manual_seed(0),
    )
    return replace(ground, doomed=ground.select(score(network.model, ground.nothing()), budget))


class Ride:
    """A procedure on a short training, which can be left and resumed at any step."""

    def __init__(
        self,
        model: nn.Module,
        ground: Ground,
        name: str,
        length: int,
        batches: Batches = lambda seed: labelled(8, seed),
        **options: Any,
    ) -> None:
        kind = PHASES["procedure"].find(name).type
        self.procedure: Procedure = kind(PHASES["procedure"].options(name, options), ground)
        self.model, self.batches, self.step = model.train(), batches, 0
        self.optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=1e-3)
        self.training = Training(model, self.optimizer, 4, length)
        self.procedure.attach(self.training)

    def run(self, until: int | None = None, each: Callable[[], None] | None = None) -> Ride:
        for _ in range(self.step, self.training.steps if until is None else until):
            if self.procedure.done:
                break
            self.procedure.rate(self.step)
            images, labels = self.batches(self.step)
            self.optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(self.model(images), labels).backward()
            self.procedure.after_backward(self.step)
            self.optimizer.step()
            self.procedure.after_step(self.step)
            self.step += 1
            if each is not None:
                each()
        if until is None:
            self.procedure.at_end()
        return self

    def state(self) -> Any:
        rider = self.procedure.state_dict()
        return copy.deepcopy((self.model.state_dict(), self.optimizer.state_dict(), rider))

    def load(self, state: Any, step: int) -> Ride:
        weights, optimizer, rider = state
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(optimizer)
        self.procedure.load_state_dict(rider)
        self.step = step
        return self


def equal(one: Removed, other: Removed) -> bool:
    return all(torch.equal(*each) for each in zip(one, other, strict=True))


def difference_of_cut(model: nn.Module, ground: Ground, removed: Removed, images: Tensor) -> float:
    small = cut(model, ground.groups, removed).eval()
    with torch.no_grad():
        return float((small(images) - model.eval()(images)).abs().max())


def prepared(name: str, budget: float = 0.6, **options: Any) -> tuple[nn.Module, Ground]:
    model = build(name)
    return model, ground_of(trace(copy.deepcopy(model)), budget, **options)


def assert_resumes(name: str, phase: str, stop: int, length: int, **options: Any) -> None:
    """A ride that is left and gone on with, by another process so to speak, ends bit-equal."""
    model, ground = prepared(name)
    whole = Ride(model, ground, phase, length, **options).run()
    again, same = prepared(name)
    left = Ride(again, same, phase, length, **options).run(until=stop)
    other, fresh = prepared(name)
    resumed = Ride(other, fresh, phase, length, **options).load(left.state(), left.step).run()
    assert whole.procedure.notes() == resumed.procedure.notes()
    assert equal(whole.procedure.removed(), resumed.procedure.removed())
    assert whole.step == resumed.step
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key
    images, _ = labelled()
    with torch.no_grad():
        assert torch.equal(model.eval()(images), other.eval()(images))
