"""What the harness itself costs: wall time of a finetuning suite outside the networks' own work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from bench.plan.plan import make_plan
from bench.run.session import Request, session
from bench.steps.workspace import Settings
from suites import load_suite

FINETUNING = ("recoveries=[{finetune: short}]", "bases=1", "models=[resnet20]")


class Spent:
    """Seconds inside the outermost forward, backward or optimiser step."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            start = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - start

        return timed


@contextmanager
def timed_networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spent]:
    spent = Spent()
    for owner, name in (
        (nn.Module, "__call__"),
        (torch.Tensor, "backward"),
        (torch.autograd, "grad"),
        (torch.optim.SGD, "step"),
    ):
        monkeypatch.setattr(owner, name, spent.around(getattr(owner, name)))
    yield spent


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [2, 20])
@pytest.mark.benchmark(group="overhead of the harness")
def test_share_of_a_finetuning_suite_outside_the_networks(
    epochs: int, benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = f"recipes.short={{epochs: {epochs}, batch_size: 64, learning_rate: 0.02}}"
    plan = make_plan(load_suite("criteria", [*FINETUNING, recipe]))
    settings = Settings(tmp_path, tmp_path)
    request = Request(settings, workers=1, executor="inline", allow_untrained=True)
    with timed_networks(monkeypatch) as spent:
        start = time.perf_counter()
        assert benchmark.pedantic(session, (plan, request, Console(quiet=True)), rounds=1) == 0
        wall = time.perf_counter() - start
    benchmark.extra_info["overhead_share"] = round(1 - spent.seconds / wall, 3)
    print(f"\n{wall:.0f} s in all, {1 - spent.seconds / wall:.1%} of it outside the networks")
