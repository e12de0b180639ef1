"""Friedman, its post-hoc tests, pairs and cliques: vectors V1-V4 of the literature, properties."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from reports import statistics as own

VECTORS: dict[str, Any] = json.loads((toy.VECTORS / "statistics.json").read_text(encoding="utf-8"))
DEMSAR = VECTORS["demsar"]
SCORES = np.array(DEMSAR["scores"])

# Half of the last digit printed.
PRINTED = 6e-7

# Whole numbers, so that ties are frequent and no rounding makes or breaks them.
tables = st.tuples(st.integers(2, 7), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(-4, 4))
)


def test_demsar_friedman() -> None:
    found = own.friedman(SCORES)
    assert (own.ranks(SCORES).sum(axis=0) == DEMSAR["rank_sums"]).all()
    assert found.statistic == pytest.approx(DEMSAR["chi2"], rel=1e-12)
    assert found.p_value == pytest.approx(DEMSAR["p"], rel=1e-12)
    assert found.kendall_w == pytest.approx(DEMSAR["kendall_w"], abs=PRINTED)


def test_demsar_with_the_tie_as_printed() -> None:
    printed = SCORES.copy()
    printed[printed == 0.9751] = 0.975
    found, expected = own.friedman(printed), DEMSAR["printed_tie"]
    assert found.statistic == pytest.approx(expected["chi2"], abs=PRINTED)
    assert found.p_value == pytest.approx(expected["p"], abs=PRINTED)
    assert found.mean_ranks == pytest.approx(expected["mean_ranks"], abs=PRINTED)


def test_demsar_nemenyi_and_cliques() -> None:
    means = own.ranks(SCORES).mean(axis=0)
    for alpha, (_, difference) in DEMSAR["nemenyi"].items():
        found = own.nemenyi(means, 14, float(alpha))
        assert found.critical_difference == pytest.approx(difference, abs=PRINTED)
    p = own.nemenyi(means, 14).p
    for pair, expected in DEMSAR["nemenyi_p"].items():
        assert p[int(pair[0]), int(pair[1])] == pytest.approx(expected, abs=PRINTED)
    for alpha, expected in DEMSAR["cliques"].items():
        assert [list(one) for one in own.cliques(means, p, float(alpha))] == expected


def test_demsar_wilcoxon_with_zeros_split() -> None:
    d = SCORES[:, 1] - SCORES[:, 0]
    ranks = stats.rankdata(np.abs(np.round(d, 9)))
    assert ranks.tolist() == [3.5, 7, 9, 12, 5, 3.5, 6, 1.5, 14, 1.5, 11, 13, 8, 10]
    # Demsar's approximation, z from the smaller sum; the exact p is what the report gives.
    z = (12 - 14 * 15 / 4) / np.sqrt(14 * 15 * 29 / 24)
    assert (z, 2 * stats.norm.cdf(z)) == pytest.approx((-2.542448, 0.011008), abs=PRINTED)


def test_demsar_other_tests_of_the_same_pair() -> None:
    d = SCORES[:, 1] - SCORES[:, 0]
    alone = own.on_these_problems(d[None, None])
    assert alone.p_values == pytest.approx(0.0137558, abs=6e-8)
    assert stats.ttest_1samp(d, 0).statistic == pytest.approx(2.846237, abs=PRINTED)


@pytest.mark.parametrize("alpha", ["0.05", "0.1"])
def test_critical_values_are_those_of_the_tables(alpha: str) -> None:
    table = VECTORS["nemenyi_q"][alpha]
    for k, q in enumerate(table, start=2):
        # In N = K (K + 1) / 6 blocks the difference is q itself; sixfold, so that N is whole.
        found = own.nemenyi(range(k), k * (k + 1), float(alpha)).critical_difference
        assert found * 6**0.5 == pytest.approx(q, abs=1e-3)  # printed digits, and theirs


def test_critical_difference_of_four_methods_on_thirty_problems() -> None:
    found = own.nemenyi([1, 2, 3, 4], 30).critical_difference
    assert found == pytest.approx(0.856344, abs=PRINTED)


@pytest.mark.parametrize("name", ["zar", "twelve_rows"])
def test_friedman_of_other_data(name: str) -> None:
    given_ = VECTORS[name]
    costs = np.array(given_["columns"]).T
    found = own.friedman(-costs)  # rank 1 for the smallest, as there
    assert found.statistic == pytest.approx(given_["chi2"], rel=1e-12)
    assert found.p_value == pytest.approx(given_["p"], rel=1e-12)
    if name == "zar":
        assert (own.ranks(-costs).sum(axis=0) == given_["rank_sums"]).all()


def test_derrac() -> None:
    derrac = VECTORS["derrac"]
    nine = derrac["nine"]
    means = np.array(nine["mean_ranks"])
    # From mean ranks alone: the formula of `friedman` without ties.
    chi2 = 12 * 25 / 90 * ((means - 5) ** 2).sum()
    assert chi2 == pytest.approx(nine["chi2"], abs=6e-6)
    assert 24 * chi2 / (25 * 8 - chi2) == pytest.approx(nine["f"], abs=PRINTED)
    assert own.nemenyi(means, 25).critical_difference == pytest.approx(nine["cd"], abs=PRINTED)
    found = own.friedman(-np.array(derrac["toy"]["costs"])).mean_ranks
    assert list(found) == derrac["toy"]["mean_ranks"]
    assert own.holm(derrac["raw"]) == pytest.approx(derrac["holm"], abs=PRINTED)


@given(tables)
def test_friedman_is_scipys_and_obeys_its_symmetries(table: np.ndarray) -> None:
    k = table.shape[1]
    found = own.friedman(table)
    assert sum(found.mean_ranks) == pytest.approx(k * (k + 1) / 2)
    if k > 2 and (table != table[:, :1]).any():
        expected = stats.friedmanchisquare(*table.T)
        assert found.statistic == pytest.approx(expected.statistic, abs=1e-9)
        assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    order = np.roll(np.arange(k), 1)
    turned = own.friedman(table[:, order])
    assert turned.mean_ranks == pytest.approx(np.array(found.mean_ranks)[order])
    assert turned.statistic == pytest.approx(found.statistic)
    monotone = own.friedman(np.exp(table / 2.0))
    assert monotone.mean_ranks == found.mean_ranks
    reversed_ = own.friedman(-table)
    assert reversed_.statistic == pytest.approx(found.statistic)
    assert np.array(reversed_.mean_ranks) == pytest.approx(k + 1 - np.array(found.mean_ranks))
    twin = own.friedman(np.column_stack([table, table[:, 0]])).mean_ranks
    assert twin[0] == twin[-1]


@given(st.integers(1, 8), st.integers(2, 6))
def test_identical_methods_and_a_total_order(n: int, k: int) -> None:
    same = own.friedman(np.ones((n, k)))
    assert (same.statistic, same.p_value) == (0, 1)
    ordered = own.friedman(np.tile(np.arange(k), (n, 1)))
    assert ordered.statistic == pytest.approx(n * (k - 1))
    assert ordered.kendall_w == pytest.approx(1)


def test_a_failed_method_takes_the_worst_rank() -> None:
    scores = [[3.0, np.nan, 1.0], [np.nan, 2.0, np.nan]]
    assert own.ranks(scores).tolist() == [[1, 3, 2], [2.5, 1, 2.5]]


def test_nemenyi_depends_on_the_pool() -> None:
    """Benavoli 2016: poor methods between nobody move the p of two others."""
    rng = np.random.default_rng(1)
    two = rng.normal([0.8, 0], 1, (12, 2))
    poor = rng.normal(-9, 1, (12, 3))
    alone = own.nemenyi(own.ranks(two).mean(axis=0), 12).p[0, 1]
    with_poor = own.nemenyi(own.ranks(np.hstack([two, poor])).mean(axis=0), 12).p[0, 1]
    assert with_poor > alone + 0.2


def by_brute_force(ranks: np.ndarray, p: np.ndarray, alpha: float) -> list[tuple[int, ...]]:
    order = np.argsort(ranks, kind="stable").tolist()
    runs = [
        tuple(order[a:b])
        for a, b in combinations(range(len(order) + 1), 2)
        if b - a > 1 and all(p[i, j] > alpha for i, j in combinations(order[a:b], 2))
    ]
    return [one for one in runs if not any(set(one) < set(other) for other in runs)]


@given(st.integers(2, 7), st.integers(0, 2**32 - 1), st.floats(0.02, 0.6))
def test_cliques_are_the_maximal_runs(k: int, seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    ranks, p = rng.uniform(1, k, k), rng.uniform(0, 1, (k, k))
    p = (p + p.T) / 2
    found = own.cliques(ranks, p, alpha)
    assert found == by_brute_force(ranks, p, alpha)


def test_no_bar_across_methods_that_differ_inside() -> None:
    """The ends do not differ, two inner ones do: one bar over all four would lie."""
    p = np.ones((4, 4))
    p[1, 2] = p[2, 1] = 0.01
    assert own.cliques([1, 2, 3, 4], p, 0.05) == [(0, 1), (2, 3)]
    assert own.cliques([1, 2, 3, 4], np.zeros((4, 4)), 0.05) == []
