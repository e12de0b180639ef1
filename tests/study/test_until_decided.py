"""Deciding look by look keeps the level, contradicts the full plan nowhere, and saves trials."""

from __future__ import annotations

import pytest
from study.until_decided import World, outcomes

pytestmark = pytest.mark.slow
LEVEL, EXPERIMENTS = 0.06, 500


@pytest.mark.parametrize(
    "world",
    [
        World(5, 1, mixed=False),
        World(5, 3, mixed=True),
        World(40, 3, mixed=True),
        World(40, 2, mixed=True, noise="heavy"),
        World(5, 2, mixed=True, noise="unequal"),
    ],
    ids=lambda world: "-".join(map(str, vars(world).values())),
)
def test_errors_over_all_looks_stay_within_the_level(world: World) -> None:
    found = outcomes(world, EXPERIMENTS)
    assert found["wrong"].mean() <= LEVEL
    assert found["wrong_pair"].mean() <= LEVEL
    assert found["opposite"].sum() == 0
    assert found["same"].mean() >= 0.9


def test_large_differences_are_decided_with_fewer_trials() -> None:
    found = outcomes(World(40, 3, mixed=True), EXPERIMENTS)
    assert found["saved"].mean() >= 0.1
    assert found["told"].mean() >= found["full_told"].mean() - 0.08
