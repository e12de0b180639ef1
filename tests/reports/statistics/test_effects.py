"""Sizes of effects, intervals and noise: by hand, brute force, properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import statistics as own


def test_budgets_weigh_the_stretch_of_compression_around_them() -> None:
    assert own.budget_weights([0.5]) == [1.0]
    assert own.budget_weights([0.25, 0.5]) == pytest.approx([0.5, 0.5])
    # log2 compressions 1, 2, 4: trapezoids of widths 1 and 2 over a range of 3.
    assert own.budget_weights([1 / 16, 0.5, 0.25]) == pytest.approx([2 / 6, 1 / 6, 3 / 6])


SHARES = st.integers(10_000, 1_000_000).map(lambda millionths: millionths / 1e6)


@given(st.lists(SHARES, min_size=2, max_size=6, unique=True), st.integers(0, 999))
def test_area_is_numpys_trapezoid(kept: list[float], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(3, len(kept), 2, 2))
    order = np.argsort(kept)[::-1]
    x = -np.log(np.array(kept)[order])
    curves = values.mean(axis=(2, 3))[:, order]
    # Relative to the range, which may be tiny.
    assert own.per_trial(values, kept).mean(axis=(1, 2)) == pytest.approx(
        np.trapezoid(curves, x, axis=1) / (x[-1] - x[0]), rel=1e-6, abs=1e-6
    )


def test_a_refined_grid_does_not_move_the_area_of_a_straight_curve() -> None:
    def straight(kept: list[float]) -> np.ndarray:
        return np.log(kept).reshape(-1, 1, 1) * 3

    few, many = [0.8, 0.1], [0.8, 0.78, 0.75, 0.7, 0.1]
    assert own.per_trial(straight(few), few) == pytest.approx(own.per_trial(straight(many), many))


def test_noise_by_hand() -> None:
    values = np.array([[1.0, 3.0], [5.0, 7.0]])  # 2 bases, 2 repeats
    found = own.noise(values)
    # Mean squares 16 and 2: (16 - 2) / 2 = 7.
    assert (found.base_sd**2, found.repeat_sd**2) == pytest.approx((7, 2))
    assert found.aa_sd == pytest.approx(1)  # of two means of four runs each
    once = own.noise(values[:, :1])
    assert once.base_sd**2 == pytest.approx(8)
    assert np.isnan([once.repeat_sd, once.aa_sd]).all()
    alone = own.noise(values[:1])
    assert alone.repeat_sd**2 == pytest.approx(2)
    assert np.isnan(alone.base_sd)
    assert own.noise([[1.0, 3.0], [3.0, 1.0]]).base_sd == 0  # the estimate is negative


def test_variance_components_find_what_was_put_in() -> None:
    rng = np.random.default_rng(0)
    values = 2.0 * rng.normal(size=(2000, 1)) + 0.5 * rng.normal(size=(2000, 3))
    found = own.noise(values)
    # 2,000 degrees of freedom at the top: 1.6 % error of an SD, so 5 %.
    assert (found.base_sd, found.repeat_sd) == pytest.approx((2.0, 0.5), rel=0.05)


def test_aa_noise_is_what_two_runs_differ_by() -> None:
    rng = np.random.default_rng(0)
    first, second = (0.5 * rng.normal(size=(2000, 3, 4)) for _ in range(2))
    level = rng.normal(size=(2000, 3, 1))  # bases are shared
    expected = np.std((level + first).mean(axis=(1, 2)) - (level + second).mean(axis=(1, 2)))
    found = np.mean([own.noise(cell).aa_sd ** 2 for cell in level + first]) ** 0.5
    assert found == pytest.approx(expected, rel=0.05)
