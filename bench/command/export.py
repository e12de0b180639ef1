"""A kept network as a file of another runtime, its outputs and accuracy held against torch's."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console
from torch import Tensor, nn

from suites.faults import no_such
from suites.problem import DatasetSpec

from ..data.datasets import load_dataset
from ..errors import BenchError, ExportError
from ..export.recipe import RECIPE, WEIGHTS, check, read_recipe
from ..export.runtimes import (
    Run,
    Written,
    outputs,
    run_onnx,
    run_torch_export,
    to_onnx,
    to_torch_export,
)
from ..models.kept import kept_folder, load
from ..store.store import Store
from ..terminal import say
from ..training.measure import evaluate

REBUILD = Path(__file__).parents[1] / "export" / "rebuild.py"
FORMATS = ("onnx", "torch-export", "safetensors")
OFF = 0.005  # of the accuracy, by which a file may differ: some images lie on the border


def show_code(trial: str, results: Path) -> None:
    """Print what rebuilds a kept network without this project; raises ExportError without one."""
    folder = kept_folder(trial, results)
    read_recipe(folder)
    print(REBUILD.read_text("utf-8").replace("Path()", f"Path({str(folder)!r})"))


def write_export(
    console: Console, trial: str, to: str, out: Path | None, results: Path, data_root: Path
) -> None:
    """Write a file into a folder, by default the network's own, and say what was found in it.

    Raises:
        BenchError: an unknown format, a network that was not kept, an extra that is missing, or a
            file whose outputs or accuracy are not the network's.
    """
    if to not in FORMATS:
        raise BenchError(f"--to: {no_such('format', to, FORMATS)}")
    folder = kept_folder(trial, results)
    where, model, (inputs, _) = out or folder, load(folder), check(folder)
    recipe = read_recipe(folder)
    file = where / f"{recipe.get('trial', {}).get('key', folder.name)[:12]}"
    match to:
        case "onnx":
            written = to_onnx(model, inputs, file.with_suffix(".onnx"))
            run, what = run_onnx(written.file), f"ONNX opset {written.opset}"
        case "torch-export":
            written = to_torch_export(model, inputs, file.with_suffix(".pt2"))
            run, what = run_torch_export(written.file), "torch.export"
        case _:
            shutil.copytree(folder, where, dirs_exist_ok=True)
            shutil.copy(REBUILD, where)
            model, written = load(where), Written(where / WEIGHTS, 0.0)
            run, what = (
                lambda *args: outputs(model, args),
                f"safetensors, with {RECIPE} and rebuild.py",
            )
    size = written.file.stat().st_size / 1e6
    say(console, f"{written.file} ({size:.2f} MB): {what}, for batches of any size")
    say(console, f"outputs are at most {written.difference:.1e} of their size from torch's")
    if "trial" in recipe:
        _say_accuracy(console, run, Store(results), recipe["trial"]["key"], data_root)


def _say_accuracy(console: Console, run: Run, store: Store, key: str, data_root: Path) -> None:
    """Hold the accuracy of a file against the record; raises ExportError where it is another."""
    record = store.record(key)
    if record is None or record.measurements is None:
        say(console, f"accuracy: not checked, as {store.root} has no record of the trial")
        return
    spec = DatasetSpec.model_validate(record.identity["base"]["dataset"])
    images = load_dataset(spec, data_root, store.root).test
    found, then = evaluate(_Runs(run), images).top1, record.measurements.pruned.top1
    said = f"{found:.2%} top-1 on {len(images)} test images, {then:.2%} in its record"
    if abs(found - then) > OFF:
        raise ExportError(f"the file has {said}; use it for nothing")
    say(console, said)


class _Runs(nn.Module):
    """A file as a network of one output."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def forward(self, images: Tensor) -> Tensor:
        return self.run(images)[0]
