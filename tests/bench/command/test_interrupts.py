"""Ctrl-C at any moment is one line and exit code 130, also while modules load and workers start."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import toy

INTERRUPTED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, *rest):
        if name == where:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

where = sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a test run may have ignored
sys.meta_path.insert(0, Finder())
from bench.command.entry import main
main()
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("bench.command.cli", ["list", "criteria"]),
        ("pydantic", ["list", "criteria"]),
        ("bench.plan.makers", ["plan", "quickstart"]),
        ("criteria.saliency.taylor", ["list", "criteria"]),
        ("torch", ["check", "l1"]),
    ],
)
def test_while_modules_load(module: str, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module, *arguments],
        capture_output=True,
        text=True,
        env=toy.environment(),
        timeout=toy.PATIENCE,
        check=False,
    )
    assert done.returncode == 130, done
    assert done.stderr == "interrupted\n"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_while_workers_start(session: Path, tmp_path: Path, workers: int) -> None:
    """As a terminal sends it, to all processes at once, from a worker's first moment on."""
    results, suite = toy.prepared(session, tmp_path / "results"), toy.write_suite(tmp_path)
    given = ("run", "--allow-untrained", suite, "--results", results, "--workers", workers)
    with toy.running(*given, log=tmp_path / "log") as one:
        toy.until(lambda: len(one.workers()) == workers, one)
        one.signal(signal.SIGINT, group=True)
        assert one.wait() == 130
        assert one.err.startswith("interrupted; finished trials are kept")
        assert len(one.err.splitlines()) == 1
        toy.until(lambda: not one.orphans())
