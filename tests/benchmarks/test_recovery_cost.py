"""What a step of equivalent pruning costs on ResNet-56, beside steps of the dense network.

pytest tests/benchmarks/test_recovery_cost.py --benchmark-only
"""

from __future__ import annotations

import copy
import time
from statistics import median

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torch.nn import functional

from bench.models import build_model
from bench.pruning.network import Network
from criteria.families.equivalent_layers import insert
from suites.problem import ModelSpec

BATCH = 128


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> Network:
    spec = ModelSpec(name="resnet56")
    model = build_model(spec, classes=10, channels=3, image_size=32, seed=0)
    return Network.trace(model, torch.randn(1, 3, 32, 32))


class Step:
    """A training step of one network, and how long each took."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.train()
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        self.seconds: list[float] = []

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        start = time.perf_counter()
        self.optimizer.zero_grad()
        functional.cross_entropy(self.model(images), labels).backward()
        self.optimizer.step()
        self.seconds.append(time.perf_counter() - start)


@pytest.mark.benchmark(group=f"a training step of ResNet-56, a batch of {BATCH}")
@pytest.mark.parametrize("share", [0.1, 0.33, 0.67])
def test_equivalent_pruning_beside_the_dense_network(
    benchmark: BenchmarkFixture, network: Network, share: float
) -> None:
    """Alternating: a dense and a naively pruned step before each round, in the same process."""
    draw = torch.Generator().manual_seed(0)
    batch = torch.randn(BATCH, 3, 32, 32, generator=draw), torch.randint(10, (BATCH,))
    groups = network.structure.groups
    removed = [
        torch.randperm(group.units, generator=draw)[: round(share * group.units)]
        for group in groups
    ]
    pruned = network.cut(removed)
    equivalent = Step(insert(network.model, pruned, groups, removed))
    dense, naive = Step(copy.deepcopy(network.model)), Step(pruned)

    def before() -> None:
        dense(*batch)
        naive(*batch)

    benchmark.pedantic(equivalent, args=batch, setup=before, rounds=5, warmup_rounds=1)
    ratios = {
        name: median(equivalent.seconds[1:]) / median(other.seconds[1:])
        for name, other in (("dense", dense), ("naively pruned", naive))
    }
    benchmark.extra_info.update(ratios)
    told = ", ".join(f"{ratio:.2f} of the {name}" for name, ratio in ratios.items())
    print(f"\n{share:.0%} of the channels removed: a step takes {told} network's")
