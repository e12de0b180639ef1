"""Sizes of effects, intervals and noise: vectors V5 and V6, brute force, properties."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st

from reports import statistics as own

VECTORS: dict[str, Any] = json.loads((toy.VECTORS / "statistics.json").read_text(encoding="utf-8"))
samples = st.lists(st.integers(-5, 5), min_size=1, max_size=9)


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
