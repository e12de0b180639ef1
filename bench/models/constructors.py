"""Networks of a user's own: found by name, and called with what their signature asks for."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping
from functools import partial
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from criteria.catalog import Catalog, Registered, registering
from criteria.lazy import nn
from criteria.source import closure, hash_of
from suites.faults import meant, no_such, shown
from suites.files import read_yaml

from ..errors import ModelError, at_fault, fault
from ..export.recipe import Call, call

# Ours: their line in `bench list`, the `module:function` that builds one, and what is fixed there.
ARCHITECTURES: dict[str, Any] = read_yaml(Path(__file__).with_name("architectures.yaml"))
ALIASES: dict[str, list[str]] = read_yaml(Path(__file__).with_name("aliases.yaml"))
CATALOG: Catalog[Registered] = Catalog("model", (), ModelError)
LOGITS_ALONE = "bench.models.adapters:logits_alone"  # takes a network's out of a mapping
T = TypeVar("T")


def register_model(name: str) -> Callable[[T], T]:
    """Decorator of a user's class, or of a function that builds a network, for suites to name.

    It is called with what of the data's shape it has parameters for, such as `num_classes`,
    `in_channels` or `img_size`, and with the suite's options. Raises ValueError for a name in use.

    >>> @register_model("one_layer")
    ... class OneLayer(nn.Linear):
    ...     def __init__(self, num_classes, width=64):
    ...         super().__init__(width, num_classes)
    """
    if name in ARCHITECTURES or ":" in name:
        raise ValueError(f"the name {name!r} is taken, as are all with a colon; choose another")
    return registering(CATALOG, name)


def found(place: str) -> Callable[..., Any]:
    """What `package.module:attribute` names, in the current folder or an installed package.

    Of a plugin, `/path/nets.py:attribute` names what it has registered.

    Raises ModelError: there is no such module or attribute, the module does not run or is found in
    two places, or the attribute builds nothing.
    """
    module, _, attribute = place.rpartition(":")
    own = {_place(one.type): one.type for one in CATALOG.all() if module.endswith(".py")}
    if place in own:
        return own[place]
    if module.endswith(".py") or not module or not attribute:
        raise ModelError(f"model {shown(place)}: {fault('model_place')}")
    here, top = str(Path.cwd()), module.partition(".")[0]
    local, other = PathFinder.find_spec(top, [here]), find_spec(top)
    if local and other and local.origin and other.origin != local.origin and top != "bench":
        raise ModelError(fault("two_modules", top=top, one=local.origin, other=other.origin))
    if here not in sys.path:
        sys.path.append(here)  # last, so that a file of theirs shadows nothing installed
    try:
        held: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # of a user's code
        raise ModelError(f"model {place}: {at_fault(_file(module), error)}") from error
    try:
        build = attrgetter(attribute)(held)
    except AttributeError as error:
        builds = [one for one, what in vars(held).items() if callable(what)]
        said = no_such("function or class", attribute, builds)
        raise ModelError(f"model {place}: in {module} {said}") from error
    if isinstance(build, nn.Module) or not callable(build):
        kind = type(build).__name__
        raise ModelError(f"model {place}: it is a {kind}; name a class, or a function that builds")
    return build


def _file(module: str) -> Path:
    """Where a module lies, which may not run, nor bear a name of a length that files can have."""
    top, *parts = module.split(".")
    spec = find_spec(top)
    places = spec.submodule_search_locations or [spec.origin or top] if spec else [top]
    place = Path(next(iter(places))).joinpath(*parts)
    return place / "__init__.py" if os.path.isdir(place) else place.with_suffix(".py")  # noqa: PTH112


def code_behind(build: Callable[..., Any], name: str) -> str:
    """The digest of a constructor's code and its helpers'; of an installed package, its version."""
    files = {file_of(build), *([_file(name.partition(":")[0])] if ":" in name else [])}
    files = {one for one in files if one.suffix == ".py" and one.is_file()}
    if any({"site-packages", "dist-packages"} & {*one.parts} for one in files):
        top = name.partition(":")[0].partition(".")[0]
        return hash_of(files, *map(version, packages_distributions().get(top, ())))
    return hash_of(closure(files))


def file_of(build: Callable[..., Any]) -> Path:
    """The file of a function or class; of another callable, that of its class."""
    while isinstance(build, partial):
        build = build.func
    named = inspect.isroutine(build) or inspect.isclass(build)
    return Path(inspect.getsourcefile(build if named else type(build)) or "").resolve()


def fitting(names: Collection[str], shape: Mapping[str, Any]) -> dict[str, Any]:
    """What the data are shaped like, under those of these names that mean it."""
    return {
        alias: shape[what]
        for what, aliases in ALIASES.items()
        for alias in aliases
        if alias in names and what in shape
    }


def refuse_unknown(name: str, options: Collection[str], known: Collection[str]) -> None:
    """Raises ModelError for an option that is none of these."""
    for one in options:
        if one not in known:
            allowed = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ModelError(f"{name} has no option {one!r}{meant(one, known)}; {allowed}")


def call_of(
    name: str, build: Callable[..., Any], shape: Mapping[str, Any], options: Mapping[str, Any]
) -> Call:
    """The call of a user's constructor: the options, and of the shape what it takes by name. Raises
    ModelError for an option that it does not take, or an argument that it lacks."""
    parameters = inspect.signature(build).parameters.values()
    single = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        refuse_unknown(name, options, [one.name for one in single])
    given = {**fitting([one.name for one in single], shape), **options}
    if lacks := [one.name for one in single if one.default is one.empty and one.name not in given]:
        asked = {"lacks": ", ".join(lacks), "shape": ", ".join(shape)}
        raise ModelError(fault("no_argument", name=name, **asked))
    return call(name if ":" in name else _place(build), **given)


def _place(build: Any) -> str:
    return f"{file_of(build)}:{build.__qualname__}"


def called(what: Any) -> Any:
    """What a call gives; anything else is itself."""
    if not (isinstance(what, dict) and what.keys() == {"call", "arguments"}):
        return what
    arguments = {key: called(value) for key, value in what["arguments"].items()}
    return found(what["call"])(**arguments)
