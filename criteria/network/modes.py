"""Running a model for its gradients and leaving it as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..lazy import nn, torch


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Eval mode; modes are put back, whatever happens."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def in_autograd(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Every parameter in autograd, or none, as in passes that make no gradients of weights; flags
    are put back, whatever happens."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.requires_grad_(wanted)
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@contextmanager
def eval_with_gradients(model: nn.Module) -> Iterator[None]:
    """Eval mode, every parameter in autograd; modes and flags are put back, whatever happens."""
    with evaluated(model), in_autograd(model, True), torch.enable_grad():
        yield


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norm by the statistics of the batch; the running ones stay as they are."""
    norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    modes = [one.training for one in norms]
    buffers = [dict(one._buffers) for one in norms]
    try:
        for norm in norms:
            norm.train()
            for name, buffer in norm._buffers.items():  # copies move in their place
                norm._buffers[name] = None if buffer is None else buffer.clone()
        yield
    finally:
        for norm, training, kept in zip(norms, modes, buffers, strict=True):
            norm.training = training
            norm._buffers.update(kept)
