"""What makes a training fast: a compiled forward pass, half precision, another layout in memory."""

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import BenchError


def compiled(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The forward pass, compiled at its first call.

    Raises:
        BenchError: there is no compiler.
    """
    if device.type == "cuda":
        missing = importlib.util.find_spec("triton") is None and "the package triton"
    else:
        there = any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++")))
        missing = not there and "a C++ compiler (g++ or clang++, or one that CXX names)"
    if missing:
        raise BenchError(f"the recipe says compile: true, which needs {missing}; leave it out")
    return torch.compile(model)


def precision(
    amp: Literal["bf16", "fp16"] | None, device: torch.device
) -> contextlib.AbstractContextManager[object]:
    """Forward passes inside are in half precision, where the recipe asks for one."""
    if amp is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if amp == "bf16" else torch.float16)


def lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    """Convolutions hold their weights so in memory from here on; the values stay."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)
