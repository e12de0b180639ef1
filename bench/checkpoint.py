"""Where a training stands, on disk, so that a killed one goes on bit for bit where it was."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .store import write_atomically

EVERY_S = 30.0


@dataclass
class Checkpoint:
    """The file of one training; what it holds belongs to the job whose key names it.

    Attributes:
        path: may not exist yet.
        every_s: seconds from one writing to the next; None: EVERY_S.
    """

    path: Path
    every_s: float | None = None
    _written: float = field(default_factory=time.monotonic)

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None where nothing was."""
        try:
            return torch.load(io.BytesIO(self.path.read_bytes()), weights_only=True)
        except FileNotFoundError:
            return None

    def due(self) -> bool:
        """Whether it is time to save."""
        every_s = EVERY_S if self.every_s is None else self.every_s
        return time.monotonic() - self._written >= every_s

    def save(self, state: Mapping[str, Any]) -> None:
        """Tensors, numbers, strings, and lists and dicts of these; whole, or not at all."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_atomically(self.path, buffer.getvalue())
        self._written = time.monotonic()
