"""The table of networks: what can be pruned of each, whether rightly, and what halving it takes.

It takes most of an hour on one core, and the extras timm, hf and export. It prints each row as it
is found; rows that are there are kept, and a name, or a part of one, makes the rows of that again:

    PYTHONPATH=.:tests python tests/study/architectures.py docs/networks.csv docs/networks.md [NAME]
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from bench.command.export import show_code
from bench.conformance.network import built
from bench.errors import BenchError, ExportError
from bench.export.recipe import keep
from bench.export.runtimes import to_onnx, to_torch_export
from bench.models.registry import plain_constructor
from bench.pruning.cost import count_macs
from bench.pruning.network import Network
from bench.pruning.prune import Pruned, prune
from bench.pruning.sound import examine, lively
from criteria.errors import CriteriaError
from reports.formats import markdown_row
from suites.problem import ModelSpec

CLASSES = 10


@dataclass
class Subject:
    """A network that the table has a row of: `name@pixels`, by default at 224."""

    spec: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.spec.partition("@")[0]

    @property
    def size(self) -> int:
        return int(self.spec.partition("@")[2] or 224)

    @cached_property
    def network(self) -> Network:
        """Traced; weights drawn anew, as of a last layer that starts at zero all outputs equal."""
        spec = ModelSpec(name=self.name, options=self.options)
        network = built(spec, CLASSES, 3, self.size)
        lively(network.model)
        return network

    @cached_property
    def half(self) -> Pruned:
        """With half of its MACs, by l1."""
        return prune(self.network.model, self.network.inputs, "l1", {"macs": 0.5}, tolerance=0.05)


def groups(subject: Subject) -> str:
    return str(len(subject.network.structure.groups))


def units(subject: Subject) -> str:
    return str(sum(one.units for one in subject.network.structure.groups))


def spanned(subject: Subject) -> str:
    """Groups whose removal no mask equals, as a layer or group norm takes statistics over them."""
    return str(sum(one.normalizes_over_channels for one in subject.network.structure.groups))


def kept_whole(subject: Subject) -> str:
    return str(len(subject.network.structure.refused))


def masked_equals_pruned(subject: Subject) -> str:
    """The largest difference of outputs; MACs and parameters that are not those counted raise."""
    return f"{examine(subject.network):.0e}"


def macs(subject: Subject) -> str:
    return f"{count_macs(subject.network.model, subject.network.inputs) / 1e6:.0f}"


def macs_equal(subject: Subject) -> str:
    """Those by arithmetic, of the network and of its half, and those of FlopCounterMode."""
    network, kept = subject.network, subject.half.kept
    lost = [
        one.units - len(kept[one.root]) // one.channels_per_unit for one in network.structure.groups
    ]
    dense = network.cost.macs(torch.zeros(len(lost))) == subject.half.dense_macs
    return "yes" if dense and network.cost.macs(torch.tensor(lost)) == subject.half.macs else "no"


def half_kept(subject: Subject) -> str:
    return f"{subject.half.macs / subject.half.dense_macs:.3f}"


def rebuilt(subject: Subject) -> str:
    """The largest difference of the half's outputs, kept, and built again by the code that
    `bench export --code` prints, in a process that can import nothing of this project."""
    spec = ModelSpec(name=subject.name, options=subject.options)
    call = plain_constructor(spec, classes=CLASSES, channels=3, image_size=subject.size)
    half, code = subject.half, io.StringIO()
    with TemporaryDirectory() as place:
        folder, script = Path(place) / "half", Path(place) / "rebuild.py"
        keep(folder, half.model, half.inputs, call, half.recipe)
        with redirect_stdout(code):
            show_code(str(folder), Path(place))
        script.write_text(code.getvalue())
        command = [sys.executable, "-I", ALONE, script, folder]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place)
    if done.returncode:
        raise ExportError(f"rebuilt alone: {done.stderr.splitlines()[-1]}")
    return f"{float(done.stdout.split()[-1]):.0e}"


def in_onnx(subject: Subject) -> str:
    """The largest difference of the half's outputs in onnxruntime."""
    with TemporaryDirectory() as folder:
        found = to_onnx(subject.half.model, subject.half.inputs, Path(folder) / "half.onnx")
    return f"{found.difference:.0e}"


def in_torch_export(subject: Subject) -> str:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "half.pt2"
        found = to_torch_export(subject.half.model, subject.half.inputs, file)
    return f"{found.difference:.0e}"


OF_NETWORK: dict[str, Callable[[Subject], str]] = {
    "groups": groups,
    "units": units,
    "norms span": spanned,
    "kept whole": kept_whole,
    "masked = pruned": masked_equals_pruned,
    "M MACs": macs,
}
OF_HALF: dict[str, Callable[[Subject], str]] = {
    "MACs equal": macs_equal,
    "50 % prune": half_kept,
    "rebuilt": rebuilt,
    "ONNX": in_onnx,
    "torch.export": in_torch_export,
}
COLUMNS = OF_NETWORK | OF_HALF
HEAD = ("network", "pixels", *COLUMNS, "CPU s", "why not")

ALONE = Path(__file__).parents[1] / "alone.py"
LISTED = Path(__file__).with_suffix(".yaml")
SUBJECTS = [Subject(**one) for one in yaml.safe_load(LISTED.read_text())]


def row(subject: Subject) -> list[str]:
    """What the columns say; of one that cannot be had, why."""
    begun, cells, why = cpu_seconds(), [], list[str]()

    def tried(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (BenchError, CriteriaError) as error:
            said = " ".join(str(error).split())
            why.extend([said] if said not in why else [])
        return None

    for what, columns in (("network", OF_NETWORK), ("half", OF_HALF)):
        if tried(partial(getattr, subject, what)) is None:
            break
        cells += [tried(partial(column, subject)) or "" for column in columns.values()]
    cells += [""] * (len(COLUMNS) - len(cells))
    seconds = f"{cpu_seconds() - begun:.1f}"
    return [subject.name, str(subject.size), *cells, seconds, "; ".join(why)]


def totals(rows: list[list[str]]) -> str:
    """Of how many networks each question has its answer."""
    counts = [f"{name}: {sum(bool(row[at]) for row in rows)}" for at, name in enumerate(HEAD)]
    minutes = sum(float(row[HEAD.index("CPU s")]) for row in rows) / 60
    asked = ", ".join(counts[2 : 2 + len(COLUMNS)])
    return f"{len(rows)} networks in {minutes:.0f} minutes of one core. Answers: {asked}.\n"


def cpu_seconds() -> float:
    """Of this process and of those that it started."""
    return sum(os.times()[:4])


def main(table: Path, page: Path, again: str = "") -> None:
    """Write the table as it grows, and the page that shows it."""
    there = csv.DictReader(table.open()) if table.exists() else ()
    known = {one["network"]: [one.get(column) or "" for column in HEAD] for one in there}
    rows = []
    for at, subject in enumerate(SUBJECTS):
        if subject.name not in known or (again and again in subject.name):
            known[subject.name] = row(subject)
            print(*known[subject.name], sep=" | ", flush=True)
        rows.append(known[subject.name])
        SUBJECTS[at] = Subject(subject.spec)  # its tensors may go
        with table.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEAD, *rows])
    mark = "<!-- the table -->\n"
    lines = map(markdown_row, [HEAD, ["---"] * len(HEAD), *rows])
    parts = [page.read_text().partition(mark)[0] + mark, totals(rows), *lines]
    page.write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
