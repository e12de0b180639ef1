"""Pretended GPUs dealt out to workers: who sees which, and what replaces a dead worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import toy
from rich.console import Console

from bench.errors import BenchError
from bench.executors.local import Local, visible_gpus
from bench.plan.plan import make_plan
from bench.run.session import Request, session
from bench.steps.workspace import Settings


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("given", "found"),
    [(None, ["0", "1"]), ("3,5", ["3", "5"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])],
)
def test_gpus_bear_the_names_that_the_variable_gives(
    monkeypatch: pytest.MonkeyPatch, given: str | None, found: list[str]
) -> None:
    if given:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == found


def test_a_gpu_that_is_not_there_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,-1,4")
    assert visible_gpus() == ["2"]


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_no_gpu_is_one_clear_message_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    settings = Settings(tmp_path / "results", tmp_path, device="cuda")
    request = Request(settings, workers=1, executor=executor)
    with pytest.raises(BenchError, match=r"--device cuda: torch finds no GPU.*nvidia-smi"):
        session(make_plan(toy.suite()), request, Console(quiet=True))
    assert not (tmp_path / "results").exists()
    with pytest.raises(BenchError, match="there are cpu, cuda"):
        session(
            make_plan(toy.suite()),
            replace(request, settings=replace(settings, device="tpu")),
            Console(quiet=True),
        )


class Pretended:
    """A context of multiprocessing whose processes only remember which GPU they were given."""

    def __init__(self) -> None:
        self.given: list[str | None] = []
        self.alive: list[bool] = []

    def Process(self, *, args: Any, **how: Any) -> Any:
        at = len(self.given)
        self.given.append(args[-1])
        self.alive.append(True)
        return SimpleNamespace(
            start=lambda: None,
            is_alive=lambda: self.alive[at],
            join=lambda *_: None,
            kill=lambda: None,
            exitcode=-9,
        )


@pytest.mark.usefixtures("two_gpus")
def test_workers_share_gpus_evenly_and_a_dead_ones_place_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretended = Pretended()
    monkeypatch.setattr("bench.executors.local.get_context", lambda _: pretended)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr("bench.executors.pool.PATIENCE_S", 0.01)
    local = Local(Settings(tmp_path, tmp_path, device="cuda"), 3, None)
    jobs = [trial.at.base for trial in make_plan(toy.suite(bases=3, methods=["l1"])).trials]
    for job in jobs[:3]:
        local.submit(job)
    local._hand_out()
    assert pretended.given == ["4", "7", "4"]
    pretended.alive[1] = False  # it had no time to give anything back
    ((_, outcome),) = local.finished()
    assert outcome.failure is not None
    assert "did not come up" in outcome.failure.message
    local.submit(jobs[0])
    local._hand_out()
    assert pretended.given[3:] == ["7"]
    local.close()


def test_workers_on_the_cpu_are_given_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretended = Pretended()
    monkeypatch.setattr("bench.executors.local.get_context", lambda _: pretended)
    local = Local(Settings(tmp_path, tmp_path), 2, None)
    local.submit(make_plan(toy.suite()).trials[0])
    local._hand_out()
    assert pretended.given == [None]  # nor is there a worker without a job
    local.close()
