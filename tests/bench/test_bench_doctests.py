"""The examples in docstrings of `bench` run and say what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest
import toy

EXAMPLES = [
    ".".join(path.relative_to(toy.CHECKOUT).with_suffix("").parts)
    for path in sorted((toy.CHECKOUT / "bench").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0 < result.attempted


def test_the_public_doors_have_an_example() -> None:
    doors = ("pruning.prune", "pruning.network", "models.registry", "data.datasets")
    assert {f"bench.{door}" for door in (*doors, "conformance.check")} <= set(EXAMPLES)
