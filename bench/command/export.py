"""A kept network as a file of another runtime, its outputs and accuracy held against torch's."""

from pathlib import Path

from rich.console import Console

from suites.faults import no_such
from suites.problem import DatasetSpec

from ..data.datasets import load_dataset
from ..errors import BenchError, DataError, ExportError, fault
from ..export.recipe import REBUILD, RECIPE, WEIGHTS, check, read_recipe
from ..export.runtimes import Run, checked, run_torch, to_onnx, to_torch_export, written
from ..models.kept import kept_folder, load
from ..plan.keeping import is_kept
from ..store.store import Store
from ..terminal import print_table, say

FORMATS = ("onnx", "torch-export", "safetensors")
_KEPT = ("problem", "base", "method", "budget", "recovery", "measured", "trial")
OFF = 0.005  # of the accuracy, by which a file may differ: some images lie on the border


def show_code(trial: str, results: Path) -> None:
    """Print what rebuilds a kept network without this project; raises ExportError without one."""
    folder = kept_folder(trial, results)
    read_recipe(folder)
    print(REBUILD.read_text("utf-8").replace("Path(__file__).parent", f"Path({str(folder)!r})"))


def show_kept(console: Console, store: Store) -> None:
    """A row for each network that was kept."""
    rows = []
    for folder in store.root.glob("networks/*"):
        record = store.record(folder.name)
        if record and record.measurements and is_kept(store, record.key):
            of, found = record.labels, record.metric.said(record.measurements.pruned.top1)
            base = str(of.base)
            rows.append((of.problem, base, of.method, of.at, of.recovery, found, record.key[:8]))
    print_table(console, _KEPT, sorted(rows))


def write_export(
    console: Console, trial: str, to: str, out: Path | None, results: Path, data_root: Path
) -> None:
    """Write a file into a folder, by default the network's own, and say what was found in it.

    Raises BenchError for an unknown format, a network that was not kept, an extra that is missing,
    and a file whose outputs or accuracy are not the network's.
    """
    if to not in FORMATS:
        raise BenchError(f"--to: {no_such('format', to, FORMATS)}")
    folder = kept_folder(trial, results)
    where, model, (inputs, _) = out or folder, load(folder), check(folder)
    recipe = read_recipe(folder)
    file = where / recipe.get("trial", {}).get("key", folder.name)[:12]
    if to == "onnx":
        done = to_onnx(model, inputs, file.with_suffix(".onnx"), recipe.get("input"))
        what = f"ONNX opset {done.opset}"
    elif to == "torch-export":
        done, what = to_torch_export(model, inputs, file.with_suffix(".pt2")), to
    else:
        if "rebuild.py" in recipe["beside"]:
            raise ExportError(fault("plugin_rebuild"))
        for one in (*(folder / name for name in (*recipe["beside"], RECIPE)), REBUILD):
            name = one.name.replace(REBUILD.name, "rebuild.py")
            written(where / name, one.read_bytes())
        done = checked(model, inputs, where / WEIGHTS, run_torch(load(where)))
        what = f"{to}, with {RECIPE} and rebuild.py"
    size = done.file.stat().st_size / 1e6
    say(console, f"{done.file} ({size:.2f} MB): {what}, for batches of any size")
    say(console, f"outputs are at most {done.difference:.1e} of their size from torch's")
    for key, value in recipe.get("input", {}).items():
        say(console, f"{key}: {value}")
    if "trial" in recipe:
        _say_accuracy(console, done.run, Store(results), recipe["trial"]["key"], data_root)


def _say_accuracy(console: Console, run: Run, store: Store, key: str, data_root: Path) -> None:
    """Hold the accuracy of a file against the record; raises ExportError where it is another."""
    record = store.record(key)
    if record is None or record.measurements is None:
        say(console, f"accuracy: not checked, as {store.root} has no record of the trial")
        return
    told = DatasetSpec.model_validate(record.identity["base"]["dataset"])
    spec = DatasetSpec(**told.model_dump(exclude_defaults=True))  # as a suite says it
    try:
        data, then = load_dataset(spec, data_root, store.root), record.measurements.pruned.top1
    except DataError as error:
        raise DataError(fault("not_measured", error=error)) from error
    batches = data.test.batches(data.task.at_once)
    found = data.task.tally((run(inputs)[0], targets) for inputs, targets in batches).primary
    both = [record.metric.said(one) for one in (found, then)]
    said = f"{both[0]} on {len(data.test)} test samples, {both[1]} in its record"
    if abs(found - then) > OFF:
        raise ExportError(f"the file has {said}; use it for nothing")
    say(console, said)
