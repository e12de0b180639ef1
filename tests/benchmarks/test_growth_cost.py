"""What a growing penalty adds to a training step of ResNet-56 with a batch of 128.

pytest tests/benchmarks/test_growth_cost.py --benchmark-only -s

Plain steps and steps with the penalty take turns in one process, so that a slow spell of the
machine meets both; what is printed is the ratio of their medians, and the time in the hooks alone.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench.models import build_model
from bench.pruning.network import Network
from criteria.phases import PHASES
from criteria.procedures.procedure import Ground
from criteria.training import Rider, Training
from suites.problem import ModelSpec

BATCH, TURNS = 128, 7
STEPS = 110_000  # of the whole training, as in the paper; those timed are where the penalty grows
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "greg1": ("greg1", {}),
    "tpp": ("tpp", {}),
    "tpp, all layers": ("tpp", {"layers": "all"}),
}


class Steps:
    """Training steps of one network, with or without a rider."""

    def __init__(self, rider: str | None, options: dict[str, Any]) -> None:
        spec = ModelSpec(name="resnet56")
        self.model = build_model(spec, classes=10, channels=3, image_size=32, seed=0).eval()
        network = Network.trace(self.model, torch.randn(1, 3, 32, 32))
        self.rider = _procedure(rider, options, network) if rider else Rider()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9)
        self.rider.begin(self.model)
        self.rider.attach(Training(self.model.train(), self.optimizer, 391, STEPS))
        self.at = 50_000
        self.in_hooks: list[float] = []

    def one(self, batch: tuple[Tensor, Tensor]) -> float:
        """Take a step; its seconds."""
        start = time.perf_counter()
        self.optimizer.zero_grad()
        functional.cross_entropy(self.model(batch[0]), batch[1]).backward()
        backward = time.perf_counter()
        self.rider.after_backward(self.at)
        self.in_hooks.append(time.perf_counter() - backward)
        self.optimizer.step()
        self.rider.after_step(self.at)  # nothing, while the penalty grows
        self.at += 1
        return time.perf_counter() - start


def _procedure(name: str, options: dict[str, Any], network: Network) -> Rider:
    """Half of the channels of every group are doomed."""
    kind: Any = PHASES["procedure"].find(name).type
    groups = network.structure.groups
    ground = Ground(
        groups=groups,
        budget=0.25,
        doomed=[torch.arange(group.units // 2) for group in groups],
        score=lambda model, gone: [],
        select=lambda scores, share: [],
        share=lambda gone: 0.25,
        generator=torch.Generator(),
    )
    return kind(PHASES["procedure"].options(name, options), ground)


@pytest.mark.benchmark(group="training step of ResNet-56, a batch of 128")
@pytest.mark.parametrize("case", CASES)
def test_step_with_a_growing_penalty(case: str, benchmark: Any) -> None:
    draw = torch.Generator().manual_seed(0)
    batch = torch.randn(BATCH, 3, 32, 32, generator=draw), torch.randint(10, (BATCH,))
    plain, penalised = Steps(None, {}), Steps(*CASES[case])
    times: dict[str, list[float]] = {"plain": [], "penalised": []}

    def turn() -> None:
        times["plain"].append(plain.one(batch))
        times["penalised"].append(penalised.one(batch))

    benchmark.pedantic(turn, rounds=TURNS, warmup_rounds=1)
    medians = {name: statistics.median(taken[1:]) for name, taken in times.items()}
    ratio = medians["penalised"] / medians["plain"]
    benchmark.extra_info["ratio"] = round(ratio, 3)
    hooks = statistics.median(penalised.in_hooks) * 1e3
    print(f"\n{case}: {medians['plain']:.2f} s plain, {ratio:.3f} of it with the penalty")
    print(f"{hooks:.1f} ms of a step are in the hooks")
