"""Architectures by name, built with a seed of their own.

Adding one is a module with a function `(classes, channels, image_size, *, options)` and an entry
in `architectures.yaml`. Modules are imported when a model is built, as some import torchvision.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter

from criteria.lazy import nn, torch
from suites.faults import no_such
from suites.files import read_yaml
from suites.problem import ModelSpec

from ..errors import ModelError
from .checkpoint import load_checkpoint

TORCHVISION = "torchvision:"


@dataclass(frozen=True)
class Architecture:
    """A line for `bench list`, the `module:function` that builds it, and what is fixed there."""

    about: str
    where: str
    fixed: dict[str, Any] = field(default_factory=dict)

    def builder(self) -> Callable[..., nn.Module]:
        return pkgutil.resolve_name(f"{__package__}.{self.where}")


ARCHITECTURES = TypeAdapter(dict[str, Architecture]).validate_python(
    read_yaml(Path(__file__).with_name("architectures.yaml"))
)


def build_model(spec: ModelSpec, *, seed: int, **shape: int) -> nn.Module:
    """A model in training mode, on the CPU, its first weights drawn from `seed` alone.

    Of what the data are shaped like, it maps images [n, channels, image_size, image_size] to
    logits [n, classes]. The global random state is left as it was.

    Raises:
        ModelError: unknown names and options, sizes that do not fit, weights that cannot be fetched
            and checkpoints that do not fit.

    >>> spec = ModelSpec(name="vgg_small", options={"width": 8})
    >>> model = build_model(spec, classes=10, channels=1, image_size=8, seed=0)
    >>> model(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of every GPU.
        torch.default_generator.manual_seed(seed)
        build = _from_torchvision if spec.name.startswith(TORCHVISION) else _own
        model = build(spec, shape)
    if spec.checkpoint:
        load_checkpoint(model, Path(spec.checkpoint), spec.sha256)
    return model.train()


def constructor(spec: ModelSpec, **shape: int) -> dict[str, Any]:
    """What builds a model, but for its weights, as plain calls: `{"call": "module:function",
    "arguments": {...}}`, of which an argument may be one too.

    >>> constructor(ModelSpec(name="vgg_small"), classes=2, channels=1, image_size=8)["call"]
    'bench.models.vgg:vgg_small'
    """
    if spec.name.startswith(TORCHVISION):
        from .zoo import torchvision_call

        name = spec.name.removeprefix(TORCHVISION)
        return torchvision_call(name, shape["classes"], shape["image_size"], **spec.options)
    architecture = ARCHITECTURES[spec.name]
    return {
        "call": f"{__package__}.{architecture.where}",
        "arguments": {**architecture.fixed, **shape, **spec.options},
    }


def list_models() -> dict[str, str]:
    """One line about each model."""
    own = {name: architecture.about for name, architecture in ARCHITECTURES.items()}
    return {**own, f"{TORCHVISION}NAME": "any classifier of torchvision; weights by name"}


def _own(spec: ModelSpec, shape: dict[str, int]) -> nn.Module:
    if spec.name not in ARCHITECTURES:
        raise ModelError(no_such("model", spec.name, [*ARCHITECTURES, f"{TORCHVISION}NAME"]))
    if spec.weights:
        raise ModelError(
            f"{spec.name}: weights by name exist for {TORCHVISION}NAME only; give `checkpoint:`"
        )
    architecture = ARCHITECTURES[spec.name]
    builder = architecture.builder()
    _check_options(spec, builder, architecture.fixed)
    return builder(**architecture.fixed, **shape, **spec.options)


def _from_torchvision(spec: ModelSpec, shape: dict[str, Any]) -> nn.Module:
    from .zoo import names, torchvision_model

    name = spec.name.removeprefix(TORCHVISION)
    if name not in names():
        raise ModelError(no_such("model", spec.name, [TORCHVISION + each for each in names()]))
    if not name.startswith("vit_") and spec.options:
        raise ModelError(f"{spec.name} takes no options, not {', '.join(spec.options)}")
    _check_options(spec, torchvision_model)
    return torchvision_model(name, spec.weights, **shape, **spec.options)


def _check_options(
    spec: ModelSpec, builder: Callable[..., nn.Module], fixed: Collection[str] = ()
) -> None:
    """Options are the builder's keyword-only parameters, checked against its annotations."""
    hints = get_type_hints(builder)
    known = [
        name
        for name, parameter in inspect.signature(builder).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in fixed
    ]
    for name, value in spec.options.items():
        if name not in known:
            allowed = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ModelError(f"{spec.name} has no option {name!r}; {allowed}")
        wanted = _wanted(hints[name], value)
        if wanted:
            raise ModelError(f"{spec.name}: option {name}: {value!r} is not {wanted}")


def _wanted(hint: Any, value: Any) -> str | None:
    """What a value of this type should be, or None if it is."""
    if get_origin(hint) is Literal:
        return None if value in get_args(hint) else " or ".join(map(str, get_args(hint)))
    if value is None and type(None) in get_args(hint):
        return None
    if hint is bool:
        return None if isinstance(value, bool) else "true or false"
    return None if type(value) is int and value >= 1 else "a whole number from 1"
