"""Which memory format networks work in: asked once, kept, and of no effect but rounding."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from inline_runs import go, measured
from scipy.stats import spearmanr
from torch import Tensor, nn

from bench.plan.plan import make_plan
from bench.steps import layout
from bench.steps.workspace import Settings, Workspace
from bench.store.store import Store
from bench.tasks.known import find_task
from reports.records import Record
from suites.section import Chosen

Seconds = tuple[float, float | None]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Seconds], list[nn.Module]]:
    """Networks of every size are asked, and answer so; those that were."""
    monkeypatch.setattr(layout, "LEAST", 0)

    def answering(seconds: Seconds) -> list[nn.Module]:
        networks: list[nn.Module] = []

        def tried(model: nn.Module, *_: Any) -> Seconds:
            networks.append(model)
            time.sleep(0.05)
            return seconds

        monkeypatch.setattr(layout, "_tried", tried)
        return networks

    return answering


def chosen(results: Path, **changes: Any) -> bool:
    """Whether a worker of its own takes channels-last for the toy suite's base."""
    base = make_plan(toy.suite(**changes)).trials[0].at.base
    data = Workspace(Settings(results, results)).dataset(base)
    (images, _) = next(data.train.batches(4))
    assert (images.stride(1) == 1) == data.test.channels_last
    return data.test.channels_last


@pytest.mark.parametrize(
    ("seconds", "last"), [((1, 0.8), True), ((1, 0.95), False), ((1, None), False)]
)
def test_channels_last_wins_by_a_clear_margin_only(
    asked: Any, tmp_path: Path, seconds: Seconds, last: bool
) -> None:
    asked(seconds)
    assert chosen(tmp_path) is last


def test_a_later_run_keeps_the_answer_whatever_it_would_measure(asked: Any, tmp_path: Path) -> None:
    asked((1.0, 0.5))
    assert chosen(tmp_path)
    networks = asked((0.5, 1.0))
    assert chosen(tmp_path)
    assert not networks


def test_workers_that_ask_at_once_try_once(asked: Any, tmp_path: Path) -> None:
    networks = asked((1.0, 0.5))
    with ThreadPoolExecutor(3) as workers:
        assert all(workers.map(lambda _: chosen(tmp_path), range(3)))
    assert len(networks) == 1


def test_small_networks_are_not_asked(tmp_path: Path) -> None:
    assert not chosen(tmp_path)
    assert not (tmp_path / "layouts").exists()


class Viewing(nn.Sequential):
    """Refuses activations that do not lie one channel after the other."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 5))

    def forward(self, x: Tensor) -> Tensor:
        made = self[0](x)
        return self[1](made.view(len(made), -1))


class Striding(Viewing):
    """Gives another output to images that lie otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        return self[1](self[0](x).flatten(1)) * x.stride(1)


@pytest.mark.parametrize("network", [Viewing, Striding])
def test_networks_that_channels_last_breaks_stay_contiguous(
    network: type[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "LEAST", 0)
    monkeypatch.setattr(layout, "FASTER", 1e9)
    task = (
        Workspace(Settings(tmp_path, tmp_path))
        .dataset(make_plan(toy.suite()).trials[0].at.base)
        .task
    )
    file, images = tmp_path / "layouts" / "one.json", torch.randn(2, 3, 8, 8)
    assert not layout.channels_last(file, network, images, task)
    whole = lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))  # noqa: E731
    assert layout.channels_last(tmp_path / "layouts" / "two.json", whole, images, task)


def made(results: Path, plan: Any) -> dict[str, Record]:
    go(results, plan)
    records = Store(results).all_records()[0]
    assert {one.status for one in records} == {"done"}
    return {one.key: one for one in records}


def test_both_formats_give_the_same_keys_and_within_rounding_the_same_numbers(
    asked: Any, tmp_path: Path
) -> None:
    few = {"methods": ["l1", "taylor"], "budgets": {"macs": [0.5]}}
    plan = make_plan(toy.suite(**few))
    asked((1.0, 0.5))
    last = made(tmp_path / "last", plan)
    asked((1.0, 2.0))
    plain = made(tmp_path / "plain", plan)
    assert plain.keys() == last.keys()
    assert {one.provenance["memory_format"] for one in last.values()} == {"channels last"}
    assert {one.provenance["memory_format"] for one in plain.values()} == {"contiguous"}
    for key, one in plain.items():
        here, there = measured(one), measured(last[key])
        images = here.test_images * abs(here.pruned.top1 - there.pruned.top1)
        assert images <= 1.5, one.labels.brief
        assert here.pruned.loss == pytest.approx(there.pruned.loss, rel=1e-2)
    for file in (tmp_path / "plain" / "scores").iterdir():
        pairs = zip(*map(scores, (file, tmp_path / "last" / "scores" / file.name)), strict=True)
        assert all(spearmanr(a, b).statistic > 0.99 for a, b in pairs)


def scores(file: Path) -> list[np.ndarray[Any, Any]]:
    from bench.store.sealed import read_arrays

    stored = read_arrays(file)
    assert stored is not None
    return [values for name, values in sorted(stored.items()) if name.startswith("group")]


class RowsFirst(nn.Module):
    """Asks for one format in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 10)

    def forward(self, images: Tensor) -> Tensor:
        assert images.is_contiguous()
        logits: Tensor = self.head(self.convolution(images).mean((2, 3)))
        return logits


def test_a_network_that_fails_in_that_format_stays_contiguous(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(layout, "LEAST", 0)
    task = find_task(Chosen(name="classification"))
    file = tmp_path / "layouts" / "a.json"
    assert layout.channels_last(file, RowsFirst, torch.randn(2, 3, 8, 8), task) is False
