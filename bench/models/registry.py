"""Networks by name, built with a seed of their own: ours, other libraries', and users'.

Adding one of ours is a module with a function `(classes, channels, image_size, *, options)` and an
entry in `architectures.yaml`. Modules are imported when a model is built, as some import
torchvision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from criteria import StructureError
from criteria.lazy import Tensor, nn, torch
from criteria.network.given import copied, given
from suites.faults import no_such
from suites.files import read_yaml
from suites.problem import ModelSpec

from ..errors import ModelError, at_fault, fault
from ..export.recipe import Call, call
from ..tasks.logits import logits_in
from ..tasks.task import Task
from . import constructors, hubs
from .checkpoint import load_checkpoint

TORCHVISION = "torchvision:"
ELSEWHERE: dict[str, str] = read_yaml(Path(__file__).with_name("elsewhere.yaml"))


def build_model(spec: ModelSpec, *, seed: int, **shape: int) -> nn.Module:
    """A model in training mode, on the CPU, its first weights drawn from `seed` alone.

    Of what the data are shaped like, it maps images [n, channels, image_size, image_size] to
    logits [n, classes]. The global random state is left as it was.

    Raises ModelError: unknown names and options, sizes that do not fit, constructors that fail,
    weights that cannot be fetched and checkpoints that do not fit.

    >>> spec = ModelSpec(name="vgg_small", options={"width": 8})
    >>> model = build_model(spec, classes=10, channels=1, image_size=8, seed=0)
    >>> model(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    with torch.random.fork_rng(devices=[]):
        made = constructor(spec, **shape)  # first, as a module that is imported may draw
        # torch.manual_seed would also seed the generators of every GPU.
        torch.default_generator.manual_seed(seed)
        model = _built(spec, made)
    if spec.checkpoint and spec.name.startswith("hf:") and Path(spec.checkpoint).is_dir():
        hubs.load_folder(model, spec)
    elif spec.checkpoint:
        load_checkpoint(model, Path(spec.checkpoint), spec.sha256)
    return model.train()


def fresh(spec: ModelSpec, seed: int, inputs: Tensor, task: Task, **shape: int) -> nn.Module:
    """A network where its inputs are, in training mode, which gives what its task takes.

    Of others' weights behind masks and parametrizations become those that act, in float32.

    Raises ModelError as `build_model`, and where it does not run on such inputs, or gives something
    else.
    """
    model = build_model(spec, seed=seed, **shape).to(inputs.device)
    if code_of(spec) is None:
        return model
    try:
        plain = given(model, inputs).model
    except StructureError as error:
        raise ModelError(f"{spec.name}, on inputs {list(inputs.shape)}: {error}") from error
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for when, twin in (("", copied(plain).eval()), (" in training", copied(plain).train())):
            if misfit := task.misfit(found := twin(inputs), inputs, shape):
                raise ModelError(f"{spec.name} gives{when} {misfit}")
    if logits_in(found) is not found:  # criteria that look at outputs know nothing of mappings
        from .adapters import logits_alone

        plain = logits_alone(plain)
    return plain.train()


def constructor(spec: ModelSpec, **shape: int) -> Call:
    """The call of a network for data of this shape; ModelError for unknown names and options."""
    kind = spec.name.partition(":")[0]
    if kind == "torchvision":
        return _from_torchvision(spec, shape)
    if spec.weights:
        raise ModelError(fault("weights_by_name", name=spec.name))
    if kind in ("timm", "hf"):
        return (hubs.from_timm if kind == "timm" else hubs.from_transformers)(spec, shape)
    if spec.name not in constructors.ARCHITECTURES:
        return constructors.call_of(spec.name, _users(spec.name), shape, spec.options)
    ours = constructors.ARCHITECTURES[spec.name]
    place, fixed = f"{__package__}.{ours['where']}", ours.get("fixed", {})
    _check_options(spec, constructors.found(place), {*shape, *fixed})
    return call(place, **{**fixed, **shape, **spec.options})


def plain_constructor(spec: ModelSpec, **shape: int) -> Call:
    """The call that makes a network of the same layers elsewhere: torchvision's own, no weights."""
    if not spec.name.startswith(TORCHVISION):
        return constructor(spec, **shape)
    from .zoo import torchvision_call

    name = spec.name.removeprefix(TORCHVISION)
    return torchvision_call(name, shape["classes"], shape["image_size"], **spec.options)


def constructor_of(network: nn.Module, spec: ModelSpec, **shape: int) -> Call:
    """`plain_constructor`, and that `fresh` took logits out of a mapping, where it did."""
    made, adapters = plain_constructor(spec, **shape), constructors.LOGITS_ALONE.partition(":")[0]
    taken = type(network).__module__ == adapters != made["call"].partition(":")[0]
    return call(constructors.LOGITS_ALONE, model=made) if taken else made


def list_models() -> dict[str, str]:
    """One line about each model."""
    own = {name: one["about"] for name, one in constructors.ARCHITECTURES.items()}
    return {**own, **{one.name: one.summary for one in constructors.CATALOG.all()}, **ELSEWHERE}


def code_of(spec: ModelSpec) -> str | None:
    """What stands in keys for the code behind a network; None of ours and torchvision's.

    Of a user's it is a digest of its files, of other libraries their version.
    """
    kind = spec.name.partition(":")[0]
    if spec.name in constructors.ARCHITECTURES or kind == "torchvision":
        return None
    if kind in ("timm", "hf"):
        return hubs.version_of(kind)
    return constructors.code_behind(_users(spec.name), spec.name)


def _users(name: str) -> Callable[..., Any]:
    """A user's constructor, by where it lies, or by the name that a plugin has given it."""
    if ":" in name:
        return constructors.found(name)
    constructors.CATALOG.load()
    if name not in constructors.CATALOG.by_name:
        raise ModelError(no_such("model", name, list_models()))
    build: Callable[..., Any] = constructors.CATALOG.by_name[name].type
    return build


def _built(spec: ModelSpec, made: Call) -> nn.Module:
    code = code_of(spec)
    try:
        model = constructors.called(made)
    except (Exception, SystemExit) as error:  # of a user's code, or a library's
        if code is None or isinstance(error, ModelError):
            raise
        said: object = error
        if " " not in code:  # or it would be a library's name and version
            said = at_fault(constructors.file_of(constructors.found(made["call"])), error)
        raise ModelError(f"model {spec.name}: {said}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{spec.name} gives a {type(model).__name__}, not an nn.Module")
    return model


def _from_torchvision(spec: ModelSpec, shape: dict[str, Any]) -> Call:
    from .zoo import names, torchvision_model

    name = spec.name.removeprefix(TORCHVISION)
    if name not in names():
        raise ModelError(no_such("model", spec.name, [TORCHVISION + each for each in names()]))
    if not name.startswith("vit_") and spec.options:
        raise ModelError(f"{spec.name} takes no options, not {', '.join(spec.options)}")
    _check_options(spec, torchvision_model, {*shape, "weights"})
    place = f"{torchvision_model.__module__}:{torchvision_model.__name__}"
    return call(place, name=name, weights=spec.weights, **shape, **spec.options)


def _check_options(spec: ModelSpec, builder: Callable[..., Any], taken: Collection[str]) -> None:
    """Options are the builder's other parameters, of their types; numbers count from 1."""
    from ..data.reader import options_of  # beside readers, which load torch

    options_of(spec.name, spec.options, builder, taken, strict=True, wrong=ModelError)
    for name, value in spec.options.items():
        if type(value) is int and value < 1:
            raise ModelError(f"{spec.name}.options: {name} = {value}: a whole number from 1")
