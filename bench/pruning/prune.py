"""Pruning in a notebook: one call from a model to a smaller one.

from bench import prune
result = prune(model, example_inputs, "taylor", budget={"macs": 0.5}, batches=[(x, y)])
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from criteria import Group
from criteria.evidence.batch import Loss
from criteria.gather import score_alone
from criteria.registry import create, find, require

from ..errors import BenchError
from . import masks
from .cost import count_macs, count_params, weight_uses
from .cut import verify
from .network import Network, Removed, Rules, Schedule, Shape, iterative, one_shot, shares
from .selection import TOLERANCE, InfeasibleBudget, Limits, Scope
from .thresholds import Choice, Choices, choose, unfit


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned network and what it costs.

    Attributes:
        model: a copy without the removed channels, or with its pruned weights at zero; build
            optimizers from it, not from the original.
        kept: root layer -> root channels that stayed, numbered as in the dense network.
        macs, params: of the pruned network; MACs of one image, counted by torch's dispatcher. Of a
            masked one those of the weights that stay.
        dense_macs, dense_params: of the network as given.
        masks: layer -> `[weights]`, True where one stayed; empty where channels left. A finetuning
            keeps them with `hold = bench.pruning.masks.Holder(model, masks)` and `hold()` after
            each step.
    """

    model: nn.Module = field(repr=False)
    kept: dict[str, list[int]]
    macs: int
    params: int
    dense_macs: int
    dense_params: int
    masks: Mapping[str, Tensor] = field(default_factory=dict, repr=False)


def prune(
    model: nn.Module,
    example_inputs: Any,
    criterion: str,
    budget: Mapping[str, float],
    batches: Iterable[tuple[Tensor, Tensor]] = (),
    ignored: Collection[nn.Module] = (),
    *,
    scope: Scope = "global",
    steps: int = 1,
    schedule: Shape = "linear",
    limits: Limits = Limits(),  # noqa: B008  # frozen
    tolerance: float = TOLERANCE,
    generator: torch.Generator | None = None,
    loss: Loss = functional.cross_entropy,
    **options: Any,
) -> Pruned:
    """Prune a network to a budget by a criterion; the network itself is left as it was.

    Args:
        model: any network that torch-pruning can trace.
        example_inputs: one batch of inputs, or a tuple of the forward's arguments.
        criterion: a registered name; `criteria.criteria()` lists them.
        budget: `{"macs": share kept}`, `{"params": share kept}`, `{"channels": share kept}` or
            `{"speedup": factor}`, met within `tolerance`; `{"weights": share kept}` masks single
            weights, exactly so many. For a selector also `{"threshold": its own knob}`.
        batches: (inputs, targets) for criteria that need data; kept when `steps` > 1.
        ignored: layers whose outputs stay; those that make the network's output always do.
        scope: rank all channels together, per group, or among isomorphic groups.
        steps: 1 is one-shot; more score again after each removal.
        limits: what every group keeps; single weights know none.
        tolerance: share of the dense cost by which the result may lie under the budget; a very
            small network, whose single channels cost more, needs a larger one.
        generator, loss, options: as for `criteria.score`.

    Raises:
        CriteriaError: unknown names or options, an untraceable network, bad scores, a criterion
            without scores for single weights.
        InfeasibleBudget: the budget cannot be met.
        BenchError: a selector that is asked for steps, or for a scope that it does not know.
    """
    cost, share = shares(budget)
    require(criterion, options, "single weights" if cost == "weights" else "channels")
    selector = find(criterion).selector
    if selector is None and cost == "threshold":
        raise BenchError(f"budget {budget!r}: {criterion} scores, and has no threshold")
    fault = selector and unfit(selector, cost, [share], scope, iterative=steps > 1)
    if fault:
        raise BenchError(f"{criterion} {fault}")
    generator = generator or torch.Generator().manual_seed(0)
    held = list(batches)
    stops = Schedule(steps, schedule)

    def score(now: nn.Module, groups: Sequence[Group]) -> Sequence[Tensor]:
        values, _ = score_alone(now, create(criterion, groups, options, generator), held, loss)
        return values

    if cost == "weights":
        if scope == "isomorphic" or limits != Limits() or ignored:
            raise InfeasibleBudget(
                "ignored, limits and the scope isomorphic are about channels; of single weights "
                "the scope is global or local, and no layer is spared"
            )
        return _mask(model, example_inputs, score, share, scope, stops)
    network = Network.trace(model, example_inputs, ignored)
    verify(network.model, network.inputs, network.structure)
    rules = Rules("macs" if cost == "threshold" else cost, scope, limits, tolerance)

    def scorer(now: Network) -> Sequence[Tensor]:
        return score(now.model, now.structure.groups)

    found: Removed | Choice | InfeasibleBudget
    if selector is not None:
        choices = Choices(network, selector, scorer(network), rules)
        found = choose(choices, cost, [share])[share]
    elif steps == 1:
        found = one_shot(network, scorer(network), [share], rules)[share]
    else:
        found = iterative(network, scorer, [share], rules, stops)[share]
    if isinstance(found, InfeasibleBudget):
        raise found
    if isinstance(found, Choice):
        found = found.removed
    pruned = network.cut(found)
    return Pruned(
        pruned,
        network.kept(found),
        count_macs(pruned, network.inputs),
        count_params(pruned),
        count_macs(model, network.inputs),
        count_params(model),
    )


def _mask(
    model: nn.Module,
    example_inputs: Any,
    score: Callable[[nn.Module, Sequence[Group]], Sequence[Tensor]],
    share: float,
    scope: masks.Scope,
    schedule: Schedule,
) -> Pruned:
    """As `prune`, of single weights."""
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    groups = masks.weight_groups(model, inputs)
    found = masks.iterative(
        model, groups, lambda now: score(now, groups), [share], scope, schedule
    )[share]
    dense_macs, dense_params = count_macs(model, inputs), count_params(model)
    return Pruned(
        masks.masked(model, found),
        {},
        dense_macs - masks.macs_saved(found, weight_uses(model, inputs)),
        dense_params - sum(int((~one).sum()) for one in found.values()),
        dense_macs,
        dense_params,
        found,
    )
