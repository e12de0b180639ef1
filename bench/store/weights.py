"""Trained weights on disk, and where a training stands, so that a killed one goes on as it was."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from criteria.evidence.meter import Cost
from criteria.lazy import nn, torch

from .sealed import read_sealed, wanted, write_sealed
from .store import Store

EVERY_S = 30.0  # from one writing of a checkpoint to the next


def save_weights(model: nn.Module, file: Path) -> str:
    """Write them so that any machine can read them, whatever device they are on. Returns their
    SHA-256, the seal not counted. Raises StoreError."""
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
    if (content := read_sealed(file)) is None or hashlib.sha256(content).hexdigest() != sha256:
        return None
    return content


def load_weights(model: nn.Module, file: Path, sha256: str) -> None:
    """Give a model the stored weights with that SHA-256, on the device that it is on."""
    content = wanted(lambda path: stored_weights(path, sha256), file)
    model.load_state_dict(torch.load(io.BytesIO(content), weights_only=True, map_location="cpu"))


@dataclass
class Checkpoint:
    """The file of one training; what it holds belongs to the job whose key names it."""

    path: Path  # may not exist yet
    # Digest of what the training has begun from; one that began elsewhere is ignored.
    stands_on: str = ""
    carried: Cost | None = None  # what scoring on the way has cost, kept beside the training
    _written: float = field(default_factory=time.monotonic)

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None where nothing was, it was damaged (set aside then), or it
        stands on something else."""
        if (content := read_sealed(self.path)) is None:
            return None
        state = torch.load(io.BytesIO(content), weights_only=True)
        if state["stands_on"] != self.stands_on:
            return None
        if self.carried is not None:
            self.carried.seconds, self.carried.peak_bytes, self.carried.images = state["cost"]
        return state["state"]

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._written >= EVERY_S

    def save(self, state: Mapping[str, Any]) -> None:
        """Tensors, numbers, strings, and lists and dicts of these; whole, or not at all."""
        buffer, spent = io.BytesIO(), self.carried
        cost = spent and (spent.seconds, spent.peak_bytes, spent.images)
        whole = {"state": dict(state), "stands_on": self.stands_on, "cost": cost}
        torch.save(whole, buffer)
        write_sealed(self.path, buffer.getvalue())
        self._written = time.monotonic()
