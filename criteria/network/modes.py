"""Running a model for its gradients and leaving it as it was found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..lazy import nn, torch


@contextmanager
def _put_back(owners: Iterable[object], attribute: str) -> Iterator[None]:
    """The attribute of these objects is afterwards what it was, whatever happens."""
    before = [(one, getattr(one, attribute)) for one in owners]
    try:
        yield
    finally:
        for one, value in before:
            setattr(one, attribute, value)


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Eval mode; modes are put back, whatever happens."""
    with _put_back(model.modules(), "training"):
        model.eval()
        yield


@contextmanager
def in_autograd(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Every parameter in autograd, or none, as in passes that make no gradients of weights; flags
    are put back, whatever happens."""
    with _put_back(model.parameters(), "requires_grad"):
        model.requires_grad_(wanted)
        yield


@contextmanager
def eval_with_gradients(model: nn.Module) -> Iterator[None]:
    """Eval mode, every parameter in autograd; modes and flags are put back, whatever happens."""
    with evaluated(model), in_autograd(model, True), torch.enable_grad():
        yield


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norm by the statistics of the batch; the running ones stay as they are."""
    norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    with _put_back(norms, "training"), _put_back(norms, "_buffers"):
        for norm in norms:
            norm.train()
            norm._buffers = {  # copies move in their place
                name: None if buffer is None else buffer.clone()
                for name, buffer in norm._buffers.items()
            }
        yield
