"""What gates add to a step of training ResNet-20, half of the way to the budget and before.

pytest tests/benchmarks/test_gate_cost.py --benchmark-only
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from rehearsal import Rehearsal, ground_of, procedure_of

from bench.models.resnet import resnet
from criteria.training import Rider

FADING: dict[str, dict[str, Any]] = {
    "shut": {},
    "fading": {"decay": {"steps": 1000}},
    "rectified": {"decay": {"steps": 1000, "rectify": {}}},
}


@pytest.mark.parametrize("how", FADING)
@pytest.mark.benchmark(group="hooks of one step: gates on ResNet-20")
def test_hooks_of_one_step(benchmark: BenchmarkFixture, how: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = resnet(20, 5, 3, 8).double()
    ground = ground_of(model, 0.5, tolerance=0.05)
    options = {"cycles": 2, "ticks_per_tock": 1, "tock": 1, **FADING[how]}
    gates: Any = procedure_of("gates", ground, **options)
    Rehearsal(model, gates, epochs=400).run(until=1)  # gradients and momenta
    gates._tick(gates._beats[1])
    step = gates._beats[2].start

    def hooks() -> None:
        gates.rate(step)
        gates.loss_term(step)
        gates.after_backward(step)
        gates.after_step(step)

    benchmark(hooks)


@pytest.mark.benchmark(group="hooks of one step: gates on ResNet-20")
def test_a_step_without_hooks(benchmark: BenchmarkFixture) -> None:
    model = resnet(20, 5, 3, 8).double()
    ride: Any = Rehearsal(model, Rider(), epochs=400)
    benchmark.pedantic(ride._step, rounds=20, warmup_rounds=2)
