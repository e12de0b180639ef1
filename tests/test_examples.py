"""Examples in docstrings are run, and every door of the house has one."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import import_graph
import pytest
import toy
from sources import unregistering

FILES = import_graph.modules(toy.CHECKOUT)

# What users of the library call or build on, as they import it.
DOORS = (
    "bench.conformance.check_on",
    "bench.data.datasets.load_dataset",
    "bench.models.build_model",
    "bench.prune",
    "bench.pruning.network.Network",
    "bench.plan.plan.make_plan",
    "bench.store.store.Store",
    "criteria.Criterion",
    "criteria.register",
    "criteria.score",
    "criteria.procedures.procedure.Procedure",
    "criteria.recoveries.recovery.Recovery",
    "reports.analysis.analysis.analyse",
    "reports.build.build_report",
    "suites.load_suite",
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def with_examples() -> list[str]:
    return [name for name, path in FILES.items() if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", with_examples())
def test_examples_are_true(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In an empty folder, as an example may write what it likes; what it registers is its own."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    with unregistering():
        result = doctest.testmod(module, optionflags=FLAGS)
    assert result.failed == 0, capsys.readouterr().out
    assert result.attempted > 0, f"{name} has >>>, but in no docstring that doctest looks at"


@pytest.mark.parametrize("door", DOORS)
def test_every_door_has_an_example(door: str) -> None:
    module, _, name = door.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    examples = [each.examples for each in doctest.DocTestFinder().find(found, name)]
    assert any(examples), f"{door} has no example in its docstring"
