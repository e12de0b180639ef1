"""Where a training stands, on disk, so that a killed one goes on bit for bit where it was."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from criteria.evidence.meter import Cost

from .sealed import read_sealed, write_sealed

EVERY_S = 30.0


@dataclass
class Checkpoint:
    """The file of one training; what it holds belongs to the job whose key names it.

    Attributes:
        path: may not exist yet.
        stands_on: digest of what the training has begun from; one that began elsewhere is ignored.
        carried: what scoring on the way has cost, kept beside the training.
        every_s: seconds from one writing to the next; None: EVERY_S.
    """

    path: Path
    stands_on: str = ""
    carried: Cost | None = None
    every_s: float | None = None
    _written: float = field(default_factory=time.monotonic)

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None where nothing was, it was damaged (set aside then), or it
        stands on something else."""
        content = read_sealed(self.path)
        if content is None:
            return None
        state = torch.load(io.BytesIO(content), weights_only=True)
        if state["stands_on"] != self.stands_on:
            return None
        if self.carried is not None:
            self.carried.seconds, self.carried.peak_bytes, self.carried.images = state["cost"]
        return state["state"]

    def due(self) -> bool:
        """Whether it is time to save."""
        every_s = EVERY_S if self.every_s is None else self.every_s
        return time.monotonic() - self._written >= every_s

    def save(self, state: Mapping[str, Any]) -> None:
        """Tensors, numbers, strings, and lists and dicts of these; whole, or not at all."""
        buffer = io.BytesIO()
        cost = self.carried and (
            self.carried.seconds, self.carried.peak_bytes, self.carried.images
        )  # fmt: skip
        whole = {"state": dict(state), "stands_on": self.stands_on, "cost": cost}
        torch.save(whole, buffer)
        write_sealed(self.path, buffer.getvalue())
        self._written = time.monotonic()
