"""Datasets that come as arrays of small images: digits and CIFAR."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from .. import seeds
from ..errors import DataError
from .images import ArrayImages, resized
from .reader import Source, Split, Splits, normalization, refuse_crops


def read_digits(source: Source) -> Splits:
    """1797 handwritten digits (Alpaydin and Kaynak 1998), 8x8; a seeded fifth is the test split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # Ink 0..16 in steps of 15, exact in a byte; white is 240.
    pixels = torch.from_numpy((bunch.images * 15).astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    content = hashlib.sha256(pixels.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    order = torch.randperm(len(labels), generator=seeds.generator("test-split", dataset="digits"))
    test, train = (part.sort().values for part in order.tensor_split([len(order) // 5]))
    parts = [(pixels[part], labels[part]) for part in (train, test)]
    return _arrays(source, "digits", parts, content, white=240, shift=1, flip=False)


def read_cifar10(source: Source) -> Splits:
    """CIFAR-10 (Krizhevsky 2009): 60,000 images 32x32."""
    return _cifar(source, "CIFAR10")


def read_cifar100(source: Source) -> Splits:
    """CIFAR-100 (Krizhevsky 2009): 60,000 images 32x32."""
    return _cifar(source, "CIFAR100")


def _cifar(source: Source, name: str) -> Splits:
    from .vision import torchvision

    reader = getattr(torchvision.datasets, name)
    folder = source.data_root
    try:
        both = [reader(folder, train=train, download=source.download) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{source.spec.name}: no intact {reader.base_folder}/ under {folder} ({error}); unpack "
            f"{reader.filename} there, or let --download fetch it"
        ) from error
    # torchvision has checked the files against these sums.
    content = [reader.train_list, reader.test_list]
    parts = [
        (torch.from_numpy(one.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(one.targets))
        for one in both
    ]
    return _arrays(source, "cifar", parts, content)


def _arrays(
    source: Source,
    normalize_as: str,
    parts: list[tuple[Tensor, Tensor]],
    content: object,
    white: float = 255,
    shift: int = 4,
    flip: bool = True,
) -> Splits:
    """Splits of uint8 images [n, c, h, h] in memory, resized if the suite asks for a size."""
    normalize = normalization(source.spec, normalize_as, channels=parts[0][0].shape[1])
    size = source.spec.image_size or parts[0][0].shape[-1]
    refuse_crops(source.spec)

    def split(pixels: Tensor, labels: Tensor) -> Split:
        sized, labels = resized(pixels, size).to(source.device), labels.to(source.device)
        return Split(
            labels,
            lambda chosen: ArrayImages(sized, labels, chosen, normalize, white, shift, flip),
        )

    train, test = (split(*part) for part in parts)
    return Splits(
        classes=int(parts[0][1].max()) + 1,
        channels=parts[0][0].shape[1],
        image_size=size,
        train=train,
        test=test,
        identity=[content, size, normalize.mean, normalize.std],
    )
