"""What a design can show, before any run: the power of its tests where noise is normal.

Differences are in base SDs: the standard deviation of one method's score over bases. Two methods'
paired difference has root two of it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from .these_problems import MeanDifference, on_these_problems

TARGET = 0.8
_EXPERIMENTS = 4000
_SEED = 20260101
_LARGEST = 200.0  # base SDs


@lru_cache(maxsize=64)
def _experiments(problems: int, bases: int) -> MeanDifference:
    """Seeded experiments of two methods without a difference."""
    rng = np.random.default_rng([_SEED, problems, bases])
    drawn = np.sqrt(2) * rng.standard_normal((_EXPERIMENTS, problems, bases))
    return on_these_problems(drawn, floor=True)


def power_on_these(problems: int, bases: int, effect: float, level: float) -> float:
    """Share of 4,000 seeded experiments in which `on_these_problems` rejects; error about 0.007.

    `problems`, `bases`: of the design; every problem has the same spread. `effect`: difference of
    two methods in base SDs. `level`: two-sided, of the one test.
    """
    found = _experiments(problems, bases)
    return float(np.mean(replace(found, mean=found.mean + effect).p_values <= level))


def power_of_blocks(blocks: int, effect: float, level: float) -> float:
    """How probable it is that Student's paired test over blocks rejects: exact.

    `blocks`: independent differences. `effect`: their mean, in their SD. `level`: two-sided.
    """
    if blocks < 2:
        return 0.0
    from scipy.stats import f, ncf  # loads slowly; scipy.special's is NaN at large shifts

    freedom, shift = blocks - 1, blocks * max(effect**2, 1e-9)  # ncf takes no shift of 0
    return float(ncf.sf(f.isf(level, 1, freedom), 1, freedom, shift))


def detectable(power: Callable[[float], float]) -> float | None:
    """Smallest effect that is found with 80 % power, to 0.1; None where none below 200 is."""
    if power(_LARGEST) < TARGET:
        return None
    low, high = 0.0, _LARGEST
    while high - low > 0.02:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= TARGET else (middle, high)
    return round(high, 1)
