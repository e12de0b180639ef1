"""Evaluation with norms fused into convolutions: the same but for rounding, or left alone."""

from __future__ import annotations

import pytest
import torch
from conftest import CLASSES, CLASSIFICATION, SIDE, conv
from short_training import split
from torch import Tensor, nn

from bench.data.datasets import Dataset
from bench.data.reader import image_shape
from bench.errors import BenchError
from bench.training import measure
from bench.training.measure import accuracy, evaluate


class Plain(nn.Sequential):
    def __init__(self) -> None:
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(6)
        norm.running_mean, norm.running_var = torch.randn(6), torch.rand(6) + 0.5
        pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)
        super().__init__(conv(3, 6), norm, nn.ReLU(), *pooled)


class Asking(Plain):
    """Goes by its values, which no tracer can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.mean() > 99 else 2 * x)


@pytest.fixture(autouse=True)
def _worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "WORTH", 0)


def norms_run(model: nn.Module) -> int:
    """How many images go through its norm in an evaluation of 30, which is what it is unfused."""
    runs: list[int] = []
    model[1].register_forward_hook(lambda *given: runs.append(len(given[2])))
    found = evaluate(model, split(30, 1), CLASSIFICATION)
    seen = sum(runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "WORTH", 10**9)
        plain = evaluate(model, split(30, 1), CLASSIFICATION)
    assert found.primary == plain.primary
    assert found.loss == pytest.approx(plain.loss, rel=1e-5)
    return seen


def test_norms_are_fused_and_the_network_stays_as_it_is() -> None:
    model = Plain()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    assert norms_run(model) == 8  # of the check alone
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_networks_that_cannot_be_traced_are_run_as_they_are() -> None:
    assert norms_run(Asking()) == 30


def test_networks_that_fusing_would_change_are_run_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch.fx.experimental import optimization

    def lost(model: nn.Sequential) -> nn.Module:
        return nn.Sequential(*list(model)[:1], *list(model)[2:])

    monkeypatch.setattr(optimization, "fuse", lost)
    assert norms_run(Plain()) == 8 + 30


def measured(**how: bool) -> Dataset:
    parts = (split(30, seed) for seed in range(3))
    return Dataset("bright", image_shape(CLASSES, 3, SIDE), *parts, "digest").worked(**how)


def test_what_is_to_be_compiled_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.training.optimizer.shutil.which", lambda name: None)
    with pytest.raises(BenchError, match=r"compile: true needs a C\+\+ compiler"):
        accuracy(Plain(), measured(compile=True))


@pytest.mark.slow
def test_a_compiled_network_is_measured_alike() -> None:
    plain, found = (accuracy(Plain(), measured(compile=one)) for one in (False, True))
    assert found.top1 == plain.top1
    assert found.loss == pytest.approx(plain.loss, rel=1e-5)
