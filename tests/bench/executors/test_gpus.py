"""Pretended GPUs dealt out to workers: who sees which, and what replaces a dead worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
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


WORKER = """
import os, sys, time
from pathlib import Path
from bench.executors.local import take_gpu
held = take_gpu(["4", "7"], Path(sys.argv[1]))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(600)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], str]]]:
    """Starts a process that takes a place and stays; it and the GPU that it sees."""
    started: list[subprocess.Popen[str]] = []

    def begin() -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", WORKER, str(tmp_path)]
        one = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=toy.environment())
        started.append(one)
        assert one.stdout is not None
        return one, one.stdout.readline().strip()

    yield begin
    for one in started:
        one.kill()
        one.communicate()


def test_workers_share_gpus_evenly_and_a_dead_ones_place_is_taken(start: Any) -> None:
    found = [start() for _ in range(3)]
    assert [gpu for _, gpu in found] == ["4", "7", "4"]
    victim, _ = found[1]
    victim.kill()  # it has no time to give anything back
    victim.wait()
    assert start()[1] == "7"


@pytest.mark.usefixtures("two_gpus")
def test_the_local_executor_tells_its_workers_which_gpus_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("bench.executors.local.ProcessPool", lambda **how: given.update(how))
    for device, gpus in (("cuda", ["0", "1"]), ("cpu", [])):
        settings = Settings(tmp_path, tmp_path, device=device)
        executor = Local(settings, 4, None)
        assert given["initargs"] == (settings, gpus, Path(executor._places.name))
        assert given["max_workers"] == 4
        executor._places.cleanup()


def test_places_leave_nothing_behind(tmp_path: Path) -> None:
    executor = Local(Settings(tmp_path, tmp_path), 1, None)
    executor.close(kill=True)
    assert not Path(executor._places.name).exists()
