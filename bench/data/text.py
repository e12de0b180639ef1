"""Text as tokens: its bytes, in samples of equal length, split by position."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ..errors import DataError, fault
from .augment import Augmentation, Jitter
from .images import Batch, Draw, Images, in_parts
from .reader import Source, Split, refuse_keys

SUFFIXES = {".txt", ".md", ".rst"}
TEST = 0.1  # share of the text, its end
VOCABULARY = 256  # tokens are bytes, so no tokenizer is needed


@dataclass(frozen=True)
class TextSplits:
    """A text in two splits."""

    length: int
    train: Split
    test: Split
    identity: object
    by_position: ClassVar[bool] = True  # the end of `train` is held out

    @property
    def shape(self) -> dict[str, int]:
        """What a network is built for, by the names that its constructor may ask for."""
        return {"vocabulary": VOCABULARY, "length": self.length}


@dataclass(frozen=True)
class Passages(Images):
    """Those `chosen` of the samples of a text, each `length` tokens and what follows each token."""

    tokens: Tensor  # uint8
    length: int
    chosen: Tensor

    def _batches(
        self, order: Tensor, size: int, draw: Draw, augment: Augmentation, jitter: Jitter
    ) -> Iterator[Batch]:
        """Augmentation: samples begin anywhere, up to a sample later, but before the last."""
        starts = order * self.length
        if augment and draw is not None:
            starts = starts + torch.randint(self.length, order.shape, generator=draw)
            starts = starts.clamp(max=int(self.chosen.max()) * self.length)
        for part in in_parts(starts, size):
            places = part[:, None] + torch.arange(self.length + 1)
            passage = self.tokens[places.to(self.tokens.device)].long()
            yield passage[:, :-1], passage[:, 1:]


def read_text(source: Source, length: Annotated[int, Field(ge=2)] = 64) -> TextSplits:
    """A text file, or all text files of a folder one behind the other; its last tenth is for tests.

    `length`: tokens of a sample.

    Raises:
        DataError: no text is there, or too little of it.
    """
    spec = source.spec
    refuse_keys(spec, "image_size", "normalize", "crops")
    if not spec.root:
        raise DataError("text: give its root, a text file or a folder of them")
    root = source.folder("")
    content = b"\n".join(_read(file) for file in _files(root))
    tokens = torch.from_numpy(np.frombuffer(content, np.uint8).copy())
    cut = round(len(tokens) * (1 - TEST))

    def split(part: Tensor) -> Split:
        samples, there = (len(part) - 1) // length, part.to(source.device)
        if samples < 2:
            raise DataError(fault("short_text", root=root, tokens=len(tokens), length=length))
        return Split(torch.arange(samples), lambda chosen: Passages(there, length, chosen))

    identity = [hashlib.sha256(content).hexdigest(), length]
    return TextSplits(length, split(tokens[:cut]), split(tokens[cut:]), identity)


def _files(root: Path) -> list[Path]:
    """The files of a text, in the order of their names."""
    if root.is_file():
        return [root]
    found = sorted(one for one in root.rglob("*") if one.suffix in SUFFIXES and one.is_file())
    if not found:
        raise DataError(f"text: {root} is no text file, and no folder with {', '.join(SUFFIXES)}")
    return found


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error}") from error
