"""Networks as files of other runtimes, ONNX and torch.export, for batches of any size, checked."""

from __future__ import annotations

import inspect
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from criteria.lazy import Tensor, nn, pytree, torch
from criteria.network.cut import apart
from criteria.network.given import tensors
from criteria.network.modes import evaluated

from ..errors import ExportError, StoreError, fault, needed
from ..store.sealed import write_atomically

Run = Callable[..., list[Tensor]]  # positional arguments -> all tensors of the output
SIZES = (1, 3)  # of the batches that a file is checked on


@dataclass(frozen=True)
class Written:
    """A file that another runtime reads."""

    file: Path
    difference: float  # the largest of its outputs and torch's, relative to the largest output
    run: Run = field(repr=False)
    opset: int | None = None  # of ONNX


def to_onnx(
    model: nn.Module, inputs: tuple[Any, ...], file: Path, about: Mapping[str, Any] | None = None
) -> Written:
    """Write a network in eval mode as ONNX, and hold its outputs in onnxruntime against torch's.

    Args:
        inputs: arguments of the forward; the first dimension of tensors is the batch, of any size
            in the file.
        about: what the file's metadata shall hold.

    Raises ExportError: the extra `export` is missing, the network cannot be written for batches of
    any size, or the file gives other outputs.
    """
    needed("export", "onnx", "onnxscript", "onnxruntime", wrong=ExportError)
    program = _program(model, inputs)
    with _refused("ONNX"):
        found = torch.onnx.export(program, (), dynamo=True, verbose=False)
        assert found is not None
        told = {key: json.dumps(value) for key, value in (about or {}).items()}
        found.model.metadata_props.update(told)
        content = found.model_proto.SerializeToString()
    written(file, content)
    try:
        with _refused("onnxruntime", "run"):
            run = run_onnx(file)
    except ExportError:
        file.unlink()
        raise
    return checked(model, inputs, file, run, found.model.opset_imports[""])


def to_torch_export(model: nn.Module, inputs: tuple[Any, ...], file: Path) -> Written:
    """Write a network in eval mode for `torch.export.load`; arguments as of `to_onnx`."""
    program, buffer = _program(model, inputs), io.BytesIO()
    with _refused("torch.export"):
        torch.export.save(program, buffer)  # not to a file: on a full disk it ends the process
    written(file, buffer.getvalue())
    return checked(model, inputs, file, run_torch(torch.export.load(file).module()))


def run_onnx(file: Path) -> Run:
    """An ONNX file as a function, run by onnxruntime on the CPU, in as many threads as torch."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(*args: Any) -> list[Tensor]:
        given = [one.numpy(force=True) for one in tensors(args)]
        found = session.run(None, dict(zip(names, given, strict=True)))
        return [torch.from_numpy(one) for one in found]

    return run


def run_torch(model: nn.Module) -> Run:
    """A network as a function."""
    return lambda *args: outputs(model, args)


def checked(
    model: nn.Module, inputs: tuple[Any, ...], file: Path, run: Run, opset: int | None = None
) -> Written:
    """Hold a file's outputs against a network's; ExportError, and no file, where they differ."""
    largest = 0.0
    for given in (resized(inputs, size) for size in SIZES):
        with evaluated(model):
            ours = outputs(model, given)
        largest = max(largest, apart(ours, run(*given)))
    if largest > bound(ours):
        file.unlink()
        raise ExportError(fault("other_outputs", file=file.name, largest=largest))
    return Written(file, largest, run, opset)


def outputs(model: nn.Module, args: tuple[Any, ...]) -> list[Tensor]:
    """All tensors that a network puts out, in whatever they are nested."""
    with torch.no_grad():
        return tensors(model(*args))


def bound(ones: Sequence[Tensor]) -> float:
    """How far outputs may be apart that were summed in another order: 1e-3 of float32."""
    return max(3 * torch.finfo(one.dtype).eps ** 0.5 for one in ones if one.is_floating_point())


def resized(inputs: Any, size: int) -> Any:
    """The same arguments as a batch of another size: its images repeated, or the first of them."""
    batch = len(tensors(inputs)[0])
    return pytree.tree_map(
        lambda one: one[torch.arange(size) % batch] if _batched(one, batch) else one, inputs
    )


def written(file: Path, content: bytes) -> None:
    """Write a whole file or none; ExportError where the disk is full or the folder is read-only."""
    try:
        write_atomically(file, content)
    except StoreError as error:
        why = getattr(error.__cause__, "strerror", None) or error.__cause__
        raise ExportError(f"{file} cannot be written: {why}") from error


def _program(model: nn.Module, inputs: tuple[Any, ...]) -> Any:
    """The network as torch.export reads it, its batch of any size."""
    two = resized(inputs, 2)  # of one image, torch takes the size for a constant
    size = torch.export.Dim("batch")
    named = dict(inspect.signature(model.forward).bind(*two).arguments)
    shapes = pytree.tree_map(lambda one: {0: size} if _batched(one, 2) else None, named)
    with evaluated(model), _refused("torch.export"), torch.no_grad():
        return torch.export.export(model, two, dynamic_shapes=shapes)


def _batched(one: Any, size: int) -> bool:
    return isinstance(one, torch.Tensor) and one.dim() > 0 and len(one) == size


@contextmanager
def _refused(by: str, what: str = "write") -> Iterator[None]:
    """Exporters warn, and fail in many ways: the first lines of the cause say which."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ExportError:
        raise
    except Exception as error:  # of torch, of onnxscript, of the user's forward
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        first = " ".join((str(cause).strip() or type(cause).__name__).splitlines()[:2])
        raise ExportError(fault("refused", by=by, what=what, first=first)) from error
