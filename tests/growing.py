"""Training tiny networks with a growing penalty on half of every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from rehearsal import Rehearsal, ground_of, procedure_of
from torch import Tensor, nn

from bench.pruning.network import Removed
from criteria.phases import PHASES
from criteria.procedures.procedure import Ground
from criteria.training import Rider

STEPS = 33


def lowest_half(model: nn.Module) -> Removed:
    """Of every group, the half of least L1, rounded down."""
    return _lowest_half(model, ground_of(model, 0.5, "l1"))


def _lowest_half(model: nn.Module, ground: Ground) -> Removed:
    scores = ground.score(model, ground.nothing())
    return [one.argsort()[: len(one) // 2].sort().values for one in scores]


def procedure(name: str, model: nn.Module, doomed: Removed | None = None, **options: Any) -> Any:
    """Of that name; where it follows, these units are doomed, or of every group the lowest half."""
    ground = ground_of(model, 0.5, "l1")
    if PHASES["procedure"].find(name).type.follows:
        ground = replace(ground, doomed=doomed or _lowest_half(model, ground))
    return procedure_of(name, ground, **options)


def rehearse(model: nn.Module, rider: Rider, steps: int = STEPS, rate: float = 0.01) -> Rehearsal:
    """One epoch of so many steps."""
    return Rehearsal(model, rider, epochs=1, steps=steps, rate=rate)


def equal_units(one: Sequence[Tensor], two: Sequence[Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(one, two, strict=True))
