"""What a recipe asks for beside its loss: optimizer, rate, and what makes a training fast."""

import contextlib
import importlib.util
import math
import os
import shutil
from typing import Any, Literal, cast

import torch
from torch import nn

from criteria.training import Rider, Scale
from suites import Recipe

from ..errors import BenchError


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The factor on the recipe's learning rate after so many epochs, fractions included."""
    epoch += recipe.from_epoch
    if epoch < recipe.warmup_epochs:
        if recipe.warmup_factor is not None:
            left = 1 - epoch / recipe.warmup_epochs
            return 1 - (1 - recipe.warmup_factor) * left
        return (epoch + 1e-2) / (recipe.warmup_epochs + 1e-2)
    done = (epoch - recipe.warmup_epochs) / max(recipe.scheduled - recipe.warmup_epochs, 1e-9)
    match recipe.schedule:
        case "constant":
            return 1.0
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        case "step":
            passed = sum(epoch >= share * recipe.scheduled for share in recipe.milestones)
            return recipe.gamma**passed
        case "triangle":
            return 1 - (1 - recipe.gamma) * abs(2 * min(done, 1.0) - 1)


def make_optimizer(model: nn.Module, recipe: Recipe, rider: Rider) -> torch.optim.Optimizer:
    """The recipe's optimizer; parameters that the rider scales are in groups of their own."""
    plain, scales = Scale(1.0, 1.0), rider.scales(model)
    by_scale: dict[Scale, list[nn.Parameter]] = {plain: []}
    for parameter in model.parameters():
        by_scale.setdefault(scales.get(parameter, plain), []).append(parameter)
    groups = list[dict[str, Any]]()
    for scale, parameters in by_scale.items():
        rate = recipe.learning_rate * scale.learning_rate
        decay = recipe.weight_decay * scale.weight_decay
        if parameters or scale == plain:
            rates = {"lr": rate, "initial_lr": rate, "weight_decay": decay}
            groups.append({"params": parameters, **rates})
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups)
    return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov)


def compiled(model: nn.Module, device: torch.device) -> nn.Module:
    """The forward pass, compiled at its first call; BenchError if there is no compiler."""
    if device.type == "cuda":
        missing = importlib.util.find_spec("triton") is None and "the package triton"
    else:
        there = any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++")))
        missing = not there and "a C++ compiler (g++ or clang++, or one that CXX names)"
    if missing:
        raise BenchError(f"compile: true needs {missing}; leave it out")
    torch.compiler.reset()  # or torch gives up, without a word, on the ninth network of a class
    return cast(nn.Module, torch.compile(model))


def precision(
    amp: Literal["bf16", "fp16"] | None, device: torch.device
) -> contextlib.AbstractContextManager[object]:
    """Forward passes inside are in half precision, where the recipe asks for one."""
    if amp is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if amp == "bf16" else torch.float16)
