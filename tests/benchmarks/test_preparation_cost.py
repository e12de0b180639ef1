"""What preparations add to a step of training ResNet-20 on images of 8 pixels.

pytest tests/benchmarks/test_preparation_cost.py --benchmark-only

Small images make it the worst case: the penalties cost the same whatever the images, and the step,
which is in the table as `none`, is at its cheapest.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.nn import functional

from bench.models import build_model
from criteria import find_structure
from criteria.phases import PHASES
from criteria.training import Rider, Training
from suites.problem import ModelSpec

BATCH = 64
ENTRIES = {entry.name: entry for entry in PHASES["preparation"].all()}


@pytest.mark.parametrize("name", ["none", *ENTRIES])
def test_a_step(benchmark: BenchmarkFixture, name: str) -> None:
    benchmark.group = f"a step of ResNet-20, a batch of {BATCH} images of 8 pixels"
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, 1, 8, 8, generator=draw)
    y = torch.randint(10, (BATCH,), generator=draw)
    model = build_model(ModelSpec(name="resnet20"), classes=10, channels=1, image_size=8, seed=0)
    rider = Rider()
    if name != "none":
        phase = ENTRIES[name].type
        rider = phase(phase.options_type(), find_structure(model, x).groups)
    optimizer = torch.optim.SGD(model.train().parameters(), 0.01, momentum=0.9)
    rider.attach(Training(model, optimizer, steps_per_epoch=1, steps=1))

    def step() -> None:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        term = rider.loss_term(0)
        (loss if term is None else loss + term).backward()
        rider.after_backward(0)
        optimizer.step()
        rider.after_step(0)

    benchmark(step)
