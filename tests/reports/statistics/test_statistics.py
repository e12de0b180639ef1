"""Statistics against vectors of the literature, scipy, and by properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports import statistics as own

# Demsar 2006, table 2, data sets in the order of the paper (statistics.md 2.5, V1).
# fmt: off
C45 = [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1, .940, .619, .972, .957]
C45_M = [.768, .591, .971, .661, .888, .931, .668, .583, .838, 1, .962, .666, .981, .978]
# fmt: on
DEMSAR = np.array(C45_M) - np.array(C45)

differences = st.lists(st.integers(-6, 6), min_size=1, max_size=9)


def test_demsar_c45_against_m() -> None:
    assert own.hodges_lehmann(DEMSAR) == pytest.approx(0.0130, abs=1e-12)


def test_demsar_paired_t() -> None:
    # The interval touches zero exactly at the level 1 - p of the paired t-test.
    interval = own.t_interval(DEMSAR, 1 - 0.0137558)
    assert interval.low == pytest.approx(0, abs=1e-6)
    assert interval.n == 14


def test_holm_vectors() -> None:
    assert own.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    raw = [0.000006, 0.000332, 0.009823, 0.014171, 0.083642, 0.141093, 0.518605, 0.660706]
    adjusted = [0.000048, 0.002324, 0.058938, 0.070855, 0.334568, 0.423279, 1, 1]
    assert own.holm(raw) == pytest.approx(adjusted, abs=1e-9)
    assert own.holm([]).size == 0


@given(differences)
def test_a_shift_turns_and_moves_with_the_differences(d: list[int]) -> None:
    assert own.hodges_lehmann([-x for x in d]) == pytest.approx(-own.hodges_lehmann(d))
    assert own.hodges_lehmann([x + 5 for x in d]) == pytest.approx(own.hodges_lehmann(d) + 5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_monotone_between_raw_and_bonferroni(p: list[float]) -> None:
    raw, adjusted = np.array(p), own.holm(p)
    assert (adjusted >= raw - 1e-15).all()
    assert (adjusted <= np.minimum(1, raw * raw.size) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(raw)]) >= 0).all()


def test_t_interval_is_scipys() -> None:
    values = [1.0, 2.5, -0.5, 4.0]
    found = own.t_interval(values, 0.9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    alone = own.t_interval([2.0])
    assert (alone.mean, alone.n) == (2.0, 1)
    assert np.isnan([alone.low, alone.high]).all()


def test_collapse() -> None:
    cube = np.array([[[1.0, 3.0], [5.0, 5.0]], [[4.0, 4.0], [0.0, 2.0]]])  # budgets, bases, repeats
    assert own.per_trial(cube, None).tolist() == [[2.5, 3.5], [2.5, 3.5]]
