"""Networks of timm and of transformers, by the calls that make them; both are extras."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from criteria.lazy import nn
from suites.faults import meant
from suites.problem import ModelSpec

from ..errors import ModelError
from .constructors import Call, call, fitting, refuse_unknown

LIBRARIES = {"timm": "timm", "hf": "transformers"}  # by extra


def version_of(extra: str) -> str:
    """What stands in keys for the code of a library's networks."""
    _library(extra)
    return f"{LIBRARIES[extra]} {version(LIBRARIES[extra])}"


def from_timm(spec: ModelSpec, shape: Mapping[str, Any]) -> Call:
    """A network of timm for these classes and channels, and for this image size where it has one.

    Its option `attention` is that of our vision transformers.

    Raises:
        ModelError: no such network.
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
    """An image classifier of transformers by its class or type, which gives logits alone.

    Of its attention leave whole heads, or, with the option `attention: kept`, nothing.

    Raises:
        ModelError: no such network or option.
    """
    config, kind = _classifier(spec.name)
    folder = _folder(spec)
    given = config.from_pretrained(folder).to_diff_dict() if folder else {}
    names = [*config().to_dict(), "num_labels"]
    options = dict(spec.options)
    unit = options.pop("attention", "heads")
    refuse_unknown(spec.name, options, [*names, "attention"])
    sizes = fitting({*names} & {"num_labels", "num_channels", "image_size"}, shape)
    wanted = {**given, **sizes, **options}
    made = call(f"transformers:{kind}", config=call(f"transformers:{config.__name__}", **wanted))
    logits = call("bench.models.adapters:logits_alone", model=made)
    return call("bench.models.adapters:adapted", model=logits, unit=unit)


def load_folder(model: nn.Module, spec: ModelSpec) -> None:
    """Fill a network from a folder of `save_pretrained`; what has other classes stays as it is."""
    kind = getattr(_library("hf"), _classifier(spec.name)[1])
    config = getattr(model, "config", None)
    given = kind.from_pretrained(_folder(spec), config=config, ignore_mismatched_sizes=True)
    model.load_state_dict(given.state_dict())


def _folder(spec: ModelSpec) -> str | None:
    return spec.checkpoint if spec.checkpoint and Path(spec.checkpoint).is_dir() else None


def _classifier(name: str) -> tuple[Any, str]:
    """The type of its config, and the name of its class, of `hf:vit` or of its class's name."""
    classes = _library("hf").MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    known = dict[str, tuple[Any, str]]()
    for config, kind in classes.items():
        for each in kind if isinstance(kind, tuple) else (kind,):
            known |= {f"hf:{config.model_type}": (config, each.__name__)}
            known |= {f"hf:{each.__name__}": (config, each.__name__)}
    if name not in known:
        said = f"transformers has no image classifier {name!r}{meant(name, known)}"
        raise ModelError(f"{said}; give its type, as in hf:vit, or its class")
    return known[name]


def _library(extra: str) -> Any:
    try:
        return import_module(LIBRARIES[extra])
    except ImportError as error:
        raise ModelError(
            f"{extra}:NAME needs {LIBRARIES[extra]}: pip install 'pruning-bench[{extra}]'"
        ) from error
