"""A network where it will run: in torch, compiled, or as an ONNX file in another runtime."""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from criteria.evidence.meter import PeakMemory
from criteria.network.given import copied
from suites.protocol import Deployment

from ..errors import ExportError
from ..export.runtimes import resized, run_onnx, tensors, to_onnx

Run = Callable[[], Any]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network in a runtime.

    Attributes:
        run: one forward pass of one batch.
        file_bytes: of its weights as torch saves them, or of its ONNX file.
        peak_bytes: growth of resident memory while it was loaded and run once; of weights that
            torch held already, their size. None where the system does not tell.
    """

    run: Run
    file_bytes: int
    peak_bytes: int | None


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many threads of torch, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load(
    model: nn.Module, inputs: tuple[Any, ...], deployment: Deployment, copies: int = 1
) -> list[Loaded]:
    """Copies of a network, in eval mode, ready to run on a batch of that size.

    Args:
        inputs: arguments of its forward, of any batch.

    Raises:
        ExportError: this runtime is missing, or cannot run the network.
    """
    batch = resized(inputs, deployment.batch)
    if deployment.runtime in ("eager", "compile"):
        return [_in_torch(copied(model).eval(), batch, deployment) for _ in range(copies)]
    if tensors(batch)[0].is_cuda:
        raise ExportError(f"{deployment.runtime} runs on the CPU here, and the network on a GPU")
    loaded = []
    with tempfile.TemporaryDirectory() as folder, threads(deployment.threads):
        file = Path(folder) / "network.onnx"
        to_onnx(model, inputs, file)
        size = sum(one.stat().st_size for one in Path(folder).iterdir())
        for _ in range(copies):
            with PeakMemory(model) as memory:
                run = opened(file, batch, deployment)
                run()
            loaded.append(Loaded(run, size, memory.bytes))
    return loaded


def opened(file: Path, batch: tuple[Any, ...], deployment: Deployment) -> Run:
    """An ONNX file in its runtime; the file is not needed afterwards."""
    if deployment.runtime == "onnxruntime":
        session = run_onnx(file)
        return lambda: session(*batch)
    if find_spec("openvino") is None:
        raise ExportError("openvino is not installed: pip install 'pruning-bench[openvino]'")
    settings = {"INFERENCE_NUM_THREADS": deployment.threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = _core().compile_model(str(file), "CPU", settings)
    arrays = [one.numpy(force=True) for one in tensors(batch)]
    return lambda: compiled(arrays)


@cache
def _core() -> Any:
    return import_module("openvino").Core()


def _in_torch(model: nn.Module, batch: tuple[Any, ...], deployment: Deployment) -> Loaded:
    held = sum(one.nbytes for one in model.state_dict().values())
    network = torch.compile(model) if deployment.runtime == "compile" else model

    def run() -> None:
        with torch.inference_mode():
            network(*batch)
        if tensors(batch)[0].is_cuda:
            torch.cuda.synchronize()

    try:
        with threads(deployment.threads), PeakMemory(model) as memory:
            run()
    except Exception as error:  # of whatever compiles, in many ways: the first line says which
        raise ExportError(f"{deployment.runtime}: {str(error).strip().splitlines()[0]}") from error
    saved = io.BytesIO()
    torch.save(model.state_dict(), saved)
    grown = None if memory.bytes is None else memory.bytes + held
    return Loaded(run, saved.tell(), grown)


def version_of(runtime: str) -> str:
    """The runtime's package and version, as `torch 2.12.0`."""
    package = "torch" if runtime in ("eager", "compile") else runtime
    return f"{package} {version(package)}"
