"""Running a model for its gradients and leaving it as it was found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eval_with_gradients(model: nn.Module) -> Iterator[None]:
    """Eval mode, every parameter in autograd; modes and flags are put back, whatever happens."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Parameters out of autograd: what is run inside has no gradients of weights to make."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.requires_grad_(False)
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


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
