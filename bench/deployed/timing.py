"""How long a pruned network takes beside its dense one, and how far that can be relied on.

The networks take turns batch by batch, so that what slows the machine slows all of them, and of
each round the fastest batch counts, as what disturbs only ever adds. A copy of the dense network
takes turns with them: how far it is from as fast is what noise alone makes.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, permutations
from pathlib import Path
from statistics import median, quantiles

from filelock import FileLock

from reports.records import Latency
from suites.protocol import Deployment

from .runtimes import Loaded, Run, threads, version_of

ROUNDS = 9
ROUND_S, BATCHES = 0.1, (3, 24)  # seconds of a round, and batches of each network, least and most
PATIENCE = 3  # times so many rounds are timed, until they can be relied on
LOCK = Path(tempfile.gettempdir()) / f"bench-timing-{os.getuid()}.lock"

Rounds = list[list[list[float]]]  # of every round, of every network, seconds a batch


@contextmanager
def alone(number: int) -> Iterator[None]:
    """So many threads, and no other run of this machine timing at the same moment."""
    with ExitStack() as stack:
        stack.enter_context(FileLock(LOCK))
        stack.enter_context(threads(number))
        yield


def compare_latency(dense: Loaded, pruned: Loaded, copy: Loaded, deployment: Deployment) -> Latency:
    """The latency of two networks, and of a copy of the first, as they were loaded.

    Timed until it can be relied on, whatever the ratio; no round is left out.
    """
    networks = [one.run for one in (dense, pruned, copy)]
    orders = cycle(permutations(range(len(networks))))
    least, most = BATCHES
    with alone(deployment.threads):
        _round(networks, orders, 1)  # to warm up
        turn = sum(map(sum, _round(networks, orders, 1)))
        batches = max(least, min(most, int(ROUND_S / turn)))
        rounds: Rounds = []
        for _ in range(PATIENCE):
            rounds += [_round(networks, orders, batches) for _ in range(ROUNDS)]
            found = _latency(rounds, dense, pruned, deployment)
            if found.reliable:
                break
    return found


def _latency(rounds: Rounds, dense: Loaded, pruned: Loaded, deployment: Deployment) -> Latency:
    """Of rounds of the dense network, the pruned one, and the dense network's copy."""
    fastest = [[min(one) for one in each] for each in rounds]
    dense_s, pruned_s, _ = (median(column) for column in zip(*fastest, strict=True))
    every = [1000 * one for each in rounds for one in each[1]]
    tenths = quantiles(every, n=10)
    return Latency(
        runtime=deployment.runtime,
        version=version_of(deployment.runtime),
        batch_size=deployment.batch,
        threads=deployment.threads,
        dense_ms=1000 * dense_s,
        pruned_ms=1000 * pruned_s,
        percentiles_ms=(tenths[0], median(every), tenths[-1]),
        ratios=[pruned_s / dense_s for dense_s, pruned_s, _ in fastest],
        aa_ratio=median(copy_s / dense_s for dense_s, _, copy_s in fastest),
        peak_bytes=(pruned.peak_bytes, dense.peak_bytes),
        file_bytes=(pruned.file_bytes, dense.file_bytes),
    )


def _round(
    networks: Sequence[Run], orders: Iterator[Sequence[int]], batches: int
) -> list[list[float]]:
    """Seconds a batch of each network; none always follows the same other."""
    spent: list[list[float]] = [[] for _ in networks]
    for _ in range(batches):
        for at in next(orders):
            start = time.perf_counter()
            networks[at]()
            spent[at].append(time.perf_counter() - start)
    return spent
