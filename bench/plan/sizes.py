"""How large datasets and networks are, without loading or building any: for plans."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from criteria.lazy import nn, torch
from reports.records import content_key
from suites.problem import DatasetSpec, ModelSpec

from ..data.known import Contents, find
from ..errors import StoreError
from ..models import build_model, code_of
from ..pruning.cost import count_macs, count_params
from ..store.sealed import file_digests, read_json, write_json
from ..store.store import Store


@dataclass(frozen=True, kw_only=True)
class DatasetSize(Contents):
    """What a suite takes of a dataset: images to train on beside those for validation."""

    validation: int


def dataset_size(spec: DatasetSpec, data_root: Path | None = None) -> DatasetSize | None:
    """The size of a dataset, by its name; of a folder of images, by counting its files.

    None where that cannot be known: a folder that is not there, or images of a size of their own.
    """
    of = find(spec.name)
    known = of.contents if of else None
    plain = spec.root and spec.image_size and not spec.options
    if known is None and data_root is not None and plain and spec.root:
        known = _counted(data_root / spec.root, spec.image_size)
    if known is None:
        return None
    pool = min(known.train, spec.train_images or known.train)
    held_out = spec.held_out(pool)
    taken = {
        "train": pool - held_out,
        "validation": held_out,
        "test": min(known.test, spec.test_images or known.test),
        "image_size": spec.image_size or known.image_size,
    }
    return DatasetSize(**vars(known) | taken)


@cache
def _counted(root: Path, image_size: int) -> Contents | None:
    from ..data.folders import count_images  # beside readers, which load torch

    return count_images(root, image_size)


@dataclass(frozen=True)
class ModelSize:
    """The MACs of one image, output channels of all convolutions and linear layers, parameters."""

    macs: int
    channels: int
    params: int


def model_size(spec: ModelSpec, extent: DatasetSize, store: Store | None = None) -> ModelSize:
    """The size of the dense network, which is built without memory for its weights.

    It is kept in `store` by the hash of all that it follows from: only a first plan needs torch.
    """
    shape = (extent.classes, extent.channels, extent.image_size)
    return _kept(spec.model_copy(update=_NO_WEIGHTS).model_dump_json(), shape, store)


_NO_WEIGHTS = {"weights": None, "checkpoint": None, "sha256": None, "recipe": None}


@cache
def _kept(spec: str, shape: tuple[int, int, int], store: Store | None) -> ModelSize:
    if store is None:
        return _size(spec, *shape)
    code = file_digests(Path(__file__).parents[1])  # what builds and counts is all in it
    theirs = code_of(ModelSpec.model_validate_json(spec)) or version("torchvision")
    key = content_key([spec, shape, code, theirs])
    file = store.path("sizes", key, ".json")
    if (known := read_json(file)) is None:
        known = asdict(_size(spec, *shape))
        with suppress(StoreError):  # a folder that is only to be read is planned for all the same
            write_json(file, known)
    return ModelSize(**known)


def _size(spec: str, classes: int, channels: int, image_size: int) -> ModelSize:
    given = ModelSpec.model_validate_json(spec)
    shape = {"classes": classes, "channels": channels, "image_size": image_size}
    with torch.device("meta" if code_of(given) is None else "cpu"):  # others' may ask for values
        model = build_model(given, seed=0, **shape)
        macs = count_macs(model, (torch.empty(1, channels, image_size, image_size),))
    layers = [each for each in model.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    return ModelSize(macs, sum(len(layer.weight) for layer in layers), count_params(model))
