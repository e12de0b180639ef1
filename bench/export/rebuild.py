"""Rebuild a pruned network from its recipe and the files beside it: plain torch."""

import hashlib
import importlib
import json
import runpy
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from safetensors.torch import load
from torch import nn


def rebuild(folder: Path, model: nn.Module | None = None) -> nn.Module:
    """The network in eval mode; `model` is the unpruned one, where no constructor is known."""
    recipe = json.loads((folder / "pruning_recipe.json").read_text())
    weights = (folder / "network.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest() != recipe["sha256"]:
        raise ValueError("network.safetensors is not what the recipe was written with")
    model = model or construct(folder, recipe, recipe["constructor"])
    for name in recipe["gone"]:
        setattr(*place(model, name), None)
    for name, attributes in recipe["attributes"].items():
        for key, value in attributes.items():
            plain = tuple(value) if isinstance(value, list) else value
            setattr(model.get_submodule(name), key, plain)
    for name, tensor in load(weights).items():
        layer, key = place(model, name)
        learned = layer._parameters.get(key)
        new = tensor if learned is None else nn.Parameter(tensor, learned.requires_grad)
        setattr(layer, key, new)
    for name, first in recipe["shared"].items():
        setattr(*place(model, name), getattr(*place(model, first)))
    return model.eval()


def construct(folder: Path, recipe: Mapping[str, Any], call: Mapping[str, Any]) -> Any:
    """What a call gives; its arguments may be calls, its module a file beside the recipe."""
    name, _, function = call["call"].rpartition(":")
    if name in recipe["files"]:
        file = folder / recipe["files"][name]
        module: Any = SimpleNamespace(**runpy.run_path(str(file)))
    else:
        module = importlib.import_module(name)
    given = {
        key: construct(folder, recipe, value)
        if isinstance(value, dict) and "call" in value
        else value
        for key, value in call["arguments"].items()
    }
    return attrgetter(function)(module)(**given)


def place(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The layer that holds a layer or tensor of this name, and its name there."""
    path, _, key = name.rpartition(".")
    return model.get_submodule(path), key


if __name__ == "__main__":
    print(rebuild(Path()))
