"""Dependency groups: torch-pruning traces what must go together, this turns it into `Group`s.

Whatever the trace cannot be trusted with is refused with a reason and kept whole: a group that
reaches a layer's side only in part (a padded shortcut), opaque attention, ignored layers.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import StructureError, fault
from ..lazy import Tensor, nn, pytree, torch
from ..lazy import torch_pruning as tp
from .deadline import TooLong, within
from .given import normal, tensors
from .member import Group, Member, Side, kind_of
from .modes import eval_with_gradients

LONGEST_TRACE = 60.0  # seconds; a trace without an end takes memory, too


@dataclass(frozen=True)
class Structure:
    """The prunable groups of a network, and why the others are kept whole."""

    groups: tuple[Group, ...]  # in the order of the trace
    refused: Mapping[str, str]  # root name -> reason


def find_structure(
    model: nn.Module, example_inputs: Any, ignored: Collection[nn.Module] = ()
) -> Structure:
    """Trace a network and list its groups.

    Args:
        model: any network; it is left as it was found.
        example_inputs: one tensor, or a tuple of the forward's arguments.
        ignored: layers whose outputs stay (their groups are kept whole); a container stands for
            all layers inside it.

    Raises StructureError: the network cannot be traced, shares parameters, or nothing is prunable.
    """
    ignored = list(ignored)
    _refuse_unfit(model, ignored)
    with eval_with_gradients(model):
        raw, final = _trace(model, example_inputs)
    stay = [*ignored, *(layer for layers in _said(model, "kept_whole") for layer in layers)]
    kept_out = {id(layer) for one in stay for layer in one.modules()}
    partly = _partly_covered(raw)
    groups, refused = [], {}
    for items in (_root_first(items, model) for items in raw):
        try:
            _refuse_untrusted(items, kept_out, final, partly)
            groups.append(_group(items))
        except _Refused as reason:
            refused[items[0].member.name] = str(reason)
    recurrent = [name for name, one in model.named_modules() if isinstance(one, nn.RNNBase)]
    refused |= dict.fromkeys(recurrent, "recurrent")
    if not groups:
        others = {one: f"torch-pruning knows no {kind}" for one, kind in _strange(model)}
        why = "; ".join(f"{root}: {reason}" for root, reason in {**others, **refused}.items())
        raise StructureError(f"nothing in this network can be pruned ({why or 'no groups'})")
    return Structure(tuple(groups), refused)


@dataclass(frozen=True)
class _Item:
    """One entry of a torch-pruning group, without the graph behind it."""

    target: nn.Module | nn.Parameter
    member: Member  # whose units are not known yet
    root_indices: list[int | None]
    heads: int  # blocks of the layer that leave or stay whole

    @property
    def key(self) -> tuple[int, Side]:
        return id(self.target), self.member.side


class _Refused(Exception):
    """Why a group cannot be trusted."""


def _refuse_unfit(model: nn.Module, ignored: Collection[nn.Module]) -> None:
    own = {id(one) for one in model.modules()}
    for one in ignored:
        if not isinstance(one, nn.Module) or id(one) not in own:
            raise StructureError(f"ignored: expected layers of this model itself, not {one!r}")
        if next(one.parameters(), None) is None:
            raise StructureError(fault("no_channels", layer=one))
    seen: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        first = seen.setdefault(id(parameter), name)
        one, other = (model.get_submodule(each.rpartition(".")[0]) for each in (first, name))
        if one is not other:
            raise StructureError(f"{first} and {name} share one parameter; untie them first")


def _trace(model: nn.Module, example_inputs: Any) -> tuple[list[list[_Item]], set[int]]:
    """All groups as torch-pruning finds them, and the layers of those that make the output."""
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    plain = pytree.tree_map_only(torch.Tensor, normal, inputs)
    graph = tp.DependencyGraph()
    items_of = _reader(model, graph)
    try:
        with warnings.catch_warnings(action="ignore"), within(LONGEST_TRACE):
            graph.build_dependency(
                model,
                plain,
                forward_fn=lambda network, arguments: network(*arguments),
                output_transform=tensors,
                unwrapped_parameters=_bare_parameters(model),
                customized_pruners=_own_pruners(model),
                verbose=False,
            )
            groups = [(group, items_of(group)) for group in graph.get_all_groups()]
            final = {
                id(item.target)
                for group, items in groups
                if _makes_output(graph, group)
                for item in items
                if item.member.side != "in"
            }
            return [items for _, items in groups], final
    except TooLong as error:
        said = f"finds no end in following the channels of {type(model).__name__}"
        raise StructureError(_untraced(said, model, error)) from None
    except (ArithmeticError, AssertionError, AttributeError, LookupError, ValueError) as error:
        said = f"cannot trace {type(model).__name__} ({type(error).__name__}: {error})"
        raise StructureError(_untraced(said, model, error)) from error


def _untraced(said: str, model: nn.Module, error: BaseException) -> str:
    """What torch-pruning cannot do, and between which layers it was then."""
    frames = (frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__))
    nodes = [held[key] for held in frames for key in ("node", "new_dep") if key in held]
    if not nodes:
        return f"torch-pruning {said}"
    last = getattr(nodes[-1], "target", nodes[-1])  # of an edge, where it leads
    names = {id(module): name for name, module in model.named_modules()}

    def nearest(ends: str) -> str:
        line = [last]
        for one in line:  # it grows: breadth first
            if id(one.module) in names:
                return names[id(one.module)]
            line += [each for each in getattr(one, ends) if each not in line]
        return f"the network's {ends}"

    before, after = nearest("inputs"), nearest("outputs")
    where = before if before == after else f"{last.name}, between {before} and {after}"
    return fault("untraced", said=said, where=where)


def _reader(model: nn.Module, graph: Any) -> Callable[[Any], list[_Item]]:
    """Lists a group's entries, without reshapes and the like, which hold nothing to remove."""
    names = {id(module): name for name, module in model.named_modules()}
    names |= {id(parameter): name for name, parameter in model.named_parameters()}
    tied, whole = _declared(model, "equal_blocks"), _declared(model, "whole_blocks")

    def read(dep: Any, indices: list[int], root_indices: list[int | None]) -> _Item:
        target, into = dep.target.module, graph.is_in_channel_pruning_fn(dep.handler)
        out, at = graph.is_out_channel_pruning_fn(dep.handler), id(target)
        side: Side = "both" if into and out else "out" if out else "in"
        member = Member(
            name=names[at],
            kind=kind_of(target),
            side=side,
            indices=torch.tensor(indices, dtype=torch.long),
            units=torch.empty(0, dtype=torch.long),
            blocks=tied[at] if out and at in tied else _equal_blocks(target),
            transposed=bool(getattr(target, "transposed", False)),
            width=_width(target, side, dep.target.pruning_dim) or max(indices, default=-1) + 1,
            prune=dep.handler,
            dim=dep.target.pruning_dim,
            multiplied=out and not into and (at in tied or at in whole),
        )
        return _Item(target, member, root_indices, whole.get(at, 1) if out else 1)

    return lambda group: [
        read(one.dep, list(one.idxs), list(one.root_idxs))
        for one in group
        if id(one.dep.target.module) in names
    ]


def _makes_output(graph: Any, group: Any) -> bool:
    """Whether the group's channels are the network's own outputs."""
    return any(
        not entry.dep.target.outputs and graph.is_out_channel_pruning_fn(entry.dep.handler)
        for entry in group
    )


def _bare_parameters(model: nn.Module) -> list[tuple[nn.Parameter, int]]:
    """Parameters that belong to no layer torch-pruning knows (class token), in a fixed order."""
    known = tp.DependencyGraph().REGISTERED_PRUNERS
    own = _own_pruners(model)
    found = []
    for module in model.modules():
        operation = tp.ops.module2type(module)
        if type(module) in own or (operation in known and operation != tp.ops.OPTYPE.ELEMENTWISE):
            continue
        for parameter in module.parameters(recurse=False):
            wide = [dim for dim, size in enumerate(parameter.shape) if size > 1]
            if wide:
                found.append((parameter, wide[-1]))
    return found


def _strange(model: nn.Module) -> list[tuple[str, str]]:
    """Layers with weights of a kind that torch-pruning does not know, and the kind."""
    bare = {id(parameter) for parameter, _ in _bare_parameters(model)}
    return [
        (name, type(module).__name__)
        for name, module in model.named_modules()
        if any(id(one) in bare and one.dim() > 1 for one in module.parameters(recurse=False))
    ]


def _own_pruners(model: nn.Module) -> dict[type, Any]:
    """Layer types that bring their own torch-pruning function as `pruning_func`."""
    return {
        kind: pruning_func()
        for kind in {type(module) for module in model.modules()}
        if (pruning_func := getattr(kind, "pruning_func", None)) is not None
    }


def _root_first(items: list[_Item], model: nn.Module) -> list[_Item]:
    """Layers that make the channels first, each kind in the order of the model's definition."""
    order = {id(one): at for at, one in enumerate([*model.modules(), *model.parameters()])}

    def place(item: _Item) -> tuple[bool, int]:
        makes = item.member.side == "out" and kind_of(item.target) in ("conv", "linear")
        return (not makes, order[id(item.target)])

    return sorted(items, key=place)


def _width(target: nn.Module | nn.Parameter, side: Side, dim: int) -> int:
    """Channels of a side in the whole layer; 0 where it does not say."""
    if isinstance(target, nn.Parameter):
        return target.shape[dim]
    sides = ("in", "out") if side == "both" else (side,)
    asked = [f"{one}_{unit}" for one in sides for unit in ("channels", "features")]
    asked += ["num_features", "num_channels", "num_parameters", "embed_dim"]
    if isinstance(target, nn.LayerNorm):
        return target.normalized_shape[-1]
    return next((int(getattr(target, name)) for name in asked if hasattr(target, name)), 0)


def _equal_blocks(target: nn.Module | nn.Parameter) -> int:
    """Equal blocks that a layer works in, on both sides; a depthwise one has none."""
    if isinstance(target, nn.modules.conv._ConvNd) and target.groups != target.out_channels:
        return target.groups
    return target.num_groups if isinstance(target, nn.GroupNorm) else 1


def _declared(model: nn.Module, what: str) -> dict[int, int]:
    """Blocks of output channels that modules declare for the layers inside them, by id."""
    return {id(layer): count for one in _said(model, what) for layer, count in one.items()}


def _said(model: nn.Module, what: str) -> list[Any]:
    """What modules that have a method of this name say by it."""
    methods = (getattr(module, what, None) for module in model.modules())
    return [say() for say in methods if callable(say)]


def _partly_covered(raw: list[list[_Item]]) -> set[tuple[int, Side]]:
    """Layer sides that all groups together reach only in part, or twice."""
    reached: dict[tuple[int, Side], list[Member]] = {}
    for item in (item for items in raw for item in items):
        reached.setdefault(item.key, []).append(item.member)
    return {
        key
        for key, members in reached.items()
        if not _are_all(torch.cat([one.indices for one in members]), members[-1].width)
    }


def _are_all(indices: Tensor, width: int) -> bool:
    """Whether these are all channels of a side of that width, each once."""
    return torch.equal(indices.sort().values, torch.arange(width))


def _refuse_untrusted(
    items: list[_Item], kept_out: set[int], final: set[int], partly: set[tuple[int, Side]]
) -> None:
    for item in items:
        name, side, made = item.member.name, item.member.side, item.member.side != "in"
        if id(item.target) in kept_out and made:
            raise _Refused(f"{name} is ignored")
        if id(item.target) in final and made:
            raise _Refused(f"{name} makes the network's output")
        if isinstance(item.target, nn.MultiheadAttention):
            raise _Refused(f"{name} is an opaque nn.MultiheadAttention")
        if item.key in partly:
            raise _Refused(
                f"only a part of the {side} channels of {name} was traced (a padded shortcut?)"
            )
        if None in item.root_indices:
            raise _Refused(f"some channels of {name} have no root channel")
        root = items[0].member
        if max(item.root_indices, default=0) >= len(root.indices):  # type: ignore[type-var, operator]
            maker = "it" if name == root.name else root.name
            raise _Refused(f"{name} is coupled to more channels than {maker} makes")


def _group(items: list[_Item]) -> Group:
    unit_of = _tie(items)
    units = int(unit_of.max()) + 1
    members = []
    for item in items:
        owner = unit_of[torch.tensor(item.root_indices)]
        shares = owner.bincount(minlength=units).unique()
        if not torch.equal(shares, torch.tensor([len(owner) // units])):
            raise _Refused(f"{item.member.name} holds unequal shares of its channels")
        members.append(replace(item.member, units=owner))
    return Group(members[0].name, units, tuple(members))


def _tie(items: list[_Item]) -> Tensor:
    """Unit of each root channel: channels at one position of all blocks of a layer are one unit.

    So are all channels of a block that leaves or stays as a whole.
    """
    unit = torch.arange(len(items[0].member.indices))
    for item in items:
        blocks, at, width = item.member.blocks, item.member.indices, item.member.width
        if blocks == item.heads == 1:
            continue
        if not _are_all(at, width):
            raise _Refused(f"the blocks of {item.member.name} reach beyond this group")
        tie = at // (width // item.heads) if item.heads > 1 else at % (width // blocks)
        owner = torch.tensor(item.root_indices)
        for one in tie.unique():  # the few positions or blocks; joins classes of channels
            tied = unit[owner[tie == one]].unique()
            unit[torch.isin(unit, tied)] = tied.min()
    return unit.unique(return_inverse=True)[1]
