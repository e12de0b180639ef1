"""What a caller gives, made plain: a copy of the network that can be traced, counted and cut.

The caller's own network, its tensors and its state are never touched. Wrappers come off, weights
behind masks and parametrizations become those that act, and half precision becomes float32, as
sums of so few digits would tie units that differ.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import StructureError, fault
from ..lazy import Tensor, nn, pytree, torch
from .modes import evaluated


@dataclass(frozen=True, eq=False)
class Given:
    """A plain copy of a network, and one batch of its arguments."""

    model: nn.Module  # takes `inputs`, or a batch as it was given, as one argument
    inputs: tuple[Any, ...]  # positional arguments
    by_place: tuple[Any, ...]  # the same as the caller's forward takes them
    layers: Mapping[int, nn.Module]  # the copies of the caller's modules, by their ids
    dtypes: Mapping[str, torch.dtype]  # of the caller's parameters and buffers, by name

    def copies(self, ignored: Iterable[nn.Module]) -> list[nn.Module]:
        """The copies of the caller's layers; anything else stays as it is."""
        return [self.layers.get(id(one), one) for one in listed(ignored)]

    def returned(self, model: nn.Module) -> nn.Module:
        """A network that was made of the copy, in the caller's precision, called like theirs."""
        for key, hook in list(model._forward_pre_hooks.items()):
            if isinstance(hook, _Taken):
                del model._forward_pre_hooks[key], model._forward_pre_hooks_with_kwargs[key]
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            tensor.data = tensor.data.to(self.dtypes.get(name, tensor.dtype))
        return model


def given(model: nn.Module, example_inputs: Any) -> Given:
    """A copy of a network to work on.

    `model`: it may be wrapped, compiled, masked, parametrized, frozen, in half precision.
    `example_inputs`: one batch: a tensor, a tuple of the forward's arguments, or a mapping of them
    by name.

    Raises StructureError: the network is not made of plain modules, holds values that are not
    finite, or does not run on these inputs.

    >>> half = nn.Sequential(nn.Linear(3, 2)).bfloat16()
    >>> plain = given(nn.DataParallel(half), torch.ones(1, 3))
    >>> [*dict(plain.model.named_parameters())], plain.model(*plain.inputs).dtype
    (['0.weight', '0.bias'], torch.float32)
    """
    model = _unwrapped(model)
    _refuse(model)
    plain = _copied(model)
    layers = {id(one): plain.get_submodule(name) for name, one in model.named_modules()}
    bake(plain)
    held = dict([*plain.named_parameters(), *plain.named_buffers()])
    for name, one in held.items():
        if not torch.isfinite(one).all():
            raise StructureError(f"{name} holds NaN or infinity; nothing that is made of it counts")
    dtypes = {name: one.dtype for name, one in held.items()}
    half = any(one in (torch.float16, torch.bfloat16) for one in dtypes.values())
    given = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    named = _named(plain, example_inputs)
    several = named is not None or len(given) > 1
    if half:
        plain.float()
    if half or several:
        plain.register_forward_pre_hook(_Taken(several, half), with_kwargs=True)
    inputs = pytree.tree_map_only(torch.Tensor, normal, given)
    if not all(one.numel() for one in tensors(inputs)):
        raise StructureError("the example inputs hold no sample; give at least one")
    try:
        with evaluated(plain), torch.no_grad():
            found = plain(*inputs)
    except Exception as error:  # of the user's code
        kind = type(error).__name__
        raise StructureError(fault("does_not_run", kind=kind, error=error)) from error
    if not any(one.numel() for one in tensors(found)):
        raise StructureError(fault("no_tensors", kind=type(found).__name__))
    return Given(plain, inputs, named.args if named and not named.kwargs else given, layers, dtypes)


def listed(layers: nn.Module | Iterable[nn.Module]) -> list[nn.Module]:
    """Layers, given alone or several."""
    return [layers] if isinstance(layers, nn.Module) else list(layers)


def tensors(values: Any) -> list[Tensor]:
    """All tensors in whatever they are nested."""
    return [one for one in pytree.tree_leaves(values) if isinstance(one, torch.Tensor)]


class _Taken:
    """A hook that hands a forward a whole batch of arguments, in float32 where it is in half."""

    def __init__(self, several: bool, half: bool) -> None:
        self.several, self.half = several, half

    def __call__(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.several and len(args) == 1 and not kwargs:
            whole = args[0]
            args, kwargs = ((), dict(whole)) if isinstance(whole, Mapping) else (whole, {})
        return floats_as(torch.float32, (args, kwargs)) if self.half else (args, kwargs)


def floats_as(dtype: torch.dtype, values: Any) -> Any:
    """Arguments whose floating-point tensors are of this type, and all else as it is."""

    def cast(one: Tensor) -> Tensor:
        return one.to(dtype) if one.is_floating_point() else one

    return pytree.tree_map_only(torch.Tensor, cast, values)


def normal(value: Tensor) -> Tensor:
    """A tensor that may be differentiated, and of no subclass: torch-pruning traces no others."""
    return (value.clone() if value.is_inference() else value).as_subclass(torch.Tensor)


def _named(model: nn.Module, arguments: Any) -> inspect.BoundArguments | None:
    """Arguments by name, where that is what is given and the forward has such parameters."""
    try:
        return inspect.signature(model.forward).bind(**arguments)
    except TypeError:
        return None


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network inside of what only runs it."""
    while isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        model = model.module
    compiled = getattr(model, "_orig_mod", None)
    return model if compiled is None else _unwrapped(compiled)


def _refuse(model: nn.Module) -> None:
    """Refuse what is no network of plain modules with numbers in them."""
    if not isinstance(model, nn.Module):
        raise StructureError(f"model: expected an nn.Module, not {type(model).__name__}")
    if (default := torch.get_default_device()).type != "cpu":
        raise StructureError(fault("default_device", device=default))
    for name, module in model.named_modules():
        where = f"{name or 'the network'} ({type(module).__name__})"
        if isinstance(module, torch.jit.ScriptModule):
            raise StructureError(f"{where} is scripted; give the module that it was made of")
        if ".quantized" in type(module).__module__:
            raise StructureError(f"{where} is quantized; prune first, then quantize")
    for name, one in [*model.named_parameters(), *model.named_buffers()]:
        if torch.nn.parameter.is_lazy(one):
            raise StructureError(f"{name} has no shape yet; run the network once before")
        if one.is_meta:
            raise StructureError(f"{name} is on the meta device, without numbers; load them first")


def copied(model: nn.Module) -> nn.Module:
    """A deep copy of a network, also where it holds tensors that torch refuses to copy.

    Those are tensors with a history, as a forward may leave them, and tensors of inference mode.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for one in pytree.tree_leaves(vars(module)):  # of dictionaries, too, as caches are
            if isinstance(one, torch.Tensor) and (one.grad_fn is not None or one.is_inference()):
                plain = one.detach().clone()
                memo[id(one)] = nn.Parameter(plain) if isinstance(one, nn.Parameter) else plain
    return copy.deepcopy(model, memo)


def _copied(model: nn.Module) -> nn.Module:
    """`copied`; StructureError with what of which layer cannot be."""
    try:
        return copied(model)
    except Exception as error:  # of what the user's modules hold
        for name, module in model.named_modules():
            for key in vars(module).keys() - vars(nn.Module()).keys():
                try:
                    copy.deepcopy(vars(module)[key])
                except Exception as here:
                    where = f"{key} of {name or 'the network'} ({type(module).__name__})"
                    raise StructureError(f"{where} cannot be copied: {here}") from error
        raise StructureError(f"the network cannot be copied: {error}") from error


def bake(model: nn.Module) -> None:
    """Put the weights that act in place of those that they are made of."""
    from torch.nn.utils import parametrize, prune

    def undo(module: nn.Module, hook: Any) -> None:
        if isinstance(hook, prune.BasePruningMethod):
            prune.remove(module, hook._tensor_name)
        elif type(hook).__name__ == "WeightNorm":
            torch.nn.utils.remove_weight_norm(module, hook.name)
        elif type(hook).__name__ == "SpectralNorm":
            torch.nn.utils.remove_spectral_norm(module, hook.name)

    with evaluated(model):  # in training a spectral norm moves with every look at it
        for module in list(model.modules()):
            if parametrize.is_parametrized(module):
                kind = type(module)  # the copy's would be changed in place, and is the caller's too
                module.__class__ = type(kind.__name__, kind.__bases__, {**vars(kind)})
                for name in [*dict(module.get_submodule("parametrizations").named_children())]:
                    parametrize.remove_parametrizations(module, name)
            for hook in list(module._forward_pre_hooks.values()):
                undo(module, hook)
