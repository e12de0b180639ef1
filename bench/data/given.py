"""Datasets that users bring: arrays, sequences of images with labels, Hugging Face's."""

import hashlib
from collections.abc import Mapping, Sequence
from os.path import commonpath
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reports.formats import few

from ..errors import DataError, fault, needed
from .arrays import read_arrays
from .images import Normalization
from .pictures import AtHand, Listing, Pictures, check_labels, read_pictures
from .reader import Source, Splits

SPLITS = ("train", "test")


def as_splits(source: Source, given: Any) -> Splits:
    """The splits that a user's function returned, as `register_dataset` says.

    Raises DataError: another form, images of several sizes or not finite, labels that are no class.
    """
    name = source.spec.name
    if not isinstance(given, Mapping) or set(given) != set(SPLITS):
        raise DataError(f'dataset {name}: its function has to return {{"train": ..., "test": ...}}')
    arrays = [_arrays(f"dataset {name}: {split}", given[split]) for split in SPLITS]
    if None not in arrays:
        read = [one for one in arrays if one]
        _refuse_gaps(name, read[0][1].tolist())
        return _of_arrays(source, read)
    parts = [_pictures(f"dataset {name}: {split}", given[split]) for split in SPLITS]
    _refuse_gaps(name, parts[0].labels)
    return read_pictures(source, parts)


def _refuse_gaps(name: str, labels: Sequence[int]) -> None:
    """Raises DataError where a class has no image to train on."""
    used = {*labels}
    if missing := sorted({*range(max(used, default=0) + 1)} - used):
        raise DataError(fault("gaps", name=name, missing=few([*map(str, missing)])))


def _arrays(what: str, given: Any) -> tuple[Tensor, Tensor] | None:
    """Images [n, c, h, w] and labels [n], if that is what is given."""
    if not isinstance(given, Sequence) or len(given) != 2 or not hasattr(given[0], "shape"):
        return None
    try:
        images, labels = torch.as_tensor(given[0]), torch.as_tensor(given[1])
    except TypeError as error:  # such as names of classes
        raise DataError(f"{what}: {error}; labels are numbers from 0") from error
    images = images[:, None] if images.dim() == 3 else images
    if images.dim() != 4 or labels.shape != images.shape[:1] or not len(labels):
        shapes = {"images": list(images.shape), "labels": list(labels.shape)}
        raise DataError(fault("no_arrays", given=what, **shapes))
    if images.is_floating_point():
        images = images.float()
        bad = ~images.isfinite().flatten(1).all(1)
        if bad.any():
            raise DataError(f"{what}: image {int(bad.nonzero()[0])} is not finite")
    elif images.dtype != torch.uint8:
        raise DataError(f"{what}: images of {images.dtype}; give bytes (uint8) or floats")
    check_labels(what, labels.tolist())
    return images, labels.long()


def _of_arrays(source: Source, parts: list[tuple[Tensor, Tensor]]) -> Splits:
    """Bytes are normalised by the mean and deviation of train; floats are taken as they are."""
    (pixels, _), (tested, _) = parts
    if pixels.shape[1:] != tested.shape[1:] or pixels.dtype != tested.dtype:
        raise DataError(f"dataset {source.spec.name}: train and test hold images of other shapes")
    if pixels.shape[2] != pixels.shape[3] and source.spec.image_size is None:
        raise DataError(fault("no_squares", name=source.spec.name, shape=pixels.shape))
    content = hashlib.sha256()
    for images, labels in parts:
        content.update(images.contiguous().numpy().tobytes() + labels.numpy().tobytes())
    white, normalize = 1, Normalization((0.0,), (1.0,))
    if pixels.dtype == torch.uint8:
        deviation, mean = torch.std_mean(pixels.double() / 255, dim=(0, 2, 3))
        normalize = Normalization(tuple(mean.tolist()), tuple(deviation.clamp(min=1e-3).tolist()))
        white = 255
    return read_arrays(source, normalize, parts, content.hexdigest(), white=white)


def _pictures(what: str, given: Any) -> Pictures:
    """A sequence of images with labels, or of paths with labels."""
    try:
        first, _ = given[0]
        labels = [given[at][1] for at in range(len(given))]
    except (TypeError, ValueError, LookupError) as error:
        raise DataError(fault("no_pictures", given=what, error=error)) from error
    if not isinstance(first, str | Path):
        return AtHand(what, lambda at: given[at][0], labels)
    check_labels(what, labels)
    files = [Path(one).absolute() for one, _ in given]
    folder = Path(commonpath([one.parent for one in files]))
    return Listing(folder, [one.relative_to(folder).as_posix() for one in files], labels)


def read_hf(
    source: Source,
    *,
    config: str | None = None,
    image: str = "image",
    label: str = "label",
    train: str = "train",
    test: str = "test",
) -> Splits:
    """A dataset of Hugging Face's library, from its local cache or a folder that it has saved.

    Options:
        config: which of the dataset's configurations.
        image, label: the columns of images and of class numbers.
        train, test: its names of the two splits.
    """
    name = source.spec.name.removeprefix("hf:")
    datasets = needed("hf", "datasets", wrong=DataError)
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = not source.download
    try:
        if source.spec.root:
            found = datasets.load_from_disk(str(source.folder("")))
        else:
            found = datasets.load_dataset(name, config)
        columns = [(found[split][image], list(found[split][label])) for split in (train, test)]
    except Exception as error:  # whatever that library raises
        kind = type(error).__name__
        raise DataError(fault("no_hf", name=name, kind=kind, error=error)) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = before
    parts = [
        AtHand(f"hf:{name}: {split}", images.__getitem__, labels)
        for split, (images, labels) in zip((train, test), columns, strict=True)
    ]
    return read_pictures(source, parts)
