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


@pytest.mark.parametrize("seed", range(5))
def test_nemenyi(posthocs: Any, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 9, (11, 5)).astype(float)
    expected = posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    assert own.nemenyi(own.ranks(scores).mean(axis=0), 11).p == pytest.approx(expected, abs=1e-6)
