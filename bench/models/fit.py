"""A network for its data: others' are first made plain, and refused where they do not fit."""

from __future__ import annotations

from typing import Any

from criteria import StructureError
from criteria.lazy import Tensor, nn, torch
from criteria.network.given import copied, given
from suites.problem import ModelSpec

from ..errors import ModelError
from .registry import build_model, code_of


def fresh(spec: ModelSpec, seed: int, inputs: Tensor, **shape: int) -> nn.Module:
    """A network where its inputs are, in training mode, which gives logits [n, classes].

    Of others' weights behind masks and parametrizations become those that act, in float32.

    Raises:
        ModelError: see `build_model`; it does not run on such inputs, or gives something else.
    """
    model = build_model(spec, seed=seed, **shape).to(inputs.device)
    if code_of(spec) is None:
        return model
    try:
        plain = given(model, inputs).model
    except StructureError as error:
        raise ModelError(f"{spec.name}, on images {list(inputs.shape)}: {error}") from error
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        _refuse_misfit(f"{spec.name} gives", copied(plain).eval()(inputs), shape["classes"])
        in_training = copied(plain).train()(inputs)
        _refuse_misfit(f"{spec.name} gives in training", in_training, shape["classes"])
    return plain.train()


def _refuse_misfit(gives: str, outputs: Any, classes: int) -> None:
    wanted = f"not logits [n, {classes}]"
    if not isinstance(outputs, torch.Tensor):
        keys = f" of {', '.join(map(repr, outputs))}" if isinstance(outputs, dict) else ""
        kind = type(outputs).__name__
        raise ModelError(f"{gives} a {kind}{keys}, {wanted}; let its forward return these alone")
    if outputs.dim() != 2 or outputs.shape[1] != classes:
        raise ModelError(
            f"{gives} outputs {list(outputs.shape)}, {wanted}; its constructor is told how many by "
            "a parameter such as num_classes, or under `options`"
        )
