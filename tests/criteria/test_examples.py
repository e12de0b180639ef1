"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
from sources import forgetting

from criteria.source import PACKAGE

WITH_EXAMPLES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text()]
CONTRACT = ("criterion", "phases", "plugin", "registry", "score", "selector")
DOORS = {*CONTRACT, "preparation", "procedure", "recovery"}


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path: Path) -> None:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    with forgetting():
        failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0


def test_every_door_has_an_example() -> None:
    assert {path.stem for path in WITH_EXAMPLES} >= DOORS
