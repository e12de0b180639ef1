"""What many trials cost, in CPU seconds and memory: planning 100,000, and 12,480 records.

pytest tests/benchmarks/test_scale.py --benchmark-only -m '' -s

The records are made up for the quickstart's trials with twelve times as many bases.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import synthetic
import toy
import yaml
from pytest_benchmark.fixture import BenchmarkFixture

from bench.plan.outline import Outline, record_suite
from bench.plan.plan import make_plan
from bench.store.store import Store
from bench.tracking import Experiment
from reports.records import Epoch
from suites import load_suite

LOGGED = 50  # records in MLflow: a hundred commits of SQLite each are slow on some disks


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a record file for every trial, of about the size of real ones."""
    suite = load_suite("quickstart", ["bases=60", "suite=many"])
    planned, store = make_plan(suite), Store(tmp_path_factory.mktemp("many"))
    assert len(planned.trials) == 12_480
    widths = {f"layer{number}.conv": (number + 8, 32) for number in range(20)}
    epochs = [Epoch(epoch=number, train_loss=0.1, validation_top1=0.9) for number in range(5)]
    for at, one in enumerate(planned.trials):
        made = synthetic.record(
            one.labels, 0.5 + at % 97 / 250, widths=widths, history=epochs,
            layer_sparsity=dict.fromkeys(widths, 0.3),
        )  # fmt: skip
        store.write_record(made.model_copy(update={"key": one.key, "identity": one.identity}))
    record_suite(planned, [], store)
    return store.root


def verb(benchmark: BenchmarkFixture, *arguments: object) -> None:
    """Run `bench ...` once, and print what it took."""

    def run() -> tuple[int, os._Rusage]:
        command = [*toy.COMMAND, *map(str, arguments)]
        begun = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=toy.environment())
        _, ended, usage = os.wait4(begun.pid, 0)
        begun.returncode = os.waitstatus_to_exitcode(ended)
        return begun.returncode, usage

    code, usage = benchmark.pedantic(run, rounds=1)
    assert code == 0
    cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    benchmark.extra_info.update({"cpu_s": cpu, "peak_mb": memory})
    print(f"\nbench {arguments[0]}: {cpu:.1f} s of CPU, {memory:.0f} MB")


def test_planning_a_hundred_thousand_trials(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    suite = yaml.safe_load(Path(toy.CHECKOUT / "suites/library/quickstart.yaml").read_text())
    del suite["scales"]
    file = tmp_path / "large.yaml"
    file.write_text(yaml.safe_dump({**suite, "suite": "large", "bases": 50, "repeats": 12}))
    toy.bench("plan", "quickstart", "--results", tmp_path)  # sizes of networks, which need torch
    verb(benchmark, "plan", file, "--results", tmp_path)


def test_status(benchmark: BenchmarkFixture, results: Path) -> None:
    verb(benchmark, "status", "many", "--results", results)


def test_report_with_all_figures(
    benchmark: BenchmarkFixture, results: Path, tmp_path: Path
) -> None:
    verb(benchmark, "report", "many", "--results", results, "--out", tmp_path)
    assert (tmp_path / "index.html").exists()


@pytest.mark.parametrize("options", [(), ("--unpack",)], ids=["", "unpack"])
def test_pack(
    benchmark: BenchmarkFixture, results: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    shutil.copytree(results, tmp_path / "results")
    if options:
        toy.bench("pack", "--results", tmp_path / "results")
    verb(benchmark, "pack", *options, "--results", tmp_path / "results")


def test_status_of_packed_records(
    benchmark: BenchmarkFixture, results: Path, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "results")
    toy.bench("pack", "--results", tmp_path / "results")
    verb(benchmark, "status", "many", "--results", tmp_path / "results")


def test_a_record_in_mlflow(benchmark: BenchmarkFixture, results: Path, tmp_path: Path) -> None:
    outline = make_plan(load_suite("quickstart", ["bases=60", "suite=many"]))
    few = Outline(outline.suite, outline.trials[: LOGGED + 1])
    first, *records = few.records(Store(results))
    experiment = Experiment(tmp_path, few.suite)
    experiment.write(first)  # begins everything

    def log() -> float:
        begun = time.process_time()
        for one in records:
            experiment.write(one)
        return 1000 * (time.process_time() - begun) / LOGGED

    taken = benchmark.pedantic(log, rounds=1)
    benchmark.extra_info["cpu_ms_a_record"] = taken
    print(f"\na record in MLflow: {taken:.0f} ms of CPU")
