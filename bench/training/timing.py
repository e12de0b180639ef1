"""How long a pruned network takes beside its dense one, and how far that can be relied on.

The networks take turns batch by batch, so that what slows the machine slows all of them. A copy of
the dense network takes turns with them: how far it is from as fast is what noise alone makes.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, permutations
from statistics import median

import torch
from torch import Tensor, nn

from reports.records import Latency

BATCH_SIZES = (1, 64)
ROUNDS, BATCHES = 9, 3  # batches of each network a round, of which the median counts
SLOW_S = 0.05  # seconds a batch from which on one a round will do
PATIENCE = 3  # times so many rounds are timed, until they can be relied on


def compare_latency(dense: nn.Module, pruned: nn.Module, image: Tensor) -> list[Latency]:
    """The latency of both networks in eval mode, by batch size.

    Args:
        image: one sample, as [1, channels, height, width], on the networks' device.
    """
    networks = (copy.deepcopy(dense), pruned, copy.deepcopy(dense))  # where it lies matters too
    with torch.inference_mode():
        return [
            _compare(networks, image.repeat(size, *[1] * (image.dim() - 1))) for size in BATCH_SIZES
        ]


def _compare(networks: Sequence[nn.Module], batch: Tensor) -> Latency:
    """Time until it can be relied on, whatever the ratio; no round is left out."""
    orders = cycle(permutations(range(len(networks))))
    _round(networks, batch, orders, 1)  # to warm up
    slow = max(_round(networks, batch, orders, 1)) > SLOW_S
    rounds: list[list[float]] = []
    for _ in range(PATIENCE):
        rounds += [_round(networks, batch, orders, 1 if slow else BATCHES) for _ in range(ROUNDS)]
        found = _latency(len(batch), rounds)
        if found.reliable:
            break
    return found


def _latency(size: int, rounds: Sequence[Sequence[float]]) -> Latency:
    """Of rounds of seconds: dense, pruned, and the dense network's copy."""
    dense, pruned, _ = (1000 * median(column) for column in zip(*rounds, strict=True))
    return Latency(
        batch_size=size,
        dense_ms=dense,
        pruned_ms=pruned,
        ratios=[pruned_s / dense_s for dense_s, pruned_s, _ in rounds],
        aa_ratio=median(copy_s / dense_s for dense_s, _, copy_s in rounds),
    )


def _round(
    networks: Sequence[nn.Module], batch: Tensor, orders: Iterator[Sequence[int]], batches: int
) -> list[float]:
    """Median seconds a batch of each network; none always follows the same other."""
    spent: list[list[float]] = [[] for _ in networks]
    for _ in range(batches):
        for at in next(orders):
            start = time.perf_counter()
            networks[at](batch)
            if batch.is_cuda:
                torch.cuda.synchronize()
            spent[at].append(time.perf_counter() - start)
    return [median(one) for one in spent]
