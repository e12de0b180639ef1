"""Trained weights on disk: written whole, known by their SHA-256, and checked against it."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from criteria.lazy import nn, torch

from .sealed import read_sealed, write_sealed
from .store import Store


def save_weights(model: nn.Module, file: Path) -> str:
    """Write them so that any machine can read them, whatever device they are on.

    Returns their SHA-256, the seal not counted. Raises StoreError.
    """
    state, buffer = model.state_dict(), io.BytesIO()
    for name, one in state.items():
        state[name] = one.cpu()
    torch.save(state, buffer)
    write_sealed(file, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def trained_file(store: Store, path_key: str, budget: str) -> Path:
    """Where the weights lie that a path has trained by the time it reaches a budget."""
    return store.path("paths", f"{path_key}-{budget}", ".pt")


def stored_weights(file: Path, sha256: str) -> bytes | None:
    """The stored weights with that SHA-256; None where they are gone, damaged or others."""
    content = read_sealed(file)
    if content is None or hashlib.sha256(content).hexdigest() != sha256:
        return None
    return content


def load_weights(model: nn.Module, content: bytes) -> None:
    """Give a model the weights of a stored file, on the device that it is on."""
    model.load_state_dict(torch.load(io.BytesIO(content), weights_only=True, map_location="cpu"))
