"""Packages of the field as oracles: optional, `make oracles` installs them and runs this.

They are no dependencies of the project; where they are not installed these tests are skipped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reports import statistics as own


@pytest.fixture(scope="module")
def posthocs() -> Any:
    return pytest.importorskip("scikit_posthocs")


@pytest.fixture(scope="module")
def baycomp() -> Any:
    return pytest.importorskip("baycomp")


@pytest.mark.parametrize("seed", range(5))
def test_nemenyi(posthocs: Any, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 9, (11, 5)).astype(float)
    expected = posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    assert own.nemenyi(own.mean_ranks(scores), 11).p == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_with_holm(posthocs: Any, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(12, 4))
    expected = posthocs.posthoc_wilcoxon(list(scores.T), p_adjust="holm").to_numpy()
    assert own.pairwise(scores).adjusted == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rope", [0, 0.3])
def test_bayesian_signed_rank(baycomp: Any, seed: int, rope: float) -> None:
    d = np.random.default_rng(seed).normal(0.2, 1, 14)
    found = own.bayesian_signed_rank(d, rope)
    expected = baycomp.SignedRankTest.sample(np.zeros(14), d, rope, nsamples=20_000, random_state=0)
    shares = np.bincount(expected.argmax(axis=1), minlength=3) / 20_000
    # Standard error of two such shares: at most 0.0042; three of them.
    assert (found.worse, found.equivalent, found.better) == pytest.approx(shares, abs=0.013)
