"""Seconds from a network to half of its MACs: tracing, counting, selecting and cutting.

pytest tests/benchmarks/test_halving.py --benchmark-only
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from bench.models import build_model
from bench.pruning.choose import one_shot
from bench.pruning.network import Network, Rules
from suites.problem import ModelSpec


def half(model: nn.Module, inputs: torch.Tensor) -> nn.Module:
    network = Network.trace(model, inputs)
    draw = torch.Generator().manual_seed(0)
    scores = [torch.rand(group.units, generator=draw) for group in network.structure.groups]
    removed = one_shot(network, scores, [0.5], Rules(scope="local"))[0.5]
    assert isinstance(removed, list)
    return network.cut(removed)


@pytest.mark.benchmark(group="half of the MACs, random weights and scores, two threads")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet110", 32),
        ("densenet40", 32),
        ("vgg19_bn", 32),
        ("torchvision:mobilenet_v2", 224),
        ("torchvision:resnet50", 224),
        ("torchvision:vit_b_16", 224),
        ("torchvision:vgg19_bn", 448),
    ],
)
def test_half(benchmark: BenchmarkFixture, name: str, size: int) -> None:
    torch.set_num_threads(2)
    model = build_model(
        ModelSpec(name=name), classes=1000, channels=3, image_size=size, seed=0
    ).eval()
    inputs = torch.randn(2, 3, size, size)
    cut = benchmark.pedantic(half, args=(model, inputs), rounds=1)
    assert cut(inputs).shape == (2, 1000)
