"""What scoring and selection cost on ResNet-56, beside one plain forward and backward pass.

pytest tests/benchmarks/test_scoring.py --benchmark-only

In the first table, the figures in brackets are ratios to the plain pass, which is its fastest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torch.nn import functional

from bench.models import build_model
from bench.pruning.choose import one_shot
from bench.pruning.cost import cost_model
from bench.pruning.network import Network, Rules
from criteria import criteria, find_structure
from criteria.criterion import checked_scores
from criteria.gather import gather
from criteria.registry import create
from suites.problem import ModelSpec

BATCH = 128
SCORING = "scoring ResNet-56, a batch of 128"
STRUCTURE = "structure of ResNet-56"
ROUNDS = {"rounds": 3, "warmup_rounds": 1}
Specs = Sequence[tuple[str, dict[str, Any]]]
ALL = [(entry.name, {}) for entry in criteria() if entry.selector is None]
SCORED: dict[str, Specs] = {
    "jacobian": [("jacobian", {})],
    "all of per-batch gradients": [
        ("jacobian", {}),
        ("jacobian", {"flatten": "block", "combine": "joint"}),
        ("jacobian_diag", {}),
        *(("taylor", {"variant": one}) for one in ("squared", "absolute", "signed", "elementwise")),
        ("taylor_tp", {}),
        ("snip", {}),
    ],
    "jacobian by sample": [("jacobian", {"rows": "sample"})],
    "fisher": [("fisher", {})],
    "diagonal fisher": [("hessian_diag", {})],
    "hvp": [("hvp", {})],
    "oba": [("oba", {})],
    "kron_obd": [("kron_obd", {})],
    "all": ALL,
}


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


def scored(network: Network, specs: Specs, batch: tuple[Tensor, Tensor]) -> list[Tensor]:
    groups = network.structure.groups
    every = [create(name, groups, options, torch.Generator()) for name, options in specs]
    for cost in gather(network.model, every, [batch]):
        assert cost.failure is None
    return [values for one in every for values in checked_scores(one)]


@pytest.mark.benchmark(group=SCORING)
def test_forward_and_backward(
    benchmark: BenchmarkFixture, network: Network, batch: tuple[Tensor, Tensor]
) -> None:
    benchmark.pedantic(forward_backward, args=(network.model, batch), **ROUNDS)


@pytest.mark.benchmark(group=SCORING)
@pytest.mark.parametrize("what", SCORED)
def test_scoring(
    benchmark: BenchmarkFixture,
    network: Network,
    batch: tuple[Tensor, Tensor],
    what: str,
) -> None:
    found = benchmark.pedantic(scored, args=(network, SCORED[what], batch), **ROUNDS)
    assert len(found) == len(SCORED[what]) * len(network.structure.groups)


def test_state_of_the_jacobian_criterion(network: Network, batch: tuple[Tensor, Tensor]) -> None:
    """Under 1 MiB, however many batches it has seen; the authors keep every gradient."""
    one = create("jacobian", network.structure.groups, {}, torch.Generator())
    gather(network.model, [one], [batch])
    state = sum(values.nbytes for values in one._sums.values())
    assert state < 2**20


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
