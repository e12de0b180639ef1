"""A suite that trains in every way, disturbed at moments that are counted in steps of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import toy

HOOK = Path(__file__).parent / "chaos" / "hook"
DECAY = {"name": "decay", "recipe": "penalty", "options": {"steps": 5}}
TRAINS: dict[str, Any] = {
    "methods": [
        "l1",
        "tpp",
        {"criterion": "bn_scale", "prepare": {"name": "bn_slimming", "recipe": "penalty"}},
        {"criterion": "jacobian", "procedure": DECAY, "as": "decay"},
        {"criterion": "l2", "iterative": {"steps": 2, "recover": "tiny"}, "as": "iterative"},
    ],
    "recipes": {
        "tiny": {"epochs": 2, "batch_size": 40, "learning_rate": 0.05},
        "penalty": {"epochs": 3, "batch_size": 40, "learning_rate": 0.02, "schedule": "constant"},
    },
}
TRIALS = 20


class Disturbed:
    """Runs of one command in one results folder, each disturbed in its own way."""

    def __init__(self, session: Path, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        toy.prepared(session, self.results)
        self.temp = folder / "temp"
        self.temp.mkdir()
        suite = toy.write_suite(folder, **TRAINS)
        given = ("--results", self.results, "--workers", 2)
        self.arguments = ("run", "--allow-untrained", suite, *given)
        self.runs = 0

    def start(self, kills: Sequence[dict[str, Any]] = (), full: int | None = None) -> toy.Running:
        self.runs += 1
        self.log = self.folder / f"steps-{self.runs}"
        chaos = {"results": str(self.results), "log": str(self.log), "kills": kills, "full": full}
        return toy.Running(
            *self.arguments,
            log=self.folder / f"run-{self.runs}",
            CHAOS=json.dumps(chaos),
            PYTHONPATH=os.pathsep.join([str(HOOK), toy.environment()["PYTHONPATH"]]),
            TMPDIR=str(self.temp),
        )

    def run(self, kills: Sequence[dict[str, Any]] = (), full: int | None = None) -> toy.Running:
        """One run to its end; no process outlives it for long."""
        one = self.start(kills, full)
        try:
            toy.until(lambda: one.children() is None or one.process.poll() is not None)
            toy.until(lambda: not one.orphans(), what=f"for {one.orphans()} to end")
        finally:
            one.end()
        return one

    def steps(self) -> list[str]:
        """What the last run has counted."""
        return [line.rstrip() for line in self.log.read_text().splitlines()]

    def killed(self) -> list[str]:
        """Whom the last run has lost, and at which step."""
        file = Path(f"{self.log}.killed")
        return [line.rstrip() for line in file.read_text().splitlines()] if file.exists() else []
