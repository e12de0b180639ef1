"""What the fast oracle saves on ResNet-20, beside the plain loop: mask each unit, run everything.

pytest tests/benchmarks/test_removal.py --benchmark-only
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional

from bench.models import build_model
from bench.pruning.network import Network
from bench.steps.oracle import loss_changes, sample_units
from criteria.network.cut import mask
from suites.problem import ModelSpec

UNITS, IMAGES = 256, 32  # units as in the library's suite


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> Network:
    spec = ModelSpec(name="resnet20")
    model = build_model(spec, classes=10, channels=3, image_size=32, seed=0).eval()
    return Network.trace(model, torch.randn(1, 3, 32, 32))


def plain(network: Network, units: Sequence[Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
    groups, none = network.structure.groups, torch.empty(0, dtype=torch.long)
    images, labels = batch
    with torch.no_grad():
        losses = [
            functional.cross_entropy(
                mask(network.model, groups, [unit if one is group else none for one in groups])(
                    images
                ).double(),
                labels,
                reduction="none",
            )
            for group, chosen in zip(groups, units, strict=True)
            for unit in chosen[:, None]
        ]
        dense = functional.cross_entropy(network.model(images).double(), labels, reduction="none")
    return torch.stack(losses) - dense


@pytest.mark.benchmark(group="oracle of ResNet-20, 256 units, 32 images of 32x32")
def test_late_passes_beside_the_plain_loop(benchmark: BenchmarkFixture, network: Network) -> None:
    """Paired: the plain loop runs before each round, in the same process."""
    draw = torch.Generator().manual_seed(0)
    batch = torch.randn(IMAGES, 3, 32, 32, generator=draw), torch.randint(10, (IMAGES,))
    units = sample_units([group.units for group in network.structure.groups], UNITS, draw)
    slow: list[float] = []
    truth: list[Tensor] = []

    def before() -> None:
        start = time.perf_counter()
        truth.append(plain(network, units, batch))
        slow.append(time.perf_counter() - start)

    found = benchmark.pedantic(
        loss_changes,
        args=(network.model, network.structure.groups, units, [batch]),
        setup=before,
        rounds=3,
    )
    # float32 networks: both run the same operations, at most in another order.
    torch.testing.assert_close(found.changes, truth[-1], rtol=0, atol=1e-5)
    fast = benchmark.stats.stats.data  # type: ignore[union-attr]
    ratios = [one / other for one, other in zip(slow, fast, strict=True)]
    benchmark.extra_info["speed_up"] = sorted(ratios)[1]
    print(f"\nspeed-up over the plain loop: {', '.join(f'{one:.1f}' for one in ratios)}")
