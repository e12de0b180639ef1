"""CPU time of suites beside a plain script that does the same, and beside their networks' own work.

pytest tests/benchmarks/test_arithmetic.py -m '' --benchmark-only -s

BENCH_SCALE (0.1; 1 for the sizes that the figures are promised for) says how much of it is run.
"""

from __future__ import annotations

import copy
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from beside_plain import (
    CRITERIA,
    SCALE,
    Bare,
    checkpoint,
    cpu,
    few,
    finetune,
    loaders,
    plugin,
    pruner,
    scaled,
    step,
    top1,
)
from inline_runs import Silent, measured
from rich.console import Console
from torch import nn

from bench.executors import make_executor
from bench.plan.plan import make_plan
from bench.run.run import Run
from bench.run.session import Request, session
from bench.steps.workspace import Settings, Workspace
from bench.store.store import Store
from criteria import load_plugin
from suites import Suite

HALF = {"precision": "bf16"}
pytestmark = pytest.mark.timeout(0)  # minutes at the promised sizes, whatever else runs


def ours(results: Path, suite: dict[str, Any], half: bool) -> tuple[float, Bare, float]:
    """CPU seconds of a suite in this process, those of its networks run bare, MACs kept."""
    plan, bare = make_plan(Suite.model_validate(suite)), Bare()
    store, settings = Store(results), Settings(results, results)

    def go() -> None:
        executor = make_executor("inline", settings, 1, None)
        found = Run(plan.pending([]), store, executor, Silent()).to_its_end()
        assert set(found) == {"done"}, found

    with bare.watching(half=half):
        spent = cpu(go)
    kept = [one.macs / one.dense_macs for one in map(measured, store.all_records()[0])]
    return spent - bare.seconds - bare.aside, bare, sum(kept) / len(kept)


def compare(
    results: Path, suite: dict[str, Any], plain: Callable[[], list[float]], what: str
) -> None:
    """Print the ratios; nothing of them is asserted."""
    macs: list[float] = []
    alone = cpu(lambda: macs.extend(plain()))
    print(f"\n{what}, at scale {SCALE:g} of the promised sizes")
    print(f"plain script: {alone:.1f} s CPU, {sum(macs) / len(macs):.1%} of the MACs kept")
    for half, how in ((False, {}), (True, HALF)):
        changed = {"evaluation": how, "calibration": {**suite["calibration"], **how}}
        changed["recipes"] = {
            name: {**one, "amp": "bf16"} if half else one
            for name, one in suite.get("recipes", {}).items()
        }
        # Which memory format is faster is asked once a machine, and not what is compared here.
        shutil.copytree(results.parent / "layouts", results / str(half) / "layouts")
        spent, bare, kept = ours(results / str(half), suite | changed, half)
        print(
            f"ours in {'bfloat16' if half else 'float32'}: {spent:.1f} s, {kept:.1%} of the MACs; "
            f"plain / ours {alone / spent:.2f}; bare {bare.seconds:.1f} s, the limit "
            f"{alone / bare.seconds:.2f}; ours / bare {spent / bare.seconds:.3f}; top-1 of "
            f"{len(bare.apart)} networks differs from contiguous float32 by {bare.apart} images"
        )
        assert spent > 0


def suite_of(model: dict[str, Any], images: dict[str, int], **more: Any) -> dict[str, Any]:
    dataset = {"name": "patterns", "options": images, "validation": 0.0}
    return {
        "suite": "beside-plain",
        "datasets": [dataset],
        "models": [model],
        "bases": 1,
        "selection": {"protect": 0.0, "scope": "local"},
        "measure": {"deployed": []},
        "analysis": {"control": "l1"},
        **more,
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = plugin(tmp_path)
    load_plugin(file)
    torch.set_num_threads(1)
    return Settings(tmp_path, tmp_path, plugins=(file,))


def splits(settings: Settings, suite: dict[str, Any]) -> Any:
    (base,) = {
        trial.at.base.key: trial.at.base for trial in make_plan(Suite(**suite)).trials
    }.values()
    return Workspace(settings).dataset(base)


@pytest.mark.slow
@pytest.mark.benchmark(group="suites beside a plain script")
def test_criteria_without_finetuning(benchmark: Any, tmp_path: Path, settings: Settings) -> None:
    """Optimal Brain Connection's protocol: 6 criteria, 18 steps of 5 % of the channels."""
    steps, repeats = scaled(18), 2
    model, dense = checkpoint(tmp_path, "resnet56", {"shortcut": "B"})
    images = {"train": few(1280), "test": few(4000)}
    suite = suite_of(
        model,
        images,
        methods=[
            {"criterion": name, "iterative": {"steps": steps}, "as": name} for name in CRITERIA
        ],
        budgets={"channels": [round(1 - 0.05 * (at + 1), 2) for at in range(steps)]},
        repeats=repeats,
        calibration={"images": few(1280), "batch_size": 128},
    )
    data = splits(settings, suite)

    def plain() -> list[float]:
        kept, tests = [], loaders(data.test, 500)
        whole, _ = tp_counts(dense)
        for _ in range(repeats):
            for name in CRITERIA:
                network = copy.deepcopy(dense)
                by = pruner(network, name, 0.05 * steps, steps)
                for _ in range(steps):
                    step(network, by, loaders(data.train, 128, shuffle=True))
                    top1(network, tests)
                    kept.append(tp_counts(network)[0] / whole)
        return kept

    what = f"{len(CRITERIA)} criteria, {steps} steps, {repeats} repeats, {images} images, ResNet-56"
    benchmark.pedantic(compare, (tmp_path / "results", suite, plain, what), rounds=1)


@pytest.mark.slow
@pytest.mark.benchmark(group="suites beside a plain script")
def test_finetuning(benchmark: Any, tmp_path: Path, settings: Settings) -> None:
    """24 trials of ResNet-20: 6 criteria, 2 budgets, 2 repeats, 2 epochs of finetuning."""
    model, dense = checkpoint(tmp_path, "resnet20", {"shortcut": "B"})
    images = {"train": few(5000), "test": few(1000)}
    criteria = CRITERIA[: max(1, round(6 * max(SCALE, 1 / 6)))]
    recipe = {"epochs": 2, "batch_size": 128, "learning_rate": 0.02}
    suite = suite_of(
        model,
        images,
        methods=[*criteria, *([] if "l1" in criteria else ["l1"])],
        budgets={"channels": [0.7, 0.5]},
        repeats=2,
        calibration={"images": few(1280), "batch_size": 128},
        recoveries=[{"finetune": "two"}],
        recipes={"two": recipe},
    )
    data, names = splits(settings, suite), suite["methods"]

    def plain() -> list[float]:
        kept, tests = [], loaders(data.test, 500)
        whole, _ = tp_counts(dense)
        for _ in range(2):
            for name in names:
                for share in (0.3, 0.5):
                    network = copy.deepcopy(dense)
                    some = torch.utils.data.Subset(
                        loaders(data.train, 128).dataset, range(few(1280))
                    )
                    step(
                        network,
                        pruner(network, name, share, 1),
                        torch.utils.data.DataLoader(some, 128),
                    )
                    finetune(network, loaders(data.train, 128, shuffle=True), 2, 0.02)
                    top1(network, tests)
                    kept.append(tp_counts(network)[0] / whole)
        return kept

    what = f"{4 * len(names)} trials, 2 epochs on {images['train']} images, ResNet-20"
    benchmark.pedantic(compare, (tmp_path / "results", suite, plain, what), rounds=1)


def tp_counts(model: nn.Module) -> tuple[float, float]:
    import torch_pruning as tp

    return tp.utils.count_ops_and_params(model, torch.randn(1, 3, 32, 32))


@pytest.mark.slow
@pytest.mark.benchmark(group="overhead of the harness")
def test_two_workers(benchmark: Any, tmp_path: Path, settings: Settings) -> None:
    """What a finetuning suite spends beside its networks, and what a second worker is worth."""
    model, _ = checkpoint(tmp_path, "resnet20", {"shortcut": "B"})
    trials = scaled(12)
    suite = suite_of(
        model,
        {"train": few(5000), "test": few(1000)},
        methods=["l1"],
        budgets={"channels": [0.7, 0.5]},
        repeats=trials,
        calibration={"images": 128, "batch_size": 128},
        recoveries=[{"finetune": "two"}],
        recipes={"two": {"epochs": 2, "batch_size": 128, "learning_rate": 0.02}},
    )
    plan = make_plan(Suite.model_validate(suite))
    splits(settings, suite)  # which memory format is faster here is asked once

    def at(workers: int) -> tuple[float, float]:
        """CPU and wall seconds of the whole command: look at inputs, run, log, report."""
        results = tmp_path / str(workers)
        shutil.copytree(tmp_path / "layouts", results / "layouts")
        request = Request(replace(settings, results=results), workers, allow_untrained=True)
        before, start = spent(), time.perf_counter()
        assert session(plan, request, Console(quiet=True)) == 0
        return spent() - before, time.perf_counter() - start

    def both() -> None:
        _, bare, _ = ours(tmp_path, suite, half=False)
        (one, one_wall), (two, two_wall) = at(1), at(2)
        print(
            f"\n{2 * trials} trials, 2 epochs on {few(5000)} images, at scale {SCALE:g}: bare "
            f"{bare.seconds:.0f} s CPU, {two:.0f} s by two workers, {1 - bare.seconds / two:.1%} "
            f"of it beside the networks; efficiency of two workers {one / two:.3f} by CPU, "
            f"{one_wall / two_wall / 2:.3f} by wall ({one_wall:.0f} and {two_wall:.0f} s)"
        )

    benchmark.pedantic(both, rounds=1)


def spent() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
