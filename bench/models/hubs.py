"""Networks of timm and of transformers, by the calls that make them; both are extras."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from criteria.lazy import nn
from suites.faults import meant
from suites.problem import ModelSpec

from ..errors import ModelError, needed
from ..export.recipe import Call, call
from .constructors import LOGITS_ALONE, fitting, refuse_unknown

_OFF = {"use_cache"}  # of what generates
_SIZES = {"num_labels", "num_channels", "image_size", "vocab_size", "max_position_embeddings"}
LIBRARIES = {"timm": "timm", "hf": "transformers"}  # by extra


def version_of(extra: str) -> str:
    """What stands in keys for the code of a library's networks."""
    _library(extra)
    return f"{LIBRARIES[extra]} {version(LIBRARIES[extra])}"


def from_timm(spec: ModelSpec, shape: Mapping[str, Any]) -> Call:
    """A network of timm for these classes and channels, and for this image size where it has one.

    Its option `attention` is that of our vision transformers.

    Raises ModelError where there is no such network.
    """
    timm, name = _library("timm"), spec.name.partition(":")[2]
    if not timm.is_model(name):
        raise ModelError(f"timm has no model {name!r}{meant(name, timm.list_models())}")
    options = {"num_classes": shape["classes"], "in_chans": shape["channels"], **spec.options}
    unit = options.pop("attention", "head_dims")
    default = timm.get_pretrained_cfg(name)
    size = default.input_size[-1] if default and default.fixed_input_size else shape["image_size"]
    if size != shape["image_size"]:
        options = {"img_size": shape["image_size"], **options}
    made = call("timm:create_model", model_name=name, **options)
    return call("bench.models.adapters:adapted", model=made, unit=unit)


def from_transformers(spec: ModelSpec, shape: Mapping[str, Any]) -> Call:
    """A network of transformers by its class, or a classifier's type, which gives logits alone.

    Of its attention leave whole heads, or, with the option `attention: kept`, nothing.
    """
    kind = _class(spec.name)
    config = kind.config_class
    given = config.from_pretrained(_folder(spec)).to_diff_dict() if _folder(spec) else {}
    options = {"attention": "heads", **spec.options}
    known = [*config().to_dict(), "num_labels", "attention"]
    refuse_unknown(spec.name, options, known)
    sizes = {**fitting({*known} & _SIZES, shape), **dict.fromkeys({*known} & _OFF, False)}
    unit = options.pop("attention")
    configured = call(f"transformers:{config.__name__}", **{**given, **sizes, **options})
    place = f"transformers:{kind.__name__}"
    logits = call(LOGITS_ALONE, model=call(place, config=configured))
    return call("bench.models.adapters:adapted", model=logits, unit=unit)


def load_folder(model: nn.Module, spec: ModelSpec) -> None:
    """Fill a network from a folder of `save_pretrained`; what has other classes stays as it is."""
    given = _class(spec.name).from_pretrained(
        _folder(spec), config=getattr(model, "config", None), ignore_mismatched_sizes=True
    )
    model.load_state_dict(given.state_dict())


def _class(name: str) -> Any:
    """Transformers' class by its name, or the image classifier of a type."""
    library, name = _library("hf"), name.partition(":")[2]
    types, classifiers = library.CONFIG_MAPPING, library.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    if name in types and types[name] in classifiers:
        kind = classifiers[types[name]]
        return kind[0] if isinstance(kind, tuple) else kind
    if not hasattr(getattr(library, name, None), "config_class"):
        raise ModelError(f"transformers has no {name!r}{meant(name, types)} that sorts images")
    return getattr(library, name)


def _folder(spec: ModelSpec) -> str | None:
    return spec.checkpoint if spec.checkpoint and Path(spec.checkpoint).is_dir() else None


def _library(extra: str) -> Any:
    from ..data import vision  # noqa: F401  # the one way to torchvision, which they import

    return needed(extra, LIBRARIES[extra], wrong=ModelError)
