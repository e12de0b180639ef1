"""Statistics against the vectors of statistics.md 2.5, brute force, and scipy."""

from __future__ import annotations

from itertools import product

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


def by_enumeration(d: np.ndarray) -> float:
    """Two-sided p over all 2^N signs; zeros dropped."""
    d = d[d != 0]
    if d.size == 0:
        return 1.0
    ranks = stats.rankdata(np.abs(d))
    observed = min(ranks[d > 0].sum(), ranks[d < 0].sum())
    sums = np.array([ranks @ signs for signs in product((0, 1), repeat=d.size)])
    return float(min(1.0, 2 * np.mean(sums <= observed + 1e-9)))


def test_demsar_c45_against_m() -> None:
    assert own.wilcoxon(DEMSAR) == pytest.approx(0.007324219, abs=5e-10)
    assert own.hodges_lehmann(DEMSAR) == pytest.approx(0.0130, abs=1e-12)


def test_demsar_paired_t() -> None:
    # The interval touches zero exactly at the level 1 - p of the paired t-test.
    interval = own.t_interval(DEMSAR, 1 - 0.0137558)
    assert interval.low == pytest.approx(0, abs=1e-6)
    assert interval.n == 14


def test_six_differences_cannot_reach_five_percent_unless_all_agree() -> None:
    six = [0.012, 0.004, 0.009, -0.001, 0.006, 0.011]
    assert own.wilcoxon(six) == 0.0625
    assert own.wilcoxon(np.abs(six)) == 2**-5


def test_holm_vectors() -> None:
    assert own.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    raw = [0.000006, 0.000332, 0.009823, 0.014171, 0.083642, 0.141093, 0.518605, 0.660706]
    adjusted = [0.000048, 0.002324, 0.058938, 0.070855, 0.334568, 0.423279, 1, 1]
    assert own.holm(raw) == pytest.approx(adjusted, abs=1e-9)
    assert own.holm([]).size == 0


# statistics.md 2.4; printed to two digits from a simulation, hence the wide tolerance.


@given(differences)
def test_programme_equals_enumeration(d: list[int]) -> None:
    assert own.wilcoxon(d) == pytest.approx(by_enumeration(np.array(d)), abs=1e-12)


@given(st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_scipy_is_the_oracle_without_ties(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = rng.permutation(np.arange(1, n + 1)) * rng.choice([-1, 1], n)
    expected = stats.wilcoxon(d, method="exact")
    assert own.wilcoxon(d) == pytest.approx(expected.pvalue, rel=1e-9)


@given(differences)
def test_direction_scale_and_order_do_not_matter(d: list[int]) -> None:
    p = own.wilcoxon(d)
    assert own.wilcoxon([-x for x in d]) == p
    assert own.wilcoxon([3 * x for x in d]) == p
    assert own.wilcoxon(sorted(d)) == p
    assert 2.0 ** (1 - len(d)) <= p <= 1
    assert own.hodges_lehmann([-x for x in d]) == pytest.approx(-own.hodges_lehmann(d))
    assert own.hodges_lehmann([x + 5 for x in d]) == pytest.approx(own.hodges_lehmann(d) + 5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_monotone_between_raw_and_bonferroni(p: list[float]) -> None:
    raw, adjusted = np.array(p), own.holm(p)
    assert (adjusted >= raw - 1e-15).all()
    assert (adjusted <= np.minimum(1, raw * raw.size) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(raw)]) >= 0).all()


def test_rounding_noise_breaks_no_ties() -> None:
    noisy = np.array([0.3 - 0.2, 0.2 - 0.1, 0.1])  # three times 0.1, up to the last bits
    assert len(set(noisy.tolist())) > 1
    assert own.wilcoxon([*noisy, -0.1]) == own.wilcoxon([1, 1, 1, -1])
    assert own.wilcoxon([0.3 - 0.2 - 0.1]) == 1


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
