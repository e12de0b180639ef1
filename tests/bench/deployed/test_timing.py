"""Timing, on a clock that only networks move: what noise does to it, and whether that is said."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest

from bench.deployed import timing
from bench.deployed.runtimes import Loaded
from bench.deployed.timing import BATCHES, PATIENCE, ROUND_S, ROUNDS, compare_latency
from reports.records import LATENCY_BOUND, Latency
from suites.protocol import Deployment

Cost = Callable[[float], float]  # seconds of a batch that begins at that time


class Clock:
    """Seconds, and which network moved them on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.moved_by: list[int] = []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: made.now))
    return made


def compared(clock: Clock, dense: Cost, pruned: Cost) -> Latency:
    """The latency of networks that take so long; the copy takes what the dense one does."""

    def loaded(name: int, cost: Cost) -> Loaded:
        def run() -> None:
            clock.moved_by.append(name)
            clock.now += cost(clock.now)

        return run, 100 * name

    networks = [loaded(*one) for one in enumerate((dense, pruned, dense), 1)]
    return compare_latency(*networks, Deployment(batch=8))


def test_a_quiet_machine_gives_the_truth_in_one_go(clock: Clock) -> None:
    found = compared(clock, lambda _: 0.004, lambda _: 0.001)
    assert (found.runtime, found.batch_size, found.threads) == ("eager", 8, 1)
    assert found.version.startswith("torch ")
    assert found.file_bytes == (200, 100)
    assert found.percentiles_ms == pytest.approx((1, 1, 1))
    assert found.ratios == pytest.approx([0.25] * ROUNDS)
    assert (found.dense_ms, found.pruned_ms) == pytest.approx((4, 1))
    assert found.aa_ratio == pytest.approx(1)
    assert found.reliable


def test_a_machine_that_slows_down_slows_all_alike(clock: Clock) -> None:
    """Timed one after the other, the second would seem several times as slow."""

    def slowing(share: float) -> Callable[[float], float]:
        return lambda now: share * 0.001 * (1 + 20 * now)

    found = compared(clock, slowing(1), slowing(0.5))
    assert slowing(1)(clock.now) > 3 * slowing(1)(0)
    assert found.ratio == pytest.approx(0.5, rel=0.05)
    assert found.aa_ratio == pytest.approx(1, abs=0.05)


def test_bursts_that_hit_a_batch_in_ten_change_nothing(clock: Clock) -> None:
    draw = random.Random(0)

    def bursting(_: float) -> float:
        return 0.001 * (8 if draw.random() < 0.1 else 1)

    found = compared(clock, bursting, bursting)
    assert found.reliable
    assert found.ratio == pytest.approx(1)


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.1, 0.2, 0.5, 1.0])
def test_identical_networks_are_alike_or_it_is_said_that_they_cannot_be_told(
    clock: Clock, noise: float
) -> None:
    """Noise of each batch is log-normal; of 60 timings at most 5 % may mislead unsaid."""
    misled = flagged = 0
    for seed in range(60):
        draw = random.Random(seed)

        def noisy(_: float, draw: random.Random = draw) -> float:
            return 0.01 * draw.lognormvariate(0, noise)

        found = compared(clock, noisy, noisy)
        flagged += not found.reliable
        misled += found.reliable and abs(found.ratio - 1) > LATENCY_BOUND
    assert misled <= 3
    assert flagged == 0 if noise == 0.01 else flagged > 50 or noise < 0.5


@pytest.mark.parametrize(
    ("seconds", "batches"),
    [(0.0001, BATCHES[1]), (ROUND_S / 30.5, 10), (1.0, BATCHES[0])],
)
def test_fast_networks_are_timed_more_often_a_round_and_noise_for_more_rounds(
    clock: Clock, seconds: float, batches: int
) -> None:
    quiet = compared(clock, lambda _: seconds, lambda _: seconds)
    assert set(Counter(clock.moved_by).values()) == {2 + ROUNDS * batches}
    assert len(quiet.ratios) == ROUNDS
    draw = random.Random(1)
    assert len(compared(clock, *[lambda _: draw.lognormvariate(0, 3)] * 2).ratios) == (
        PATIENCE * ROUNDS
    )


def test_no_network_always_follows_the_same_other(clock: Clock) -> None:
    compared(clock, lambda _: 0.001, lambda _: 0.001)
    after = Counter(pair for pair in pairwise(clock.moved_by) if len(set(pair)) == 2)
    assert len(after) == 6
    assert max(after.values()) <= 2 * min(after.values())


@pytest.mark.parametrize(
    ("n", "low", "high"), [(1, 0, 0), (5, 0, 4), (6, 0, 5), (9, 1, 7), (18, 4, 13), (27, 7, 19)]
)
def test_the_interval_of_a_median_by_order_statistics(n: int, low: int, high: int) -> None:
    """Places in order, as tables of the sign test give them (n = 9: the 2nd and the 8th)."""
    ratios = [1 + 0.001 * at for at in range(n)]
    found = Latency(batch_size=1, dense_ms=1, pruned_ms=1, ratios=ratios[::-1], aa_ratio=1)
    assert found.interval == (ratios[low], ratios[high])


@pytest.mark.parametrize(
    ("aa_ratio", "spread", "reliable"),
    [(1.04, 0.04, True), (1.06, 0.0, False), (0.94, 0.0, False), (1.0, 0.06, False)],
)
def test_both_a_copy_that_is_off_and_rounds_that_disagree_make_it_unreliable(
    aa_ratio: float, spread: float, reliable: bool
) -> None:
    ratios = [0.5 * (1 - spread)] * 2 + [0.5] * 5 + [0.5 * (1 + spread)] * 2
    found = Latency(batch_size=1, dense_ms=2, pruned_ms=1, ratios=ratios, aa_ratio=aa_ratio)
    assert found.reliable is reliable
