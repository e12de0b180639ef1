"""Correlation with the truth and regret: exact cases by hand, and what must hold of any scores."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from reports.statistics import (
    correlation_within,
    noise_ceiling,
    rank_correlation,
    regret,
)

SHARES = (0.1, 0.3, 0.5)
changes_of = st.lists(st.integers(-50, 50), min_size=4, max_size=30, unique=True)


def random_changes(seed: int = 0, count: int = 200) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_t(2, count)  # heavy tails, as true changes have


@given(changes_of)
def test_a_perfect_predictor_has_correlation_one_and_no_regret(changes: list[int]) -> None:
    scores = np.cbrt(np.asarray(changes, dtype=float))  # any rising function predicts as well
    found = rank_correlation(scores, changes)
    assert found == pytest.approx(1)
    for share in SHARES:
        assert regret(scores, changes, share).absolute == pytest.approx(0, abs=1e-9)
        assert regret(scores, changes, share).normalised == pytest.approx(0, abs=1e-9)


@given(changes_of)
def test_the_inverse_has_correlation_minus_one_and_the_greatest_regret(changes: list[int]) -> None:
    y = np.asarray(changes, dtype=float)
    found = rank_correlation(-y, y)
    assert found == pytest.approx(-1)
    shuffled = np.random.default_rng(0).permutation(y)
    for share in SHARES:
        assert regret(-y, y, share).absolute >= regret(shuffled, y, share).absolute - 1e-9
        assert regret(-y, y, share).normalised >= 1


def test_random_scores_have_regret_about_one_and_correlation_about_zero() -> None:
    """The mean over many draws, within four of its standard errors."""
    y, draw = random_changes(), np.random.default_rng(1)
    scores = [draw.random(y.size) for _ in range(2000)]
    for share in SHARES:
        found = np.array([regret(one, y, share).normalised for one in scores])
        assert found.mean() == pytest.approx(1, abs=4 * found.std() / math.sqrt(found.size))
    rho = np.array([rank_correlation(one, y) for one in scores[:500]])
    assert rho.mean() == pytest.approx(0, abs=4 * rho.std() / math.sqrt(rho.size))


def test_regret_by_hand() -> None:
    scores, changes = [1, 2, 3, 4], [5, 0, 1, 2]
    # Two lowest scores: mean 2.5; two smallest changes: 0.5; all: 2.
    found = regret(scores, changes, 0.5)
    assert (found.absolute, found.normalised) == (2.0, pytest.approx(2.0 / 1.5))
    # At least one unit is taken: change 5 in place of 0.
    assert regret(scores, changes, 0.1).absolute == 5.0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-9, 9)), min_size=2, max_size=6),
    st.sampled_from((0.3, 0.5, 0.8)),
)
def test_tied_scores_are_taken_in_expectation(pairs: list[tuple[int, int]], share: float) -> None:
    """Brute force: the mean over all orders of the units, ties taken as they come."""
    count = max(1, round(share * len(pairs)))
    taken = [
        np.mean([change for _, change in sorted(order, key=lambda pair: pair[0])[:count]])
        for order in itertools.permutations(pairs)
    ]
    changes = [change for _, change in pairs]
    best = np.mean(sorted(changes)[:count])
    found = regret([score for score, _ in pairs], changes, share)
    assert found.absolute == pytest.approx(float(np.mean(taken) - best), abs=1e-9)


def test_scores_that_tell_nothing_apart_predict_nothing() -> None:
    changes = random_changes(count=20)
    found = rank_correlation(np.ones(20), changes)
    assert found == 0.0
    assert regret(np.ones(20), changes, 0.3).normalised == pytest.approx(1)


def test_where_the_truth_has_no_ranking_nothing_is_said() -> None:
    assert math.isnan(rank_correlation([1, 2, 3], [0, 0, 0]))
    assert math.isnan(rank_correlation([1, 2], [1, 2]))  # two units are no ranking
    assert math.isnan(regret([1, 2, 3], [4, 4, 4], 0.5).normalised)
    assert regret([1, 2, 3], [4, 4, 4], 0.5).absolute == 0


def test_within_groups_is_the_mean_over_groups_and_blind_to_levels_between_them() -> None:
    scores = [1, 2, 3, 103, 102, 101, 7, 8]
    changes = [10, 20, 30, 1, 2, 3, 0, 1]
    found = correlation_within(scores, changes, [0, 0, 0, 1, 1, 1, 2, 2])
    assert found == 0.0  # +1 and -1; two units have no ranking
    only = correlation_within(scores, changes, [0, 0, 0, 1, 1, 2, 2, 3])
    assert only == pytest.approx(1)
    assert math.isnan(correlation_within([1, 2], [1, 2], [0, 1]))


def test_the_ceiling_is_what_a_perfect_criterion_reaches() -> None:
    """True changes, measured with noise: the root of the reliability is the truth's correlation
    with what is measured. Normal, so that rank and product-moment correlation differ little."""
    draw = np.random.default_rng(0)
    true = draw.normal(size=20_000)
    halves = true + 1.5 * draw.normal(size=(2, true.size))
    reached = rank_correlation(true, halves.mean(0))
    assert noise_ceiling(*halves) == pytest.approx(reached, abs=0.02)
    assert noise_ceiling(true, true) == pytest.approx(1)
    assert noise_ceiling(true, draw.normal(size=true.size)) < 0.2
    assert noise_ceiling(true, -true) == 0
    assert math.isnan(noise_ceiling(true, np.zeros(true.size)))
