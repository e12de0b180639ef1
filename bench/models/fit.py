"""Whether a network of others fits the data, and what of it must first be made plain."""

from __future__ import annotations

from typing import Any

from criteria import StructureError
from criteria.lazy import nn, torch
from criteria.network.given import copied, given

from ..errors import ModelError


def fitted(name: str, model: nn.Module, inputs: Any, classes: int) -> nn.Module:
    """A copy with plain weights in float32, which gives logits [n, classes] for these inputs.

    Weights behind masks and parametrizations become those that act.

    Raises:
        ModelError: it does not run on them, gives something else, or is not made of plain modules.
    """
    try:
        plain = given(model, inputs).model
    except StructureError as error:
        raise ModelError(f"{name}, on images {list(inputs.shape)}: {error}") from error
    for network, when in ((copied(plain).eval(), ""), (copied(plain).train(), " in training")):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            _refuse_misfit(f"{name} gives{when}", network(inputs), len(inputs), classes)
    return plain


def _refuse_misfit(name_gives: str, outputs: Any, images: int, classes: int) -> None:
    wanted = f"not logits [{images}, {classes}]"
    if not isinstance(outputs, torch.Tensor):
        inside = f" of {', '.join(map(repr, outputs))}" if isinstance(outputs, dict) else ""
        raise ModelError(
            f"{name_gives} a {type(outputs).__name__}{inside}, {wanted}; let its forward return "
            "these alone"
        )
    if outputs.shape != (images, classes):
        raise ModelError(
            f"{name_gives} outputs {list(outputs.shape)} for {images} images of {classes} classes, "
            f"{wanted}; its constructor is told how many by a parameter such as num_classes, or "
            "under `options`"
        )
