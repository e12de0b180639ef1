"""How long networks take, in turns, and how far that can be relied on.

They take turns batch by batch, so that what slows the machine slows all of them, and of each round
the fastest batch counts, as what disturbs only ever adds. A copy of the dense network takes turns
with it: how far it is from as fast is what noise alone makes.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, permutations
from pathlib import Path
from statistics import median, quantiles

from filelock import FileLock

from reports.records import Latency
from suites.protocol import Deployment

from .runtimes import Loaded, Run, threads, version_of

ROUNDS = 9
ROUND_S, BATCHES = 0.1, (3, 24)  # seconds of a round, batches of each network, least and most
PATIENCE = 3  # times so many rounds are timed, until they can be relied on
LOCK = Path(tempfile.gettempdir()) / f"bench-timing-{os.getuid()}.lock"  # of the machine


def compare_latency(dense: Loaded, pruned: Loaded, copy: Loaded, deployment: Deployment) -> Latency:
    """The latency of two networks, and of a copy of the first, as they were loaded.

    Timed until it can be relied on, whatever the ratio; no round is left out.
    """
    runs, (least, most) = [run for run, _ in (dense, pruned, copy)], BATCHES
    orders = cycle(permutations(range(len(runs))))
    with FileLock(LOCK), threads(deployment.threads):
        _round(runs, orders, 1)  # to warm up
        turn = sum(map(sum, _round(runs, orders, 1)))
        batches = max(least, min(most, int(ROUND_S / turn)))
        rounds: list[list[list[float]]] = []
        for _ in range(PATIENCE):
            rounds += [_round(runs, orders, batches) for _ in range(ROUNDS)]
            fastest = [[1000 * min(one) for one in each] for each in rounds]
            dense_ms, pruned_ms, _ = (median(column) for column in zip(*fastest, strict=True))
            tenths = quantiles([1000 * one for each in rounds for one in each[1]], n=10)
            found = Latency(
                runtime=deployment.runtime,
                version=version_of(deployment.runtime),
                batch_size=deployment.batch,
                threads=deployment.threads,
                dense_ms=dense_ms,
                pruned_ms=pruned_ms,
                percentiles_ms=(tenths[0], tenths[4], tenths[8]),
                ratios=[kept / whole for whole, kept, _ in fastest],
                aa_ratio=median(again / whole for whole, _, again in fastest),
                file_bytes=(pruned[1], dense[1]),
            )
            if found.reliable:
                break
    return found


def fastest(runs: Sequence[Run], deployment: Deployment) -> list[float]:
    """Seconds of each: the fastest of many turns."""
    with FileLock(LOCK), threads(deployment.threads):
        return [min(one) for one in _round(runs, cycle([range(len(runs))]), BATCHES[1])]


def _round(runs: Sequence[Run], orders: Iterator[Sequence[int]], batches: int) -> list[list[float]]:
    """Seconds a batch of each network, in the orders given."""
    spent: list[list[float]] = [[] for _ in runs]
    for _ in range(batches):
        for at in next(orders):
            start = time.perf_counter()
            runs[at]()
            spent[at].append(time.perf_counter() - start)
    return spent
