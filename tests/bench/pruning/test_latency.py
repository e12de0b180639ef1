"""Budgets of latency, on clocks that tell the truth about widths; and of memory, recounted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bench
from bench.deployed import timing
from bench.deployed.runtimes import load, load_each
from bench.errors import BenchError
from bench.pruning import latency
from bench.pruning.choose import selected
from bench.pruning.cost import count_macs
from bench.pruning.memory import memory_model, peak_bytes
from bench.pruning.network import Network, Rules
from bench.pruning.selection import InfeasibleBudget, Limits
from bench.pruning.thresholds import Choice
from criteria.network.member import kind_of
from reports.records import Latency
from suites.protocol import Deployment

IMAGE = torch.randn(1, 3, 16, 16)
SCORES = [torch.arange(64.0), torch.arange(96.0)]
FIXED = 2e-5  # seconds that a network takes whatever its widths


class Small(nn.Module):
    """Plain, depthwise and pointwise convolutions, a residual sum, a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 3, padding=1)
        self.depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.wide = nn.Conv2d(64, 96, 1)
        self.back = nn.Conv2d(96, 64, 1)
        self.norm = nn.BatchNorm2d(64)
        self.head = nn.Linear(64 * 16, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images).relu()
        x = x + self.norm(self.back(self.wide(self.depthwise(x)).relu()))
        return self.head(nn.functional.avg_pool2d(x, 4).flatten(1))


def seconds_of(layer: nn.Module, step: int) -> float:
    """A layer's true time: proportional to its widths, these rounded up to a step."""
    up = lambda width: step * -(-width // step)  # noqa: E731
    if isinstance(layer, nn.Linear):
        return 1e-9 * up(layer.in_features) * up(layer.out_features)
    assert isinstance(layer, nn.Conv2d)
    per_output = up(layer.in_channels) if layer.groups == 1 else 1
    return 1e-8 * per_output * up(layer.out_channels) * layer.weight[0, 0].numel()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Takes `seconds_of` a layer, and of a network 1.5 times that of its layers."""
    made: dict[str, Any] = {"step": 1, "layers": [], "off": 1.0, "stuck": None, "networks": 0}

    def each(layers: Sequence[nn.Module], inputs: Any, deployment: Deployment) -> list[nn.Module]:
        assert all(layer(x) is not None for layer, x in zip(layers, inputs, strict=True))
        made["layers"] += [str(layer) for layer in layers]
        return list(layers)

    def whole(model: nn.Module, *_: Any, copies: int = 1) -> list[Any]:
        layers = [one for one in model.modules() if kind_of(one) in ("conv", "linear")]
        return [FIXED + 1.5 * sum(seconds_of(one, made["step"]) for one in layers)] * copies

    def compare(dense: float, pruned: float, copy: float, deployment: Deployment) -> Latency:
        made["networks"] += 1
        ratio = made["stuck"] or min(1.0, pruned / dense * made["off"])
        given = {"batch_size": deployment.batch, "dense_ms": 1, "pruned_ms": ratio}
        return Latency(**given, ratios=[ratio], aa_ratio=1)

    monkeypatch.setattr(latency, "load_each", each)
    monkeypatch.setattr(latency, "load", whole)
    monkeypatch.setattr(latency, "compare_latency", compare)
    monkeypatch.setattr(
        latency, "fastest", lambda runs, _: [seconds_of(one, made["step"]) for one in runs]
    )
    return made


@pytest.mark.parametrize("share", [0.7, 0.5])
def test_a_latency_is_met_where_time_follows_widths(machine: dict[str, Any], share: float) -> None:
    found = bench.prune(Small(), IMAGE, "l1", {"latency": share})
    assert found.check is not None
    assert found.check.tries == 1
    assert found.check.predicted == pytest.approx(found.check.latency.ratio, abs=0.02)
    assert abs(found.check.off) <= 0.05
    assert count_macs(found.model, (IMAGE,)) == found.macs < found.dense_macs


@pytest.mark.parametrize("likes", [1, 4, 16])
def test_widths_are_multiples_of_what_the_hardware_likes(
    machine: dict[str, Any], likes: int
) -> None:
    machine["step"] = likes
    found = bench.prune(Small(), IMAGE, "l1", {"latency": 0.5}, tolerance=0.1)
    assert found.check is not None
    assert found.check.round_to == likes
    assert all(len(kept) % likes == 0 for kept in found.kept.values())
    own = bench.prune(
        Small(), IMAGE, "l1", {"latency": 0.5}, limits=Limits(round_to=2), tolerance=0.1
    )
    assert own.check is not None
    assert own.check.round_to == 2  # as was asked


def test_what_misses_is_chosen_again_and_said_where_that_does_not_help(
    machine: dict[str, Any],
) -> None:
    machine["stuck"] = 0.6
    with pytest.warns(UserWarning, match="budget latency = 0.5: measured 0.600"):
        found = bench.prune(Small(), IMAGE, "l1", {"latency": 0.5}, tolerance=0.5)
    assert found.check is not None
    assert found.check.off == pytest.approx(0.2)
    assert machine["networks"] == 2 + 3  # to learn how time follows layers, and tries
    machine |= {"stuck": None, "off": 1.2}  # a fifth longer than layers say
    again = bench.prune(Small(), IMAGE, "l1", {"latency": 0.5})
    assert again.check is not None
    assert abs(again.check.off) <= 0.05


def test_iterative_pruning_meets_a_latency_too(machine: dict[str, Any]) -> None:
    found = bench.prune(Small(), IMAGE, "l1", {"latency": 0.6}, steps=3)
    assert found.check is not None
    assert abs(found.check.off) <= 0.05


def test_a_table_is_kept_and_layers_are_timed_once(machine: dict[str, Any], tmp_path: Path) -> None:
    network = Network.trace(Small().eval(), IMAGE)

    def tables(threads: int = 1) -> set[str]:
        """SHA-256 of the table that a budget was met by."""
        _, check = latency.meet(
            network,
            lambda now, rules, share: Choice(selected(now, SCORES, share, rules)),
            Rules("latency", tolerance=0.1),
            0.5,
            Deployment(threads=threads),
            tmp_path,
        )
        assert check is not None
        return {check.table}

    first = tables()
    layers = list(machine["layers"])
    assert len(set(layers)) == len(layers)
    assert tables() == first
    assert machine["layers"] == layers
    assert tables(threads=2) != first
    assert machine["layers"] == 2 * layers


@pytest.mark.slow
def test_a_real_clock_times_layers_in_torch_and_onnxruntime(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    layers = [nn.Conv2d(3, 4, 3), nn.Linear(6, 5), nn.Conv2d(4, 4, 3, groups=4)]
    inputs = [torch.randn(1, 3, 8, 8), torch.randn(1, 7, 6), torch.randn(1, 4, 8, 8)]
    for runtime in ("eager", "onnxruntime"):
        runs = load_each(layers, inputs, Deployment(runtime=runtime))
        for layer, given, run in zip(layers, inputs, runs, strict=True):
            if runtime == "onnxruntime":
                (found,) = run()
                assert torch.allclose(found, layer(given), atol=1e-5)
        assert all(one > 0 for one in timing.fastest(runs, Deployment(runtime=runtime)))
    found = bench.prune(Small(), IMAGE, "l1", {"latency": 0.6}, tolerance=0.2)
    assert found.check is not None
    assert len(found.check.table) == 64


class Joined(nn.Module):
    """Holds its input until the end, and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.first(images)
        return self.last(torch.cat([x, self.second(x)], 1))


def test_the_peak_is_weights_and_what_is_held_at_once() -> None:
    model = Joined()
    weights = sum(one.numel() for one in model.parameters())
    plane = 16 * 16
    # While the last layer runs: the image, the sum's two parts, their concatenation, the output.
    most = (3 + 16 + 8 + 4) * plane
    earlier = (3 + 8 + 8 + 16) * plane
    assert peak_bytes(model, (IMAGE,)) == 4 * (weights + max(most, earlier))
    assert peak_bytes(model, (IMAGE,), batch=2) == 4 * (weights + 2 * max(most, earlier))


@pytest.mark.parametrize("model", [Small(), Joined()], ids=["small", "joined"])
def test_memory_by_arithmetic_is_that_of_the_network_that_comes_out(model: nn.Module) -> None:
    network = Network.trace(model.eval(), IMAGE)
    memory, groups = memory_model(network), network.structure.groups
    draw = torch.Generator().manual_seed(0)
    for _ in range(5):
        removed = [
            torch.randperm(one.units, generator=draw)[: one.units // 2].sort().values
            for one in groups
        ]
        counts = torch.tensor([len(one) for one in removed])
        assert memory(counts) == peak_bytes(network.cut(removed), (IMAGE,))


def test_a_budget_of_memory_is_met_within_its_tolerance() -> None:
    model = Small()
    found = bench.prune(model, IMAGE, "l1", {"memory": 0.6})
    kept = peak_bytes(found.model, (IMAGE,)) / peak_bytes(model.eval(), (IMAGE,))
    assert 0.59 <= kept <= 0.6
    with pytest.raises(InfeasibleBudget, match="limits leave at least"):
        bench.prune(model, IMAGE, "l1", {"memory": 0.01})


def test_parameters_of_two_types_weigh_what_they_weigh() -> None:
    class Two(Small):
        def forward(self, x: Any) -> Any:
            return super().forward(x).double()

    model = Two()
    model.extra = nn.Linear(7, 3).double()
    network = Network.trace(model.eval(), (IMAGE,))
    nothing = torch.zeros(len(network.structure.groups))
    assert memory_model(network)(nothing) == peak_bytes(network.model, (IMAGE,))


def test_a_loaded_network_says_how_large_its_file_is() -> None:
    ((_, size),) = load(nn.Linear(3, 2), (torch.ones(1, 3),), Deployment())
    assert size == 4 * 8


@pytest.mark.parametrize(
    ("budget", "deployed", "said"),
    [
        ("latency", {"runtime": "tvm"}, "deployed: runtime = 'tvm'"),
        ("latency", {"batch": 0}, "deployed: batch = 0"),
        ("latency", {"runtime": "compile"}, "single layers are not compiled"),
        ("macs", {"runtime": "eager"}, "not one of macs"),
    ],
)
def test_where_a_latency_is_meant_is_said_right_or_refused(
    budget: str, deployed: dict[str, Any], said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        bench.prune(Small(), IMAGE, "l1", {budget: 0.5}, deployed=deployed)
