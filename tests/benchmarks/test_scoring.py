"""What scoring and selection cost on ResNet-56, beside one plain forward and backward pass.

pytest tests/benchmarks/test_scoring.py --benchmark-only
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torch.nn import functional

from bench.cost import cost_model
from bench.models import build_model
from bench.network import Network, Rules, one_shot
from criteria import criteria, find_structure
from criteria.criterion import checked_scores
from criteria.evidence import gather
from criteria.registry import create
from suites.schema import ModelSpec

BATCH = 128
SCORING = "scoring ResNet-56, a batch of 128"
STRUCTURE = "structure of ResNet-56"
ROUNDS = {"rounds": 3, "warmup_rounds": 1}
ALL = [entry.name for entry in criteria()]


@pytest.fixture(scope="module")
def network() -> Network:
    spec = ModelSpec(name="resnet56")
    model = build_model(spec, classes=10, channels=3, image_size=32, seed=0).eval()
    return Network.trace(model, torch.randn(1, 3, 32, 32))


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(BATCH, 3, 32, 32, generator=draw), torch.randint(10, (BATCH,))


def forward_backward(model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    loss = functional.cross_entropy(model(batch[0]), batch[1])
    torch.autograd.grad(loss, list(model.parameters()))


def scored(network: Network, names: Sequence[str], batch: tuple[Tensor, Tensor]) -> list[Tensor]:
    groups = network.structure.groups
    every = [create(name, groups, {}, torch.Generator()) for name in names]
    for cost in gather(network.model, every, [batch]):
        assert cost.failure is None
    return [values for one in every for values in checked_scores(one)]


@pytest.mark.benchmark(group=SCORING)
def test_forward_and_backward(
    benchmark: BenchmarkFixture, network: Network, batch: tuple[Tensor, Tensor]
) -> None:
    benchmark.pedantic(forward_backward, args=(network.model, batch), **ROUNDS)


@pytest.mark.benchmark(group=SCORING)
@pytest.mark.parametrize(
    "names",
    [["l1"], ["taylor"], ["hessian_diag"], ALL],
    ids=["l1", "taylor", "hessian_diag", "all together"],
)
def test_scoring(
    benchmark: BenchmarkFixture,
    network: Network,
    batch: tuple[Tensor, Tensor],
    names: list[str],
) -> None:
    found = benchmark.pedantic(scored, args=(network, names, batch), **ROUNDS)
    assert len(found) == len(names) * len(network.structure.groups)


@pytest.mark.benchmark(group=STRUCTURE)
def test_find_structure(benchmark: BenchmarkFixture, network: Network) -> None:
    found = benchmark.pedantic(find_structure, args=(network.model, network.inputs), **ROUNDS)
    assert len(found.groups) == len(network.structure.groups)


@pytest.mark.benchmark(group=STRUCTURE)
def test_cost_model(benchmark: BenchmarkFixture, network: Network) -> None:
    benchmark.pedantic(
        cost_model, args=(network.model, network.inputs, network.structure), **ROUNDS
    )


@pytest.mark.benchmark(group=STRUCTURE)
def test_select(benchmark: BenchmarkFixture, network: Network) -> None:
    scores = [torch.rand(group.units).double() for group in network.structure.groups]
    found = benchmark.pedantic(one_shot, args=(network, scores, [0.5], Rules()), **ROUNDS)
    assert isinstance(found[0.5], list)
