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
    """What can be seen, by a name for people: tensors (as bytes), flags, hooks, random states."""
    seen: dict[str, Any] = {}
    drawn = np.random.get_state(legacy=False)["state"]
    for name, parameter in model.named_parameters():
        seen[f"the parameter object {name}"] = id(parameter)
        seen[f"requires_grad of {name}"] = parameter.requires_grad
        grad = parameter.grad
        seen[f".grad of {name}"] = grad is not None and _bytes(grad)
        seen[f"hooks on {name}"] = len(parameter._backward_hooks or ())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        seen[f"the value of {name}"] = _bytes(tensor)
    for name, module in model.named_modules():
        called = name or "the model"
        seen[f"train or eval mode of {called}"] = module.training
        seen[f"attributes of {called}"] = sorted(vars(module))
        seen[f"hooks on {called}"] = [len(getattr(module, kind)) for kind in _HOOKS]
    seen["the global random state of torch"] = _bytes(torch.get_rng_state())
    seen["the global random state of numpy"] = (drawn["key"].tobytes(), drawn["pos"])
    seen["the global random state of random"] = random.getstate()
    seen["whether torch records gradients"] = torch.is_grad_enabled()
    seen["torch's default type of numbers"] = torch.get_default_dtype()
    return seen


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not as it was."""
    names = dict.fromkeys((*before, *after))
    return [name for name in names if before.get(name, "absent") != after.get(name, "absent")]


def _bytes(tensor: Tensor) -> tuple[torch.Size, bytes]:
    return tensor.shape, tensor.detach().numpy().tobytes()
