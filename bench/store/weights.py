"""Trained weights on disk: written whole, known by their SHA-256, and checked against it."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch
from torch import nn

from ..errors import StoreError
from .store import write_atomically


def save_weights(model: nn.Module, file: Path) -> str:
    """Write them so that any machine can read them, whatever device they are on; returns their
    SHA-256."""
    state, buffer = model.state_dict(), io.BytesIO()
    for name, one in state.items():
        state[name] = one.cpu()
    torch.save(state, buffer)
    write_atomically(file, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def load_weights(model: nn.Module, file: Path, sha256: str, done: Path) -> None:
    """Give a model the weights that were saved, on the device that it is on.

    Args:
        done: the file that says that they are whole; without it they are made anew.

    Raises:
        StoreError: the file is gone, or not what was saved.
    """
    again = f"delete {done} and run again to train anew"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}; {again}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise StoreError(f"{file}: the weights have changed since they were stored; {again}")
    model.load_state_dict(torch.load(io.BytesIO(content), weights_only=True, map_location="cpu"))
