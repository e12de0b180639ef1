"""Which methods nothing tells apart: a vector of the literature, brute force, a run in between."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports import statistics as own

VECTORS: dict[str, Any] = json.loads((toy.VECTORS / "statistics.json").read_text(encoding="utf-8"))
DEMSAR = VECTORS["demsar"]


@pytest.mark.parametrize("alpha", DEMSAR["cliques"])
def test_demsar_cliques(alpha: str) -> None:
    p = np.ones((4, 4))
    for pair, value in DEMSAR["nemenyi_p"].items():
        i, j = map(int, pair)
        p[i, j] = p[j, i] = value
    found = own.cliques(DEMSAR["rank_sums"], p, float(alpha))
    assert [list(one) for one in found] == DEMSAR["cliques"][alpha]


def test_demsar_paired_t_of_two_methods() -> None:
    scores = np.array(DEMSAR["scores"])
    d = scores[:, 1] - scores[:, 0]
    assert own.on_these_problems(d[None, None]).p_values == pytest.approx(0.0137558, abs=6e-8)
    assert stats.ttest_1samp(d, 0).statistic == pytest.approx(2.846237, abs=6e-7)


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
