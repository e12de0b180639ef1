"""How a pruned network differs from the unpruned one, but for values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from criteria.lazy import Tensor, nn

from ..errors import ExportError


def changes(unpruned: nn.Module, pruned: nn.Module) -> dict[str, Any]:
    """Layers that are gone, attributes that differ, and the unpruned shapes of cut tensors.

    Raises:
        ExportError: the pruned network has layers or tensors that the other one lacks.

    >>> changes(nn.Linear(4, 3), nn.Linear(4, 2))
    {'gone': [], 'attributes': {'': {'out_features': 2}}, \
'unpruned_shapes': {'weight': [3, 4], 'bias': [3]}}
    """
    before, after = _layers(unpruned), _layers(pruned)
    for name, layer in after.items():
        made = type(before[name]).__qualname__ if name in before else "no such layer"
        if made != type(layer).__qualname__:
            raise ExportError(
                f"{name or 'the network'} is a {class_of(layer)}, and its constructor makes {made}"
            )
    old, new = named_tensors(unpruned), named_tensors(pruned)
    if added := [name for name in new if name not in old]:
        raise ExportError(f"{added[0]} is no tensor of what its constructor makes")
    gone = [name for name in (*before, *old) if name not in after and name not in new]
    attributes = {name: _attributes(before[name], layer) for name, layer in after.items()}
    cut = [name for name, one in new.items() if one.shape != old[name].shape]
    return {
        "gone": [name for name in gone if name.rpartition(".")[0] not in gone],
        "attributes": {name: found for name, found in attributes.items() if found},
        "unpruned_shapes": {name: list(old[name].shape) for name in cut},
    }


def misfit(model: nn.Module, recipe: Mapping[str, Any], shapes: dict[str, list[int]]) -> str | None:
    """How a network differs from the unpruned one of a recipe whose tensors have these shapes."""
    kept = shapes | {name: shapes[first] for name, first in recipe["shared"].items()}
    kept |= recipe["unpruned_shapes"]
    found = {name: list(one.shape) for name, one in named_tensors(model).items()}
    gone = tuple(f"{name}." for name in recipe["gone"])
    if lacks := [name for name in kept if name not in found]:
        return f"it has no {lacks[0]}"
    for name, shape in found.items():
        if name not in kept and not f"{name}.".startswith(gone):
            return f"{name} is none of the kept tensors"
        if name in kept and shape != kept[name]:
            return f"{name} is {shape}, and was {kept[name]} before pruning"
    return None


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers, those of one tensor under each of its names."""
    parameters = model.named_parameters(remove_duplicate=False)
    return dict([*parameters, *model.named_buffers(remove_duplicate=False)])


def class_of(one: object) -> str:
    """`module.Class` of an object."""
    return f"{type(one).__module__}.{type(one).__qualname__}"


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    return dict(model.named_modules(remove_duplicate=False))


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
