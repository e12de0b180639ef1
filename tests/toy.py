"""A toy suite whose results come in seconds, the command as people run it, and what must be equal.

Two runs of one suite agree when `outcomes` of their folders are equal: everything that records hold
but for costs, latency, and the times and process count in their provenance.
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import yaml
from filelock import FileLock
from hypothesis import settings

from reports.records import Record, parse_record
from suites import Suite

settings.register_profile("no-timing", deadline=None)
settings.load_profile("no-timing")

PATIENCE = 240.0  # seconds after which a test gives up; a deadline, never an expectation

TOY: dict[str, Any] = {
    "suite": "toy",
    "description": "A few methods on a few digits.",
    "datasets": [{"name": "digits", "train_images": 160, "test_images": 60}],
    "models": ["vgg_small"],
    "methods": [
        "random",
        "l1",
        {"criterion": "taylor", "matched": ["l1"]},
        {"criterion": "l2", "iterative": {"steps": 2}},
    ],
    "budgets": {"macs": [0.7, 0.5]},
    "bases": 1,
    "base_recipe": "tiny",
    "recoveries": ["none", {"finetune": "tiny"}],
    "recipes": {"tiny": {"epochs": 1, "batch_size": 40, "learning_rate": 0.05}},
    "calibration": {"images": 32, "batch_size": 16},
    "measure": {"deployed": []},
    "analysis": {"control": "l1"},
    "scales": {
        "smoke": {"methods": ["l1"], "budgets": {"macs": [0.5]}, "recoveries": ["none"]},
    },
}
TRIALS = 20


def content(**changes: Any) -> dict[str, Any]:
    """The toy suite with some keys replaced."""
    return {**copy.deepcopy(TOY), **changes}


def suite(**changes: Any) -> Suite:
    return Suite.model_validate(content(**changes))


def write_suite(folder: Path, name: str = "toy", **changes: Any) -> Path:
    """The toy suite as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content(suite=name, **changes), sort_keys=False))
    return path


# --- what must be equal -------------------------------------------------------------------------


def outcome(record: Record) -> dict[str, Any]:
    """All of a record that is a function of its key."""
    found = record.model_dump(mode="json", exclude={"costs", "provenance"})
    if found["measurements"] is not None:
        del found["measurements"]["latency"]
    found["base_sha256"] = record.provenance.get("base_sha256")
    return found


def records(results: Path) -> list[Record]:
    """Every record of a folder; a torn one fails the test."""
    files = sorted((results / "records").glob("*.json"))
    return [parse_record(file.read_bytes(), file.name, file.stem) for file in files]


def outcomes(results: Path) -> dict[str, dict[str, Any]]:
    return {record.key: outcome(record) for record in records(results)}


def count(results: Path) -> int:
    return len(list((results / "records").glob("*.json")))


def plugin(
    folder: Path, name: str, observe: str, *, rest: str = "", needs: str = "WEIGHTS"
) -> Path:
    """A file with one criterion; `observe` and `rest` are the bodies of its methods."""
    path = folder / f"{name}.py"
    path.write_text(
        f"""
import os, signal, sys, time
import torch
from criteria import Criterion, register

@register("{name}", cite="nobody", faithful="a test")
class Mine(Criterion):
    def observe(self, batch):
        {observe}
        for member in self.members:
            self.add(member, member.view(batch.weights).abs().sum(1))
{rest}
"""
    )
    return path


def left_over(results: Path) -> list[Path]:
    """Half-written files."""
    return sorted(results.rglob("*.part"))


def trial_runs(results: Path) -> list[str]:
    """Keys of the trial runs that MLflow shows, read from its database."""
    query = (
        "select k.value from runs r join tags t using (run_uuid) join tags k using (run_uuid) "
        "where r.lifecycle_stage = 'active' and t.key = 'role' and t.value = 'trial' "
        "and k.key = 'trial.key'"
    )
    with contextlib.closing(sqlite3.connect(results / "mlflow.db")) as database:
        return sorted(key for (key,) in database.execute(query))


# --- the command --------------------------------------------------------------------------------

COMMAND = [sys.executable, "-c", "from bench.command.entry import main; main()"]
CHECKOUT = Path(__file__).resolve().parent.parent
VECTORS = CHECKOUT / "tests" / "vectors"


def environment(**more: str) -> dict[str, str]:
    """A subprocess finds the packages before anything, then the helpers of the tests.

    `tests/bench` and its like are folders without `__init__`, which Python takes for the packages
    where these come from an import hook of pip's only, as after `pip install --editable`. Parallel
    tests have a width of terminals in their environment, which would break lines in pipes.
    """
    left_out = ("MLFLOW_TRACKING_URI", "COLUMNS")
    found = {name: value for name, value in os.environ.items() if name not in left_out}
    paths = [str(CHECKOUT), str(CHECKOUT / "tests"), *filter(None, [found.get("PYTHONPATH")])]
    return {**found, "PYTHONPATH": os.pathsep.join(paths), **more}


def bench(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `bench ...` to its end; keywords are environment variables."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=PATIENCE,
        check=False,
    )


def _heed_interrupts() -> None:
    """A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# What processes of workers are called: local ones, Ray's, and submitit's.
WORKERS = ("spawn_main", "ray::_Called", "submitit.core._submit")


class Running:
    """A `bench ...` under way, in a process group of its own."""

    def __init__(self, *arguments: object, log: Path, **more: str) -> None:
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                stdout=out,
                stderr=err,
                env=environment(**more),
                start_new_session=True,
                preexec_fn=_heed_interrupts,
            )
        self._children: dict[int, psutil.Process] = {}

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def children(self) -> list[psutil.Process]:
        """Every process below the front that has been seen so far."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self._children[child.pid] = child
        return list(self._children.values())

    def workers(self) -> list[psutil.Process]:
        """Living worker processes, not multiprocessing's own helper."""
        found = []
        for child in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                alive = child.status() != psutil.STATUS_ZOMBIE
                if alive and any(one in " ".join(child.cmdline()) for one in WORKERS):
                    found.append(child)
        return found

    def signal(self, number: int, *, group: bool = False) -> None:
        if group:
            os.killpg(self.process.pid, number)
        else:
            os.kill(self.process.pid, number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def orphans(self) -> list[psutil.Process]:
        """Processes of the run that still live."""
        found = []
        for child in self._children.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
        return found

    def end(self) -> None:
        """Leave nothing behind, whatever a test has found."""
        self.children()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for child in self.orphans():
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def running(*arguments: object, log: Path, **more: str) -> Iterator[Running]:
    one = Running(*arguments, log=log, **more)
    try:
        yield one
    finally:
        one.end()


def until(condition: Callable[[], Any], run: Running | None = None, what: str = "") -> None:
    """Poll until something is so; a run that ends first, or the deadline, fails the test."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if run is not None and run.process.poll() is not None and not condition():
            raise AssertionError(f"ended with {run.process.returncode}: {run.out}{run.err}")
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:.0f} s in vain {what}")
        time.sleep(0.005)


# --- shared by all tests of a session -----------------------------------------------------------


@cache
def finished(session: Path) -> Path:
    """Results of the toy suite, undisturbed, by two workers; the same for every test: copy them.

    The first process of a parallel test run that asks makes them, and the others wait.
    """
    results, whole = session / "finished", session / "finished.whole"
    schema = _empty_database(session)
    with FileLock(session / "finished.lock"):
        if not whole.exists():
            results.mkdir()
            (results / "mlflow.db").write_bytes(schema)
            suite = write_suite(session / "suite")
            done = bench("run", "--allow-untrained", suite, "--results", results, "--workers", 2)
            assert done.returncode == 0, done.stdout + done.stderr
            assert count(results) == TRIALS
            whole.touch()
    return results


@cache
def _empty_database(folder: Path) -> bytes:
    """MLflow's empty database; making one takes longer than the toy suite."""
    path, whole = folder / "empty.db", folder / "empty.whole"
    folder.mkdir(exist_ok=True)
    code = (
        "import sys; from mlflow import MlflowClient; "
        "MlflowClient('sqlite:///' + sys.argv[1]).search_experiments()"
    )
    with FileLock(folder / "empty.lock"):
        if not whole.exists():
            subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True)
            whole.touch()
    return path.read_bytes()


def copied(session: Path, results: Path) -> Path:
    """The finished results for a test to change; MLflow's database holds none of them yet."""
    prepared(session, results)
    left_out = shutil.ignore_patterns("mlflow*", ".lock")
    return Path(shutil.copytree(finished(session), results, ignore=left_out, dirs_exist_ok=True))


def prepared(session: Path, results: Path) -> Path:
    """A results folder with nothing in it but MLflow's empty database."""
    results.mkdir(parents=True)
    (results / "mlflow.db").write_bytes(_empty_database(session))
    return results
