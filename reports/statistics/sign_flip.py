"""Test of a mean paired difference by flipping signs: for the few bases of one problem."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import rounded

EXACT = 20  # up to 2^20 signs are enumerated
DRAWS = 100_000


def sign_flip(differences: ArrayLike, seed: int = 0) -> float:
    """Two-sided p of the mean over all 2^N signs; beyond 20 differences, over 100,000 seeded ones.

    Exact for differences symmetric about zero. The smallest p is 2^(1-N). Where several values
    belong to one block (budgets of a problem), give their mean: a block's signs flip together.

    Args:
        differences: [N], rounded to 1e-9.

    >>> sign_flip([1.2, 0.4, 0.9, -0.1, 0.6, 1.1])  # 4 of 64 signs
    0.0625
    """
    d = rounded(differences)
    observed = abs(d.sum()) - 1e-9 * d.size  # sums in another order round otherwise
    if d.size > EXACT:
        signs = np.random.default_rng(seed).integers(0, 2, (DRAWS, d.size), dtype=np.int8)
        hits = int((np.abs((2 * signs - 1) @ d) >= observed).sum())
        return (hits + 1) / (DRAWS + 1)
    sums = np.zeros(1)
    for difference in d:
        sums = np.concatenate([sums + difference, sums - difference])
    return float((np.abs(sums) >= observed).mean())
