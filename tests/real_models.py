"""Models as suites name them, at any size."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bench.models import build_model
from suites.problem import ModelSpec


def build(
    name: str,
    size: int = 32,
    channels: int = 3,
    classes: int = 10,
    seed: int = 0,
    **more: Any,
) -> nn.Module:
    spec = ModelSpec.model_validate({"name": name, **more})
    return build_model(spec, classes=classes, channels=channels, image_size=size, seed=seed)


def lively(model: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, norms and biases off 1 and 0, where faults would hide."""
    generator = torch.Generator().manual_seed(0)
    state = model.double().eval().state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.dim() == 1:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif name.endswith(("class_token", "heads.head.weight")):
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return model
