"""Keeping a network: all of its tensors, and a recipe in JSON that says how it is built and cut."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from criteria.lazy import Tensor, nn, torch
from criteria.network.given import copied
from criteria.source import closure, hash_of
from reports.seal import Unsealed, seal_json, unseal

from ..errors import ExportError
from .changes import changes, class_of, misfit, named_tensors
from .runtimes import apart, bound, needs, outputs, resized, written

RECIPE, WEIGHTS, CHECK = "pruning_recipe.json", "network.safetensors", "check.safetensors"
FIRST = 4096  # values of each output that are kept to check by
# Copied files are read where this project and torch-pruning are not.
PLAIN = {
    r"^from __future__ import annotations$": "",
    r"^from \.\.data\.vision import torchvision$": "import torchvision",
    r"^from \.\.errors import ModelError$": "ModelError = ValueError",
    r"^from torch_pruning.* import (\w+)$": r"\1 = object",
    r"^@(bench\.)?register_model\(.*\)$|^(from bench import register_model|import bench)$": "",
}

Call = Mapping[str, Any]  # {"call": "module:function", "arguments": {...}}; arguments may be calls


def keep(
    folder: Path,
    model: nn.Module,
    inputs: Any,
    constructor: Call | None,
    recipe: Mapping[str, Any],
) -> None:
    """Write a network's tensors and then its recipe, and rebuild it from them.

    Args:
        model: on any device; it is left as it is.
        inputs: one batch of its arguments, tensors: a tuple of them, or a mapping by name.
        constructor: of the unpruned network; None where whoever loads it brings that.
        recipe: what readers want to know; without a constructor also `changes` of the network.

    Raises:
        ExportError: the extra `export` is missing, the files cannot be written, or what is rebuilt
            of them has other outputs.
    """
    needs("safetensors")
    from safetensors.torch import save_file

    model = copied(model).cpu().eval()
    state, shared = _state(model)
    modules = {name: _file(name) for name in _modules(constructor)}
    users = {name: file for name, file in modules.items() if _users(file)}
    whole = {
        **recipe,
        "made_by": {"pruning-bench": version("pruning-bench"), "torch": torch.__version__},
        "class": class_of(model),
        "constructor": constructor,
        "files": {name: _copy(folder, file) for name, file in modules.items() if _alone(file)},
        "sources": {name: hash_of(closure([file])) for name, file in users.items()},
        "shared": shared,
    }
    if constructor:
        whole |= changes(_constructed(folder, whole), model)
    written(folder / WEIGHTS, lambda path: save_file(state, path))
    written(folder / CHECK, lambda path: save_file(_check(model, inputs), path))
    whole["sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    lines = ",\n".join(f' "{key}": {json.dumps(value)}' for key, value in whole.items())
    sealed = seal_json(f"{{\n{lines}\n}}", RECIPE)
    written(folder / RECIPE, lambda path: Path(path).write_bytes(sealed))
    if constructor:
        kept(folder)
    else:
        _rebuilt(folder, model)


def kept(folder: Path, model: nn.Module | None = None) -> nn.Module:
    """The network in a folder, in eval mode on the CPU, its outputs held against those kept.

    Args:
        model: the unpruned network, changed in place; None constructs it.

    Raises:
        ExportError: it is not there, is not what was written, or cannot be rebuilt here.
    """
    needs("safetensors")
    from safetensors.torch import load_file

    recipe = read_recipe(folder)
    model = model or _constructed(folder, recipe)
    shapes = {name: [*one.shape] for name, one in load_file(folder / WEIGHTS).items()}
    if fault := misfit(model, recipe, shapes):
        raise ExportError(f"{folder} holds another network than this {class_of(model)}: {fault}")
    return _rebuilt(folder, model)


def _constructed(folder: Path, recipe: Mapping[str, Any]) -> nn.Module:
    """The unpruned network; raises ExportError where it cannot be built."""
    from .rebuild import construct

    call = recipe["constructor"]
    if call is None:
        raise ExportError(
            f"{folder}: how to build a {recipe['class']} is not known; give the unpruned network: "
            "bench.load(path, model=...)"
        )
    try:
        return construct(folder, recipe, call)
    except Exception as error:  # of a user's constructor, or of what is not installed
        raise ExportError(
            f"{folder}: its constructor {call['call']} fails: {type(error).__name__}: {error}"
        ) from error


def _rebuilt(folder: Path, model: nn.Module) -> nn.Module:
    """Raises ExportError where the outputs are not those kept."""
    from .rebuild import rebuild

    rebuilt, (inputs, then) = rebuild(folder, model), check(folder)
    found = outputs(rebuilt, inputs)
    difference = apart(then, [one.flatten()[:FIRST] for one in found])
    if difference > bound(found):
        raise ExportError(
            f"{folder}: the rebuilt {class_of(model)} computes something else than the kept one; "
            f"its outputs are {difference:.1e} of their size apart"
        )
    return rebuilt


def check(folder: Path) -> tuple[Any, list[Tensor]]:
    """Arguments of a kept network, and the first values of each output that it gave."""
    from safetensors.torch import load_file

    inputs: dict[Any, Tensor] = {}
    found: dict[int, Tensor] = {}
    for key, one in load_file(folder / CHECK).items():
        kind, _, name = key.partition(".")
        if kind == "output":
            found[int(name)] = one
        else:
            inputs[int(name) if name.isdecimal() else name] = one
    by_place = tuple(inputs[place] for place in sorted(inputs)) if 0 in inputs else inputs
    return by_place, [found[place] for place in sorted(found)]


def _check(model: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """A batch of one, and what the network makes of it, by names that `check` reads."""
    one = resized(inputs, 1)
    named = one if isinstance(one, Mapping) else dict(enumerate(one))
    if not all(isinstance(each, torch.Tensor) for each in named.values()):
        raise ExportError("a network is kept with example inputs that are tensors")
    inward = {f"input.{name}": each for name, each in named.items()}
    found = dict(enumerate(outputs(model, one)))
    outward = {f"output.{at}": each.flatten()[:FIRST] for at, each in found.items()}
    return {name: each.cpu().clone().contiguous() for name, each in (inward | outward).items()}


def read_recipe(folder: Path) -> dict[str, Any]:
    """The recipe in a folder, its weights held against their SHA-256.

    Raises:
        ExportError: there is none, or it or the weights are not what was written.
    """
    try:
        recipe = json.loads(unseal((folder / RECIPE).read_bytes(), RECIPE))
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise ExportError(f"no network is kept in {folder}: {error}") from error
    except (Unsealed, ValueError) as error:
        raise ExportError(f"{folder / RECIPE} was damaged or edited: {error}") from error
    if hashlib.sha256(weights).hexdigest() != recipe["sha256"]:
        raise ExportError(f"{folder / WEIGHTS} was damaged or edited: it has another SHA-256")
    return recipe


def call_of(build: Callable[..., Any], arguments: Mapping[str, Any]) -> Call:
    """A call as a recipe writes it.

    Raises:
        ExportError: the function or class cannot be imported elsewhere.
    """
    module, name = build.__module__, build.__qualname__
    if module == "__main__" or "<" in name:
        raise ExportError(f"{name} cannot be imported by others; put it into a file of its own")
    return {"call": f"{module}:{name}", "arguments": dict(arguments)}


def _modules(call: Call | None) -> Iterator[str]:
    if call is None:
        return
    yield call["call"].rpartition(":")[0]
    for value in call["arguments"].values():
        if isinstance(value, dict) and "call" in value:
            yield from _modules(value)


def _file(name: str) -> Path:
    """Of a module, or a plugin, which is named by its file."""
    return Path(name if name.endswith(".py") else import_module(name).__file__ or "")


def _ours(file: Path) -> bool:
    return Path(__file__).parents[1] in file.parents


def _users(file: Path) -> bool:
    """Whether no package index has it."""
    return not _ours(file) and file.suffix == ".py" and "site-packages" not in file.parts


def _alone(file: Path) -> bool:
    """Whether a copy of it will do: it is ours, or a user's without helpers."""
    return _ours(file) or (_users(file) and len(closure([file])) == 1)


def _copy(folder: Path, file: Path) -> str:
    text = "from __future__ import annotations\n\n" + _plain(file)
    written(folder / file.name, lambda path: Path(path).write_text(text, "utf-8"))
    return file.name


def _plain(file: Path) -> str:
    """The code of a module, with what it takes of ours in it."""
    text = file.read_text("utf-8")
    for pattern, plain in PLAIN.items():
        text = re.sub(pattern, plain, text, flags=re.MULTILINE)
    if not _ours(file):
        return text
    beside = re.compile(r"^from \.(\w+) import .*$", re.MULTILINE)
    return beside.sub(lambda found: _plain(file.with_name(f"{found[1]}.py")), text)


def _state(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors by name, also those that a state dict leaves out; further names by the first."""
    state: dict[str, Tensor] = {}
    first: dict[int, str] = {}
    shared: dict[str, str] = {}
    for name, one in named_tensors(model).items():
        if first.setdefault(id(one), name) == name:
            state[name] = one.detach().contiguous().clone()
        else:
            shared[name] = first[id(one)]
    return state, shared
