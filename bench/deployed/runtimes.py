"""A network where it will run: in torch, compiled, or as an ONNX file in another runtime."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from criteria.network.given import copied, tensors
from suites.protocol import Deployment

from ..errors import ExportError, needed
from ..export.runtimes import resized, run_onnx, to_onnx

Run = Callable[[], Any]
Loaded = tuple[Run, int]  # a forward pass of a batch; bytes of weights and buffers, or of its file
TORCH = ("eager", "compile")


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

    `inputs`: arguments of its forward, of any batch. Raises ExportError where this runtime is
    missing, or cannot run the network.
    """
    batch = resized(inputs, deployment.batch)
    with threads(deployment.threads), tempfile.TemporaryDirectory() as folder:
        if deployment.runtime in TORCH:
            size = sum(one.nbytes for one in model.state_dict().values())
            opened = partial(_torch, model, batch, deployment)
        else:
            file = Path(folder) / "network.onnx"
            _write(model, inputs, file, deployment)
            size = sum(one.stat().st_size for one in Path(folder).iterdir())
            opened = partial(_open, file, batch, deployment)
        return [(opened(), size) for _ in range(copies)]


def load_each(
    models: Sequence[nn.Module], inputs: Sequence[Any], deployment: Deployment
) -> list[Run]:
    """Many small networks of one input each; of an ONNX file each a part of the one of all."""
    if deployment.runtime == "eager":
        return [_torch(one, (x,), deployment) for one, x in zip(models, inputs, strict=True)]
    import onnx

    with threads(deployment.threads), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "layers.onnx"
        _write(_Beside(models), (list(inputs),), file, deployment)
        whole = onnx.load(file)
        parts, runs = onnx.utils.Extractor(whole), []
        for given, taken, put in zip(inputs, whole.graph.input, whole.graph.output, strict=True):
            onnx.save(parts.extract_model([taken.name], [put.name]), file)
            runs.append(_open(file, (given,), deployment))
    return runs


class _Beside(nn.Module):
    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, inputs: list[Any]) -> list[Any]:
        return [model(one) for model, one in zip(self.models, inputs, strict=True)]


def _write(model: nn.Module, inputs: tuple[Any, ...], file: Path, deployment: Deployment) -> None:
    if tensors(inputs)[0].is_cuda:
        raise ExportError(f"{deployment.runtime} runs on the CPU here, and the network on a GPU")
    to_onnx(model, inputs, file)


def _open(file: Path, batch: tuple[Any, ...], deployment: Deployment) -> Run:
    """An ONNX file in its runtime; the file is not needed afterwards."""
    if deployment.runtime == "onnxruntime":
        session = run_onnx(file)
        return lambda: session(*batch)
    settings = {"INFERENCE_NUM_THREADS": deployment.threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = _core().compile_model(str(file), "CPU", settings)
    arrays = [one.numpy(force=True) for one in tensors(batch)]
    return lambda: compiled(arrays)


@cache
def _core() -> Any:
    return needed("openvino", "openvino", wrong=ExportError).Core()


def _torch(model: nn.Module, batch: tuple[Any, ...], deployment: Deployment) -> Run:
    model = copied(model).eval()
    network = torch.compile(model) if deployment.runtime == "compile" else model

    def run() -> None:
        with torch.inference_mode():
            network(*batch)
        if tensors(batch)[0].is_cuda:
            torch.cuda.synchronize()

    try:
        run()
    except Exception as error:  # of whatever compiles, in many ways: the first line says which
        raise ExportError(f"{deployment.runtime}: {str(error).strip().splitlines()[0]}") from error
    return run


def version_of(runtime: str) -> str:
    """The runtime's package and version, as `torch 2.12.0`."""
    package = "torch" if runtime in TORCH else runtime
    return f"{package} {version(package)}"
