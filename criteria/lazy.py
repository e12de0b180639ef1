"""torch, loaded when something of it is first used: its import takes two seconds.

Criteria and phases are listed and planned with before there is a tensor. So this package, and what
else is imported for plans, takes torch from here; only what is imported where tensors are, such as
a module that derives a layer, imports it at its head.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, ForwardRef

__all__ = ["Tensor", "functional", "graph", "nn", "torch", "torch_pruning"]


class _OnUse(ModuleType):
    """Stands for the module of its name, which is imported with the first attribute."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)  # as Ray sends functions that name it


if TYPE_CHECKING:
    import torch
    import torch_pruning
    from torch import Tensor, nn
    from torch.autograd import graph
    from torch.nn import functional
else:
    torch, torch_pruning = _OnUse("torch"), _OnUse("torch_pruning")
    nn, functional = _OnUse("torch.nn"), _OnUse("torch.nn.functional")
    graph = _OnUse("torch.autograd.graph")
    Tensor = ForwardRef("torch.Tensor")  # of annotations; `isinstance` asks for `torch.Tensor`
