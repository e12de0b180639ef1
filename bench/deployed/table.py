"""How long single operations take in a runtime on this machine: measured once, looked up after."""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reports.records import content_key
from suites.protocol import Deployment

from ..export.runtimes import to_onnx
from ..store.provenance import environment
from ..store.sealed import read_json, write_json
from .operations import Operation, Recorded, Sized
from .runtimes import Run, opened, threads, version_of
from .timing import alone

SWEEPS, REPEATS = 3, 2  # of which the fastest counts: what disturbs only ever adds
SWEEP_S = 0.001  # seconds that a repeat lasts, where one call takes less
# What other runtimes than eager fuse into what comes before costs nothing of its own.
UNFUSED = ("conv", "linear", "mm", "matmul", "attention", "layer_norm", "group_norm", "softmax")


class Table:
    """Seconds of operations, by signature, of one deployment on one machine.

    Args:
        folder: where it is kept between runs; None keeps it in memory.
    """

    def __init__(
        self, deployment: Deployment, device: torch.device, folder: Path | None = None
    ) -> None:
        made = environment()
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else made["cpu"]
        self.deployment, self._device = deployment, device
        self.where = {**deployment.identity, "device": name, "torch": made["packages"]["torch"]}
        self.where["version"] = version_of(deployment.runtime)
        self._file = folder and folder / f"{content_key(self.where)}.json"
        known = self._file and read_json(self._file)
        self.seconds: dict[str, float] = known["seconds"] if known else {}

    @property
    def digest(self) -> str:
        """SHA-256 of all that it holds, by which a record says on what it stood."""
        content = json.dumps([self.where, self.seconds], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def counts(self, operation: Operation) -> bool:
        """Whether an operation takes time of its own in this runtime."""
        eager = self.deployment.runtime == "eager"
        return eager or any(one in str(operation.function) for one in UNFUSED)

    def measure(self, cells: Mapping[str, Recorded]) -> None:
        """Time the operations that are not known yet, one after the other, over and over.

        Raises:
            ExportError: the runtime cannot run one of them.
        """
        missing = {name: one for name, one in cells.items() if name not in self.seconds}
        if not missing:
            return
        with threads(self.deployment.threads):
            runs = self._loaded([_Call(*one).to(self._device) for one in missing.values()])
        with alone(self.deployment.threads), torch.inference_mode():
            for _ in range(SWEEPS):
                for name, run in zip(missing, runs, strict=True):
                    self.seconds[name] = min(_fastest(run), self.seconds.get(name, torch.inf))
        if self._file:
            write_json(self._file, {"where": self.where, "seconds": self.seconds})

    def _loaded(self, calls: "Sequence[_Call]") -> list[Run]:
        """Each operation in the runtime; of an ONNX file, a part of the one that holds all."""
        if self.deployment.runtime == "eager":
            return [call.run for call in calls]
        import onnx

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "operations.onnx"
            to_onnx(_Calls(calls), ([call.given for call in calls],), file)
            whole = onnx.load(file)
            names, runs = [one.name for one in whole.graph.input], []
            parts = onnx.utils.Extractor(whole)
            for call, output in zip(calls, whole.graph.output, strict=True):
                own, names = names[: len(call.given)], names[len(call.given) :]
                onnx.save(parts.extract_model(own, [output.name]), file)
                runs.append(opened(file, tuple(call.given), self.deployment))
        return runs


class _Call(nn.Module):
    """One operation as a network: weights of the network are its own, other tensors are given."""

    def __init__(self, operation: Operation, numbers: list[int]) -> None:
        super().__init__()
        self.operation, self.arguments = operation, operation.arguments(numbers)
        self.given = []
        for at, leaf in enumerate(operation.leaves):
            if isinstance(leaf, Sized):
                tensor = self.arguments[at]
                if leaf.weight:
                    self.register_buffer(f"weight{at}", tensor)
                else:
                    self.given.append(tensor)

    def forward(self, *given: Any) -> Any:
        rest, filled = list(given), list(self.arguments)
        for at, leaf in enumerate(self.operation.leaves):
            if isinstance(leaf, Sized):
                filled[at] = getattr(self, f"weight{at}") if leaf.weight else rest.pop(0)
        return self.operation(filled)

    def run(self) -> Any:
        return self(*self.given)


class _Calls(nn.Module):
    """Many operations beside each other, each with its own inputs."""

    def __init__(self, calls: Sequence[_Call]) -> None:
        super().__init__()
        self.calls = nn.ModuleList(calls)

    def forward(self, given: list[list[Any]]) -> list[Any]:
        return [call(*own) for call, own in zip(self.calls, given, strict=True)]


def _fastest(run: Run) -> float:
    """Seconds of one call: the fastest of some repeats."""
    run()
    start = time.perf_counter()
    run()
    times = max(1, min(50, int(SWEEP_S / (time.perf_counter() - start))))
    spent = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(times):
            run()
        spent.append((time.perf_counter() - start) / times)
    return min(spent)
