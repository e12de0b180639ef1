"""What hashing and comparing cost on a layer of 512 filters, beside a loop over pairs and images.

pytest tests/benchmarks/test_selectors.py --benchmark-only
"""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from criteria.selectors.rgd import RGD, hash_bits, similarities

FILTERS, IMAGES, SIDE = 512, 100, 8
SAMPLE = 24  # filters that the loop compares; its time grows with the number of pairs
RGD_LAYER = f"RGD on a layer of {FILTERS} filters, {IMAGES} images"


@pytest.fixture(scope="module")
def maps() -> Tensor:
    """Filters that are mixtures of few patterns, so that some are alike."""
    draw = torch.Generator().manual_seed(0)
    patterns = torch.randn(IMAGES, 12, SIDE, SIDE, generator=draw)
    noise = torch.randn(IMAGES, FILTERS, SIDE, SIDE, generator=draw)
    mixed = torch.einsum("nphw,pf->nfhw", patterns, torch.randn(12, FILTERS, generator=draw))
    return mixed + 0.5 * noise + 0.3


def similarity(maps: Tensor) -> Tensor:
    """As the criterion does it."""
    signs = 2 * hash_bits(maps[:, :, None]).float() - 1
    return similarities((signs @ signs.T).double(), signs.shape[1])


def by_pairs(bits: np.ndarray) -> np.ndarray:
    """As it is told: for every pair of filters and every image, count the bits that differ."""
    filters, images, count = bits.shape
    found = np.ones((filters, filters))
    for i, j in itertools.combinations(range(filters), 2):
        different = 0
        for image in range(images):
            different += int((bits[i, image] != bits[j, image]).sum())
        found[i, j] = found[j, i] = 1 - different / (count * images)
    return found


@pytest.mark.benchmark(group=RGD_LAYER)
def test_similarity_against_a_loop_over_pairs(benchmark: BenchmarkFixture, maps: Tensor) -> None:
    found = benchmark.pedantic(similarity, args=(maps,), rounds=5, warmup_rounds=1)
    bits = hash_bits(maps[:, :SAMPLE, None]).reshape(SAMPLE, IMAGES, -1).numpy()
    start = time.perf_counter()
    expected = by_pairs(bits)
    seconds = time.perf_counter() - start
    # Twice the rounding of 1 - a/b.
    np.testing.assert_allclose(found[:SAMPLE, :SAMPLE], expected, rtol=0, atol=4e-16)
    whole = seconds * (FILTERS * (FILTERS - 1)) / (SAMPLE * (SAMPLE - 1))
    ratio = whole / benchmark.stats.stats.median
    benchmark.extra_info["loop_over_pairs"] = f"{ratio:.0f} times slower"
    print(
        f"\nthe loop, from {SAMPLE} filters to {FILTERS}: {whole:.0f} s, {ratio:.0f} times slower"
    )


@pytest.mark.benchmark(group=RGD_LAYER)
@pytest.mark.parametrize("theta", [0.8, 0.7, 0.6, 0.5, 0.3])
def test_peeling(benchmark: BenchmarkFixture, maps: Tensor, theta: float) -> None:
    evidence = similarity(maps).diagonal_scatter(torch.rand(FILTERS).double())
    gone = benchmark.pedantic(RGD.removed, args=(evidence, theta), rounds=3, warmup_rounds=1)
    benchmark.extra_info["kept"] = FILTERS - len(gone)
