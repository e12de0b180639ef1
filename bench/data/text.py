"""Text as tokens: its bytes, in samples of equal length, split by position."""

import hashlib
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ..errors import DataError, fault
from .augment import Augmentation, Jitter
from .images import Batch, Draw, Images
from .reader import Source, Splits, refuse_keys

SUFFIXES = {".txt", ".md", ".rst"}


@dataclass(frozen=True)
class Passages(Images):
    """Those `chosen` of the samples of a text, each `length` tokens and what follows each token."""

    tokens: Tensor  # uint8
    length: int

    def _batch(self, at: Tensor, draw: Draw, augment: Augmentation, jitter: Jitter) -> Batch:
        """Augmentation: samples begin anywhere, up to a sample later, but before the last."""
        starts = at * self.length
        if augment and draw is not None:
            starts = starts + torch.randint(self.length, at.shape, generator=draw)
            starts = starts.clamp(max=int(self.chosen.max()) * self.length)
        places = starts[:, None] + torch.arange(self.length + 1)
        passage = self.tokens[places.to(self.tokens.device)].long()
        return passage[:, :-1], passage[:, 1:]


def read_text(source: Source, length: Annotated[int, Field(ge=2)] = 64) -> Splits:
    """A text file, or all text files of a folder as one; its last tenth is for tests.

    `length` is of a sample, in tokens. Raises DataError where no text is, or too little of it.
    """
    refuse_keys(source.spec, "image_size", "normalize", "crops")
    if not source.spec.root:
        raise DataError("text: give its root, a text file or a folder of them")
    root = source.folder("")
    files = [root] if root.is_file() else sorted(root.rglob("*.*"))
    texts = (one for one in files if one.suffix in SUFFIXES and one.is_file())
    if not (content := b"\n".join(one.read_bytes() for one in texts)):
        raise DataError(f"text: {root} is no text file, and no folder with {', '.join(SUFFIXES)}")
    tokens = torch.from_numpy(np.frombuffer(content, np.uint8).copy()).to(source.device)
    cut = round(0.9 * len(tokens))

    def split(part: Tensor) -> Passages:
        samples = (len(part) - 1) // length
        if samples < 2:
            raise DataError(fault("short_text", root=root, bytes=len(tokens), length=length))
        return Passages(part, length, chosen=torch.arange(samples))

    identity = [hashlib.sha256(content).hexdigest(), length]
    shape = {"vocabulary": 256, "length": length}  # tokens are bytes, so no tokenizer is needed
    return Splits(shape, split(tokens[:cut]), split(tokens[cut:]), identity, by_position=True)
