"""Sizes of effects, intervals and noise: vectors V5 and V6, brute force, properties."""

from __future__ import annotations

import json
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports import statistics as own

VECTORS: dict[str, Any] = json.loads((toy.VECTORS / "statistics.json").read_text(encoding="utf-8"))
samples = st.lists(st.integers(-5, 5), min_size=1, max_size=9)


def test_sign_flip_by_hand() -> None:
    six = [0.012, 0.004, 0.009, -0.001, 0.006, 0.011]
    assert own.sign_flip(six) == 4 / 64
    assert own.sign_flip(np.abs(six)) == own.smallest_p(6)
    assert own.sign_flip([0.0, 0.0]) == 1.0


@given(samples)
def test_sign_flip_is_the_enumeration(d: list[int]) -> None:
    sums = [abs(np.dot(d, signs)) for signs in product((-1, 1), repeat=len(d))]
    assert own.sign_flip(d) == np.mean(np.array(sums) >= abs(sum(d)))


def test_many_differences_are_flipped_at_random() -> None:
    d = np.random.default_rng(0).normal(0.45, 1, 24)
    exact = stats.ttest_1samp(d, 0).pvalue  # close to the permutation p of normal data
    assert own.sign_flip(d) == pytest.approx(exact, rel=0.15)
    assert own.sign_flip(d) == own.sign_flip(d)


def test_interquartile_means() -> None:
    for values, expected in (
        ([1, 2, 3, 4], 2.5),
        ([0, 0, 0, 1, 1, 1, 1, 10], 0.75),
        (range(1, 11), 5.5),
        ([1, 2, 3, 4, 5], 3),
        ([[1, 2], [2, 2], [1, 1], [2, 1]], 1.5),
        ([[1, 1], [2, 2], [3, 3]], 2),
    ):
        assert own.interquartile_mean(values) == expected
    with pytest.raises(ValueError, match="finite"):
        own.interquartile_mean([])


def test_shares_of_comparisons_by_hand() -> None:
    assert own.share_won([1, 0, -2, 3]) == 0.625


@given(samples)
def test_rank_biserial_turns_with_the_sign(d: list[int]) -> None:
    found = own.rank_biserial(d)
    assert -1 <= found <= 1
    assert own.rank_biserial([-x for x in d]) == pytest.approx(-found)
    test = own.wilcoxon(d)
    if test.n:
        assert found == pytest.approx((test.plus - test.minus) / (test.plus + test.minus))


@given(st.lists(st.integers(-30, 30), min_size=2, max_size=9, unique=True))
def test_shift_interval_holds_what_the_test_does_not_reject(d: list[int]) -> None:
    found = own.shift_interval(d, 0.9)
    assert found.shift == own.hodges_lehmann(d)
    if np.isnan(found.low):
        assert own.smallest_p(len(d)) > 0.1
        return
    walsh = sorted((a + b) / 2 for i, a in enumerate(d) for b in d[i:])
    assert {found.low, found.high} <= set(walsh)
    # Between Walsh averages there are no ties: the test must agree there on every shift.
    grid = [(a + b) / 2 for a, b in pairwise(walsh) if a < b]
    for shift in grid:
        moved = np.array(d) - shift - 1e-4
        if len(set(np.abs(moved))) == len(d):
            inside = found.low < shift + 1e-4 < found.high
            assert inside == (own.wilcoxon(moved).p_value > 0.1)


def test_shift_interval_of_few_differences() -> None:
    assert np.isnan(own.shift_interval([1, 2, 3, 4, 5]).low)
    six = own.shift_interval([1, 2, 3, 4, 5, 6])
    assert (six.shift, six.low, six.high, six.n) == (3.5, 1, 6, 6)
    with pytest.raises(ValueError, match="level"):
        own.shift_interval([1, 2], 1.0)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9))
def test_t_test_is_scipys(values: list[float]) -> None:
    x = np.round(values, 6)
    found = own.t_test(x)
    if np.ptp(x) == 0:
        assert np.isnan(found)
        return
    assert found == pytest.approx(stats.ttest_1samp(x, 0).pvalue, rel=1e-6)
    if 1e-6 < found < 1:
        interval = own.t_interval(x, 1 - found)
        assert min(abs(interval.low), abs(interval.high)) == pytest.approx(0, abs=1e-6)


def test_budgets_weigh_the_stretch_of_compression_around_them() -> None:
    assert own.budget_weights([0.5]) == [1.0]
    assert own.budget_weights([0.25, 0.5]) == pytest.approx([0.5, 0.5])
    # log2 compressions 1, 2, 4: trapezoids of widths 1 and 2 over a range of 3.
    assert own.budget_weights([1 / 16, 0.5, 0.25]) == pytest.approx([2 / 6, 1 / 6, 3 / 6])
    for bad in ([], [0.5, 0.5], [0.5, np.nextafter(0.5, 1)], [1.5], [0.0], [[0.5]]):
        with pytest.raises(ValueError, match="budgets must"):
            own.budget_weights(bad)


SHARES = st.integers(10_000, 1_000_000).map(lambda millionths: millionths / 1e6)


@given(st.lists(SHARES, min_size=2, max_size=6, unique=True), st.integers(0, 999))
def test_area_is_numpys_trapezoid(kept: list[float], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(3, len(kept), 2, 2))
    order = np.argsort(kept)[::-1]
    x = -np.log(np.array(kept)[order])
    curves = values.mean(axis=(2, 3))[:, order]
    # Relative to the range, which may be tiny.
    assert own.per_problem(values, kept) == pytest.approx(
        np.trapezoid(curves, x, axis=1) / (x[-1] - x[0]), rel=1e-6, abs=1e-6
    )


def test_a_refined_grid_does_not_move_the_area_of_a_straight_curve() -> None:
    def straight(kept: list[float]) -> np.ndarray:
        return np.log(kept).reshape(-1, 1, 1) * 3

    few, many = [0.8, 0.1], [0.8, 0.78, 0.75, 0.7, 0.1]
    assert own.per_problem(straight(few), few) == pytest.approx(
        own.per_problem(straight(many), many)
    )
    with pytest.raises(ValueError, match="do not fit"):
        own.per_trial(straight(few), many)


def test_shares_of_a_profile_by_hand() -> None:
    lost = np.array([[[[4.0], [2.0]], [[0.0], [0.0]]]])  # a budget, 2 problems, 2 bases
    found = own.shares_within(lost, [9, 3, 2, 1, -1])
    assert found.mean(axis=(1, 2, 3)).tolist() == [1, 0.75, 0.75, 0.5, 0]
    failed = np.array([[[[1.0, np.inf]]], [[[3.0, np.inf]]]])  # two budgets, two repeats
    assert own.shares_within(failed, [0, 2, 1e6])[:, 0, 0].tolist() == [[0, 0], [0.5, 0], [1, 0]]
    one_budget = np.array([[[[1.0]]], [[[np.nan]]]])  # the other is not of this problem
    assert own.shares_within(one_budget, [0, 2]).ravel().tolist() == [0, 1]


@given(samples, st.integers(0, 3))
def test_beliefs_sum_to_one_and_turn_with_the_sign(d: list[int], rope: int) -> None:
    found = own.bayesian_signed_rank(d, rope, draws=4000)
    assert found.better + found.equivalent + found.worse == pytest.approx(1)
    other = own.bayesian_signed_rank([-x for x in d], rope, draws=4000)
    # The same draws: exactly mirrored.
    assert (other.better, other.worse) == pytest.approx((found.worse, found.better))
    if rope == 0:
        assert found.equivalent == pytest.approx(0)
    if max(np.abs(d)) < rope:
        assert found.equivalent == 1


def test_bayesian_signed_rank_of_demsar() -> None:
    """Against baycomp 1.0.3 on table 2 of Demsar 2006, C4.5 and +m, a million draws each."""
    scores = np.array(VECTORS["demsar"]["scores"])
    d = 100 * (scores[:, 1] - scores[:, 0])
    for expected in VECTORS["bayesian_signed_rank"]["expected"]:
        found = own.bayesian_signed_rank(d, expected["rope"])
        # Two million-fold and 50,000-fold shares: three standard errors of the latter.
        assert (found.worse, found.equivalent, found.better) == pytest.approx(
            expected["left_rope_right"], abs=0.007
        )


def test_variance_components_by_hand() -> None:
    values = np.array([[1.0, 3.0], [5.0, 7.0]])  # 2 bases, 2 repeats
    base, repeat = own.variance_components(values, ("base", "repeat"))
    # Mean squares 16 and 2: (16 - 2) / 2 = 7.
    assert (base.sd**2, repeat.sd**2) == pytest.approx((7, 2))
    assert (base.share, repeat.share) == pytest.approx((7 / 9, 2 / 9))
    alone, unknown = own.variance_components(values[:, :1], ("base", "repeat"))
    assert (alone.sd**2, np.isnan(unknown.sd)) == (pytest.approx(8), True)
    flat, _ = own.variance_components([[1.0, 3.0], [3.0, 1.0]], ("base", "repeat"))
    assert flat.sd == 0  # the estimate is negative


def test_variance_components_find_what_was_put_in() -> None:
    rng = np.random.default_rng(0)
    sds = (2.0, 1.0, 0.5)
    cells = 600
    values = 100 * rng.normal(size=(cells, 1, 1, 1))
    values = values + sds[0] * rng.normal(size=(cells, 4, 1, 1))
    values = values + sds[1] * rng.normal(size=(cells, 4, 3, 1))
    values = values + sds[2] * rng.normal(size=(cells, 4, 3, 3))
    found = own.variance_components(values, ("base", "calibration", "recovery"))
    # 1,800 degrees of freedom at the top: 2 % error of an SD, so 6 %.
    assert [one.sd for one in found] == pytest.approx(sds, rel=0.06)


def test_noise_floor_is_what_two_runs_differ_by() -> None:
    rng = np.random.default_rng(0)
    first, second = (0.5 * rng.normal(size=(2000, 3, 4)) for _ in range(2))
    level = rng.normal(size=(2000, 3, 1))  # bases are shared
    expected = np.std((level + first).mean(axis=(1, 2)) - (level + second).mean(axis=(1, 2)))
    found = own.noise_floor(level + first)
    assert found == pytest.approx(expected, rel=0.05)
    assert np.isnan(own.noise_floor(level))


def test_inflation_by_hand() -> None:
    assert own.best_of_n([[1.0, 3.0], [2.0, 2.0]]) == 0.5
    assert own.best_of_n([7.0]) == 0
    assert own.best_epoch([[1.0, 5.0, 3.0], [1.0, 2.0, 3.0]]) == 1.0
    with pytest.raises(ValueError, match="trials, epochs"):
        own.best_epoch([1.0])


def test_best_of_n_grows_as_order_statistics_do() -> None:
    runs = np.random.default_rng(0).normal(size=(20_000, 5))
    # The expected maximum of five standard normals; 20,000 cells, SD 0.8: three errors.
    assert own.best_of_n(runs) == pytest.approx(1.16296, abs=0.017)
