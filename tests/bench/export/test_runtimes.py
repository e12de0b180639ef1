"""Files of other runtimes: what they put out is what torch does, for batches of any size."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.errors import ExportError
from bench.export import runtimes
from bench.export.runtimes import Run, Written, run_onnx, run_torch

Write = Callable[..., Written]


class Branched(nn.Module):
    """Two inputs; outputs of two shapes, nested."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor, shift: Tensor) -> dict[str, tuple[Tensor, ...]]:
        out = self.drop(self.norm(self.conv(x)))
        return {"maps": (out,), "means": (out.mean((2, 3)) + shift,)}


class OfTwo(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, -1).sum(1)


def exported(file: Path) -> Run:
    """A file of torch.export as a function."""
    return run_torch(torch.export.load(file).module())


@pytest.fixture(params=["onnx", "pt2"])
def runtime(request: pytest.FixtureRequest) -> tuple[Write, Callable[[Path], Run], str]:
    if request.param == "onnx":
        pytest.importorskip("onnxruntime")
        return runtimes.to_onnx, run_onnx, "net.onnx"
    return runtimes.to_torch_export, exported, "net.pt2"


def test_a_file_gives_torchs_outputs_for_batches_of_any_size(
    runtime: tuple[Write, Callable[[Path], Run], str], tmp_path: Path
) -> None:
    write, run, name = runtime
    model = Branched()
    found = write(model, (torch.randn(1, 3, 6, 6), torch.ones(1, 4)), tmp_path / "new" / name)
    assert found.difference < 1e-5
    assert (found.opset is not None) == (name == "net.onnx")
    assert model.training
    images, shift = torch.randn(7, 3, 6, 6), torch.randn(7, 4)
    ours = model.eval()(images, shift)
    maps, means = run(found.file)(images, shift)
    torch.testing.assert_close(maps, ours["maps"][0])
    torch.testing.assert_close(means, ours["means"][0])


def test_a_network_for_one_size_of_batch_is_refused(
    runtime: tuple[Write, Callable[[Path], Run], str], tmp_path: Path
) -> None:
    write, _, name = runtime
    with pytest.raises(ExportError, match="batches of any size"):
        write(OfTwo(), (torch.randn(2, 3),), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_other_outputs_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "run_torch", lambda network: lambda x: [torch.zeros(len(x), 2)])
    with pytest.raises(ExportError, match=r"net\.pt2 was not kept: its outputs differ"):
        runtimes.to_torch_export(nn.Linear(3, 2), (torch.randn(2, 3),), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError, match=r"needs onnx, .* pip install 'pruning-bench\[export\]'"):
        runtimes.to_onnx(nn.Linear(3, 2), (torch.randn(2, 3),), tmp_path / "net.onnx")


def test_what_onnxruntime_does_not_run_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()).bfloat16()
    with pytest.raises(ExportError, match=r"onnxruntime cannot run this network .*bfloat16"):
        runtimes.to_onnx(model, (torch.randn(2, 3, 6, 6).bfloat16(),), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
