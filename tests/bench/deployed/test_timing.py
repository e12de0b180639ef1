"""Timing, on a clock that only networks move: what noise does to it, and whether that is said."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from bench.training.timing import BATCH_SIZES, BATCHES, PATIENCE, ROUNDS, compare_latency
from torch import Tensor, nn

from bench.training import timing
from reports.records import LATENCY_BOUND, Latency

IMAGE = torch.zeros(1, 1, 2, 2)


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


class Timed(nn.Module):
    """Takes `cost(now)` seconds a batch; what is copied counts as another network."""

    def __init__(self, clock: Clock, cost: Callable[[float], float]) -> None:
        super().__init__()
        self.clock, self.cost = clock, cost

    def __deepcopy__(self, memo: object) -> Timed:
        return Timed(self.clock, self.cost)

    def forward(self, images: Tensor) -> Tensor:
        self.clock.moved_by.append(id(self))
        self.clock.now += self.cost(self.clock.now)
        return images


def largest(found: list[Latency]) -> Latency:
    assert [one.batch_size for one in found] == list(BATCH_SIZES)
    return found[-1]


def test_a_quiet_machine_gives_the_truth_in_one_go(clock: Clock) -> None:
    found = largest(
        compare_latency(Timed(clock, lambda _: 0.004), Timed(clock, lambda _: 0.001), IMAGE)
    )
    assert found.ratios == pytest.approx([0.25] * ROUNDS)
    assert (found.dense_ms, found.pruned_ms) == pytest.approx((4, 1))
    assert found.aa_ratio == pytest.approx(1)
    assert found.reliable


def test_a_machine_that_slows_down_slows_all_alike(clock: Clock) -> None:
    """Timed one after the other, the second would seem several times as slow."""

    def slowing(share: float) -> Callable[[float], float]:
        return lambda now: share * 0.001 * (1 + 20 * now)

    found = largest(compare_latency(Timed(clock, slowing(1)), Timed(clock, slowing(0.5)), IMAGE))
    assert slowing(1)(clock.now) > 3 * slowing(1)(0)
    assert found.ratio == pytest.approx(0.5, rel=0.05)
    assert found.aa_ratio == pytest.approx(1, abs=0.05)


def test_bursts_that_hit_a_batch_in_ten_change_nothing(clock: Clock) -> None:
    draw = random.Random(0)

    def bursting(_: float) -> float:
        return 0.001 * (8 if draw.random() < 0.1 else 1)

    found = largest(compare_latency(Timed(clock, bursting), Timed(clock, bursting), IMAGE))
    assert found.reliable
    assert found.ratio == pytest.approx(1)


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.1, 0.2, 0.5, 1.0])
def test_identical_networks_are_alike_or_it_is_said_that_they_cannot_be_told(
    clock: Clock, noise: float
) -> None:
    """Noise of each batch is log-normal; of 60 timings at most 5 % may mislead unsaid."""
    misled = flagged = 0
    for seed in range(30):
        draw = random.Random(seed)
        networks = [Timed(clock, lambda _, d=draw: 0.001 * d.lognormvariate(0, noise))] * 2
        for one in compare_latency(networks[0], networks[1], IMAGE):
            flagged += not one.reliable
            misled += one.reliable and abs(one.ratio - 1) > LATENCY_BOUND
    assert misled <= 3
    assert flagged == 0 if noise == 0.01 else flagged > 50 or noise < 0.2


@pytest.mark.parametrize(
    ("seconds", "noise", "batches"),
    [(0.001, 0.0, ROUNDS * BATCHES), (0.001, 1.0, PATIENCE * ROUNDS * BATCHES), (1.0, 0.0, ROUNDS)],
)
def test_noise_is_timed_longer_and_a_slow_network_less(
    clock: Clock, seconds: float, noise: float, batches: int
) -> None:
    draw = random.Random(1)

    def cost(_: float) -> float:
        return seconds * draw.lognormvariate(0, noise)

    found = compare_latency(Timed(clock, cost), Timed(clock, cost), IMAGE)
    assert set(Counter(clock.moved_by).values()) == {(batches + 2) * len(BATCH_SIZES)}
    assert {len(one.ratios) * (1 if seconds == 1 else BATCHES) for one in found} == {batches}


def test_no_network_always_follows_the_same_other(clock: Clock) -> None:
    compare_latency(Timed(clock, lambda _: 0.001), Timed(clock, lambda _: 0.001), IMAGE)
    after = Counter(pair for pair in pairwise(clock.moved_by) if len(set(pair)) == 2)
    assert len(after) == 6
    assert max(after.values()) <= 2 * min(after.values())


def test_what_is_timed_stays_as_it_was() -> None:
    dense, pruned = nn.Conv2d(1, 4, 3).eval(), nn.Conv2d(1, 2, 3).eval()
    before = {name: one.clone() for name, one in dense.state_dict().items()}
    compare_latency(dense, pruned, torch.zeros(1, 1, 4, 4))
    assert all(torch.equal(one, before[name]) for name, one in dense.state_dict().items())


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
