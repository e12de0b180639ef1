"""Keeping a network: all of its tensors, and a recipe in JSON that says how it is built and cut.

The recipe names a constructor, and what makes the pruned network of what that gives: layers that
are gone, attributes that differ (`in_channels`, `groups`), tensors of other shapes. What rebuilds
it is `rebuild.txt`, which people get as a script that needs nothing of this project.
"""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from criteria.catalog import unregistered
from criteria.lazy import Tensor, nn, torch
from criteria.network.cut import apart
from criteria.network.given import copied
from criteria.source import closure
from reports.seal import Unsealed, seal_json, unseal

from ..errors import ExportError, fault, needed
from ..store.sealed import file_sha256, part_of
from .runtimes import bound, outputs, resized, written

RECIPE, WEIGHTS, CHECK = "pruning_recipe.json", "network.safetensors", "check.safetensors"
REBUILD = Path(__file__).with_name("rebuild.txt")
NEEDED = {"beside", "constructor", "class", "gone", "attributes", "unpruned_shapes", "shared"}
FIRST = 4096  # values of each output that are kept to check by
# Copied files are read where this project and torch-pruning are not.
PLAIN = {
    r"^from __future__ import annotations$": "",
    r"^from \.\.data\.vision import torchvision$": "import torchvision",
    r"^from \.\.errors import ModelError$": "ModelError = ValueError",
    r"^from torch_pruning\S* import (\w+)$": r"\1 = object",
    r"^@(bench\.)?register_model\([^()]*\)$|^from bench import register_model$": "",
}

Call = dict[str, Any]  # {"call": "module:function", "arguments": {...}}; arguments may be calls


def keep(
    folder: Path,
    model: nn.Module,  # on any device; it is left as it is
    inputs: tuple[Any, ...],  # one batch of its arguments, all tensors
    constructor: Call | None,  # of the unpruned network; None where whoever loads it brings that
    # What readers want to know; without a constructor also `changes` of the network.
    about: Mapping[str, Any],
) -> None:
    """Write a network's tensors and its recipe; what cannot be rebuilt of them changes no folder.

    Raises ExportError: the extra `export` is missing, the files cannot be written, or what is
    rebuilt of them is another network.
    """
    try:
        with part_of(folder) as part:
            try:
                _write(part, model, inputs, constructor, about)
            except ExportError as error:
                raise ExportError(str(error).replace(str(part), str(folder))) from error
            names = [one.name for one in part.iterdir() if one.is_file()]
            for name in sorted(names, key=RECIPE.__eq__):  # the recipe last
                (part / name).replace(folder / name)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}") from error


def _write(
    folder: Path,
    model: nn.Module,
    inputs: tuple[Any, ...],
    constructor: Call | None,
    about: Mapping[str, Any],
) -> None:
    """`keep`, into an empty folder."""
    save = needed("export", "safetensors.torch", wrong=ExportError).save
    if not all(isinstance(one, torch.Tensor) for one in inputs):
        raise ExportError("a network is kept with example inputs that are tensors, by their place")
    model, first = copied(model).cpu().eval(), dict[int, str]()
    tensors = named_tensors(model)
    shared = {
        name: first[id(one)]
        for name, one in tensors.items()
        if first.setdefault(id(one), name) != name
    }
    state = {name: tensors[name].detach().contiguous().clone() for name in first.values()}
    names = dict.fromkeys(re.findall(r'"call": "(.*?):[^:"]*"', json.dumps(constructor)))
    plugins = [one for one in names if one.endswith(".py")]  # named by their file
    files = {
        one: Path(one if one in plugins else import_module(one).__file__ or "") for one in names
    }
    copies = [one for one in names if one in plugins or one.startswith("bench.")]
    recipe = {
        **about,
        "made_by": {"pruning-bench": version("pruning-bench"), "torch": torch.__version__},
        "class": class_of(model),
        "constructor": constructor,
        "sources": {str(file): file_sha256(file) for file in files.values()},
        "files": {name: _copy(folder, files[name]) for name in copies},
        "shared": shared,
    }
    for plugin in map(Path, plugins):
        for helper in closure([plugin]):
            if helper.parent == plugin.parent and helper != plugin:
                written(folder / helper.name, helper.read_bytes())
    if constructor:
        recipe |= changes(_constructed(folder, recipe), model)
    written(folder / WEIGHTS, save(state))
    one = tuple(each.cpu().contiguous() for each in resized(inputs, 1))
    try:
        found = [each.flatten()[:FIRST].clone() for each in outputs(model, one)]
    except Exception as error:  # of the user's forward
        raise ExportError(fault("does_not_run", on="one image", error=error)) from error
    held = {f"input.{at}": each for at, each in enumerate(one)}
    held |= {f"output.{at}": each for at, each in enumerate(found)}
    written(folder / CHECK, save(held))
    recipe["beside"] = {one.name: file_sha256(one) for one in folder.iterdir() if one.is_file()}
    recipe["sha256"] = recipe["beside"][WEIGHTS]
    lines = ",\n".join(f' "{key}": {json.dumps(value)}' for key, value in recipe.items())
    written(folder / RECIPE, seal_json(f"{{\n{lines}\n}}", RECIPE))
    _rebuilt(folder, recipe, None if constructor else model)


def kept(folder: Path, model: nn.Module | None = None) -> nn.Module:
    """The network in a folder, in eval mode on the CPU, its outputs held against those kept.

    `model` is the unpruned network, changed in place; None constructs it. Raises ExportError where
    nothing is there, or not what was written, or it cannot be rebuilt here.
    """
    load_file = needed("export", "safetensors.torch", wrong=ExportError).load_file
    recipe = read_recipe(folder)
    model = _constructed(folder, recipe) if model is None else model
    then = {name: [*one.shape] for name, one in load_file(folder / WEIGHTS).items()}
    then |= {name: then[first] for name, first in recipe["shared"].items()}
    then |= recipe["unpruned_shapes"]
    now = {name: [*one.shape] for name, one in named_tensors(model).items()}
    gone = tuple(f"{name}." for name in recipe["gone"])
    for name in {**then, **now}:
        if now.get(name) != then.get(name) and not f"{name}.".startswith(gone):
            shapes = {"now": now.get(name, "missing"), "then": then.get(name, "missing")}
            its = class_of(model)
            raise ExportError(fault("kept_of_other", folder=folder, its=its, name=name, **shapes))
    return _rebuilt(folder, recipe, model)


def read_recipe(folder: Path) -> dict[str, Any]:
    """The recipe in a folder; ExportError where a file there is not what was written."""
    try:
        recipe = json.loads(unseal((folder / RECIPE).read_bytes(), RECIPE))
        found = {name: file_sha256(folder / name) for name in recipe.get("beside", ())}
    except OSError as error:
        raise ExportError(f"no network is kept in {folder}: {error}") from error
    except (Unsealed, ValueError) as error:
        raise ExportError(f"{folder / RECIPE} was damaged or edited: {error}") from error
    if missing := NEEDED - recipe.keys():
        raise ExportError(f"{folder / RECIPE} is of another version: it lacks {sorted(missing)[0]}")
    if wrong := [name for name, digest in recipe["beside"].items() if found[name] != digest]:
        raise ExportError(f"{folder / wrong[0]} was damaged or edited: it has another SHA-256")
    return recipe


def check(folder: Path) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """Arguments of a kept network, and the first values of each output that it gave."""
    from safetensors.torch import load_file

    held = load_file(folder / CHECK)
    count = sum(name.startswith("input.") for name in held)
    inputs = tuple(held[f"input.{at}"] for at in range(count))
    return inputs, [held[f"output.{at}"] for at in range(len(held) - count)]


def changes(unpruned: nn.Module, pruned: nn.Module) -> dict[str, Any]:
    """Layers and tensors that are gone, attributes that differ, unpruned shapes of cut tensors.
    Raises ExportError where the pruned network has a layer or tensor that the other one lacks."""
    before, after = (dict(one.named_modules(remove_duplicate=False)) for one in (unpruned, pruned))
    old, new = named_tensors(unpruned), named_tensors(pruned)
    others = [one for one in after if _kind(before.get(one)) != _kind(after[one])]
    if strange := [*others, *(name for name in new if name not in old)]:
        name = strange[0] or class_of(pruned)
        raise ExportError(f"{name} is nothing that its constructor makes; no recipe leads to it")
    gone = [name for name in (*before, *old) if name not in after and name not in new]
    differ = {name: _attributes(before[name], layer) for name, layer in after.items()}
    cut = [name for name, one in new.items() if one.shape != old[name].shape]
    return {
        "gone": [name for name in gone if name.rpartition(".")[0] not in gone],
        "attributes": {name: found for name, found in differ.items() if found},
        "unpruned_shapes": {name: list(old[name].shape) for name in cut},
    }


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers, those of one tensor under each of its names."""
    parameters = model.named_parameters(remove_duplicate=False)
    return dict([*parameters, *model.named_buffers(remove_duplicate=False)])


def class_of(one: object) -> str:
    """`module.Class` of an object."""
    return f"{type(one).__module__}.{_kind(one)}"


def _kind(one: object) -> str:
    return type(one).__qualname__


def _attributes(before: nn.Module, after: nn.Module) -> dict[str, Any]:
    """Attributes of a layer that differ and that JSON holds; hooks and mode are not among them."""
    old, torchs = vars(before), vars(nn.Module())
    return {
        key: value
        for key, value in vars(after).items()
        if key not in torchs and _plain(value) and not (key in old and old[key] == value)
    }


def _plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def _constructed(folder: Path, recipe: Mapping[str, Any]) -> nn.Module:
    if (how := recipe["constructor"]) is None:
        raise ExportError(fault("no_constructor", folder=folder, recipe=recipe))
    code = runpy.run_path(str(REBUILD))
    try:
        # Of what a constructor draws or registers nothing is kept.
        with torch.random.fork_rng(devices=[]), unregistered(folder):
            made: nn.Module = code["effective"](code["construct"](folder, recipe, how))
    except Exception as error:  # of a user's constructor, or of what is not installed
        raise ExportError(fault("not_constructed", folder=folder, how=how, error=error)) from error
    return made


def _rebuilt(folder: Path, recipe: Mapping[str, Any], model: nn.Module | None) -> nn.Module:
    """Raises ExportError where the outputs are not those kept."""
    with torch.random.fork_rng(devices=[]), unregistered(folder):
        made: nn.Module = runpy.run_path(str(REBUILD))["rebuild"](folder, model)
    inputs, then = check(folder)
    found = outputs(made, inputs)
    difference = apart(then, [one.flatten()[:FIRST] for one in found])
    if difference > bound(found):
        its = class_of(made)
        raise ExportError(fault("rebuilt_other", folder=folder, its=its, difference=difference))
    return made


def call(place: str, **arguments: Any) -> Call:
    """A call as a recipe writes it: what is called, and with what."""
    return {"call": place, "arguments": arguments}


def call_of(build: Any, arguments: Mapping[str, Any]) -> Call:
    """The call of a function; raises ExportError for what others cannot make."""
    if build.__module__ == "__main__":
        raise ExportError(f"{build.__qualname__} is not in a file that others can import")
    made = call(f"{build.__module__}:{build.__qualname__}", **arguments)
    try:
        json.dumps(made)
    except TypeError as error:
        raise ExportError(f"build: an argument is no number or text: {error}") from error
    return made


def _copy(folder: Path, file: Path) -> str:
    text = "from __future__ import annotations\n\n" + _standing_alone(file)
    written(folder / file.name, text.encode())
    return file.name


def _standing_alone(file: Path) -> str:
    """The code of a module, with what it takes of modules beside it in it."""
    text = file.read_text("utf-8")
    for pattern, plain in PLAIN.items():
        text = re.sub(pattern, plain, text, flags=re.MULTILINE)
    if not re.search(r"\bbench\.", text):
        text = re.sub(r"^import bench$", "", text, flags=re.MULTILINE)
    beside = re.compile(r"^from \.(\.tasks)?\.?(\w+) import .*$", re.MULTILINE)

    def inside(found: re.Match[str]) -> str:
        folder = file.parent.with_name("tasks") if found[1] else file.parent
        return _standing_alone(folder / f"{found[2]}.py")

    return beside.sub(inside, text)
