"""What the caller of a score can see of a model and of the process, before and after."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def marked(model: nn.Module) -> nn.Module:
    """Put a model in train mode but for one part, freeze a parameter, leave gradients lying about.

    So that putting everything in one state cannot pass for leaving it as it was.
    """
    model.train()
    next(module for module in model.modules() if not list(module.children())).eval()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    next(model.parameters()).requires_grad_(False)
    return model


def snapshot(model: nn.Module) -> dict[str, Any]:
    """What can be seen, by a name for people: tensors (copied), flags, hooks, random states."""
    seen: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        seen[f"the parameter object {name}"] = id(parameter)
        seen[f"requires_grad of {name}"] = parameter.requires_grad
        seen[f".grad of {name}"] = _copied(parameter.grad)
        seen[f"hooks on {name}"] = len(parameter._backward_hooks or ())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        seen[f"the value of {name}"] = _copied(tensor)
    for name, module in model.named_modules():
        called = name or "the model"
        seen[f"train or eval mode of {called}"] = module.training
        seen[f"attributes of {called}"] = sorted(vars(module))
        seen[f"hooks on {called}"] = [len(getattr(module, kind)) for kind in _HOOKS]
    seen["the global random state of torch"] = torch.get_rng_state()
    seen["the global random state of numpy"] = np.random.get_state(legacy=False)["state"]
    seen["the global random state of random"] = random.getstate()
    seen["whether torch records gradients"] = torch.is_grad_enabled()
    seen["torch's default type of numbers"] = torch.get_default_dtype()
    return seen


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not as it was."""
    return [
        name
        for name in dict.fromkeys((*before, *after))
        if name not in before or name not in after or not _same(before[name], after[name])
    ]


def _copied(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and bool(torch.equal(one, other))
    if isinstance(one, dict) and isinstance(other, dict):  # numpy's state
        return all(np.array_equal(one[key], other[key]) for key in one)
    return bool(type(one) is type(other) and one == other)
