"""What decay adds to a training step of ResNet-56 at batch 128, half of its units decaying.

pytest tests/benchmarks/test_decay_cost.py --benchmark-only -s
"""

from __future__ import annotations

import statistics
import time

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.nn import functional

from bench.models import build_model
from bench.pruning.network import Network
from criteria.network.units import Units
from criteria.procedures.decay_controller import DecayController, DecayOptions, RectifyOptions
from criteria.training import Training
from suites.problem import ModelSpec

BATCH, ROUNDS = 128, 5


class Loop:
    """Steps of one training, with the controller or without."""

    def __init__(self, rectify: RectifyOptions | None) -> None:
        spec = ModelSpec(name="resnet56")
        model = build_model(spec, classes=10, channels=3, image_size=32, seed=0)
        groups = Network.trace(model.eval(), torch.randn(1, 3, 32, 32)).structure.groups
        self.model = model.train()
        self.optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, weight_decay=5e-4)
        self.images, self.labels = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))
        training = Training(model, self.optimizer, 100, 10_000)
        options = DecayOptions(steps=10_000, rectify=rectify)  # all of them decay all the time
        self.controller = DecayController([Units(model, one) for one in groups], options, training)
        self.own: list[float] = []  # seconds of each step inside the controller
        self.controller.begin([torch.arange(one.units)[::2] for one in groups])

    def step(self, controller: DecayController | None) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(self.model(self.images), self.labels).backward()
        before = time.perf_counter()
        if controller is not None:
            controller.after_backward()
        between = time.perf_counter()
        self.optimizer.step()
        after = time.perf_counter()
        if controller is not None:
            controller.after_step()
        end = time.perf_counter()
        self.own.append(between - before + end - after)
        return end - start


@pytest.mark.parametrize("rectify", [None, RectifyOptions(rate=1)], ids=["smooth", "rectifying"])
@pytest.mark.benchmark(group="a step of ResNet-56, batch of 128, with decay")
def test_decay_beside_a_plain_step(
    rectify: RectifyOptions | None, benchmark: BenchmarkFixture
) -> None:
    """Paired: a plain step runs before each with decay, in the same process."""
    torch.set_num_threads(1)
    loop = Loop(rectify)
    loop.step(None)
    loop.step(loop.controller)
    plain: list[float] = []
    benchmark.pedantic(
        loop.step,
        args=(loop.controller,),
        setup=lambda: plain.append(loop.step(None)),
        rounds=ROUNDS,
    )
    mine = statistics.median(benchmark.stats.stats.data)  # type: ignore[union-attr]
    share = mine / statistics.median(plain) - 1
    own = statistics.median(loop.own[3::2]) / statistics.median(plain)
    benchmark.extra_info |= {"added_share": share, "own_share": own}
    print(
        f"\n{statistics.median(plain):.2f} s a step, {share:+.1%} with decay; "
        f"{own:.2%} of it inside the controller"
    )
