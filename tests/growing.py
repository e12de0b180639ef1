"""Training tiny networks with a growing penalty on some of their units."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from conftest import labelled, trace
from torch import Tensor, nn
from torch.nn import functional as F

from bench.network import Network, Rules, selected
from criteria.hooks import Rider, Training
from criteria.phases import find_phase, phase_options
from criteria.procedures.procedure import Ground, Removed

STEPS = 33


def lowest_half(network: Network) -> Removed:
    """Of every group, the half whose makers' norm is least: the first of them where it is odd."""
    scores = norms(network.model, network)
    return [one.argsort()[: len(one) // 2].sort().values for one in scores]


def norms(model: nn.Module, network: Network) -> list[Tensor]:
    """L1 of the root's filters, as `Ground.score` gives it."""
    tensors = {name: one.detach() for name, one in model.named_parameters()}
    return [
        group.members[0].view(tensors).abs().sum(1).double() for group in network.structure.groups
    ]


def procedure(
    name: str, network: Network, doomed: Removed | None = None, budget: float = 0.5, **options: Any
) -> Any:
    """Of that name; it picks by L1 under a budget of MACs, where it picks."""
    kind: Any = find_phase("procedure", name).type
    ground = Ground(
        groups=network.structure.groups,
        budget=budget,
        doomed=(lowest_half(network) if doomed is None else doomed) if kind.follows else None,
        score=lambda model, gone: norms(model, network),
        select=lambda scores, share: selected(network, scores, share, Rules(tolerance=0.2)),
        share=lambda gone: 1.0,
        generator=torch.Generator(),
    )
    return kind(phase_options("procedure", name, options), ground)


class Loop:
    """Stochastic gradient descent with momentum and weight decay, that can be left and resumed."""

    def __init__(
        self, model: nn.Module, rider: Rider, steps: int = STEPS, rate: float = 0.01
    ) -> None:
        self.model, self.steps, self.at = model, steps, 0
        self.rider: Any = rider
        self.optimizer = torch.optim.SGD(
            model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4
        )
        rider.begin(model)
        rider.attach(Training(model, self.optimizer, 8, steps))

    def run(self, until: int | None = None) -> Loop:
        """Up to the given step, or to the end and `at_end`."""
        self.model.train()
        for step in range(self.at, self.steps if until is None else until):
            self.at = step
            images, labels = labelled(8, seed=self.at)
            self.optimizer.zero_grad()
            dtype = next(self.model.parameters()).dtype
            F.cross_entropy(self.model(images.to(dtype)), labels).backward()
            self.rider.after_backward(self.at)
            self.optimizer.step()
            self.rider.after_step(self.at)
        self.at += 1
        if until is None:
            self.rider.at_end()
        return self

    def state(self) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "rider": self.rider.state_dict(),
                "at": self.at,
            }
        )

    def restore(self, state: dict[str, Any]) -> Loop:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rider.load_state_dict(state["rider"])
        self.at = state["at"]
        return self


def traced(model: nn.Module) -> Network:
    return trace(model.double().eval())


def equal_units(one: Sequence[Tensor], two: Sequence[Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(one, two, strict=True))
