"""Pruning in a notebook: one call from a model to a smaller one."""

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, get_args

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from criteria import Group
from criteria.evidence.batch import Inputs, Loss
from criteria.gather import score_alone
from criteria.network.cut import verify
from criteria.network.given import Given, given, listed
from criteria.registry import create, find, require
from reports.records import BudgetCheck
from suites.faults import explained
from suites.protocol import Axis, Deployment

from ..errors import BenchError, ExportError, fault
from ..export.recipe import call_of, changes, keep
from . import masks
from .choose import choose_removed
from .cost import count_macs, count_params, weight_uses
from .latency import CLOSE, meet
from .network import Network, Rules, Schedule, Shape
from .selection import TOLERANCE, InfeasibleBudget, Limits, Scope, unranked
from .thresholds import Choice, unfit

Score = Callable[[nn.Module, Sequence[Group]], Sequence[Tensor]]


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned network and what it costs."""

    # A copy without the removed channels, or with its pruned weights at zero; build optimizers from
    # it, not from the original.
    model: nn.Module = field(repr=False)
    # Root layer -> root channels that stayed, numbered as in the dense network.
    kept: dict[str, list[int]]
    # macs, params: of the pruned network; MACs of one image, counted by torch's dispatcher. Of a
    # masked one those of the weights that stay.
    macs: int
    params: int
    # dense_macs, dense_params: of the network as given
    dense_macs: int
    dense_params: int
    inputs: tuple[Any, ...] = field(repr=False)  # one batch of positional arguments
    # How the network came of the one that was given, for `save`.
    recipe: Mapping[str, Any] = field(repr=False)
    # Layer -> `[weights]`, True where one stayed; empty where channels left. A finetuning keeps
    # them with `hold = bench.pruning.masks.Holder(model, masks)` and `hold()` after each step.
    masks: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    check: BudgetCheck | None = None  # of a budget of latency, what was predicted and what measured

    def save(
        self, path: str | Path, build: Callable[..., nn.Module] | None = None, **arguments: Any
    ) -> None:
        """Keep the network in a folder: its tensors, and a recipe of how to build and cut it.

        `bench.load(path)` builds it alone where `build(**arguments)`, by default the network's own
        class, makes the unpruned network and can be imported; else `bench.load(path, model=...)`
        is given that.

        Raises ExportError: the extra `export` is missing, `build` makes another network, or the
        files cannot be written.

        >>> import bench, tempfile
        >>> folder, images = tempfile.mkdtemp(), torch.randn(2, 1, 8, 8)
        >>> layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 36, 10)]
        >>> unpruned = nn.Sequential(*layers)
        >>> prune(unpruned, images, "l1", {"channels": 0.5}).save(folder)
        >>> bench.load(folder, model=unpruned)[0].out_channels
        16
        """
        where, make = Path(path), build or type(self.model)
        try:
            keep(where, self.model, self.inputs, call_of(make, arguments), self.recipe)
        except ExportError:
            if build is not None:
                raise
            keep(where, self.model, self.inputs, None, self.recipe)


def prune(
    model: nn.Module,
    example_inputs: Any,
    criterion: str,
    budget: Mapping[str, float],
    batches: Iterable[tuple[Inputs, Any]] = (),
    ignored: Collection[nn.Module] = (),
    *,
    scope: str = "global",
    steps: int = 1,
    schedule: Shape = "linear",
    limits: Limits = Limits(),  # noqa: B008  # frozen
    tolerance: float = TOLERANCE,
    deployed: Mapping[str, Any] = MappingProxyType({}),
    generator: torch.Generator | None = None,
    loss: Loss = functional.cross_entropy,
    **options: Any,
) -> Pruned:
    """Prune a network to a budget by a criterion; the network itself is left as it was.

    Args:
        model: any network that torch-pruning can trace; wrappers come off, and weights behind masks
            and parametrizations become those that act.
        example_inputs: one batch: a tensor, a tuple of the forward's arguments, or a mapping of
            them by name; `batches` hold inputs of the same kind.
        criterion: a registered name; `criteria.criteria()` lists them.
        budget: `{"macs": share kept}`, `{"params": share kept}`, `{"channels": share kept}` or
            `{"speedup": factor}`, met within `tolerance`; `{"memory": share kept}` of weights and
            of the activations held at once; `{"latency": share kept}`, whose operations are timed
            on this machine, and the result, which `check` tells. `{"weights": share kept}` masks
            single weights, exactly so many. For a selector also `{"threshold": its setting}`.
        batches: (inputs, targets) for criteria that need data; kept when `steps` > 1.
        ignored: layers whose outputs stay; those that make the network's output always do.
        scope: rank all channels together (`global`), per group (`local`), or among `isomorphic`
            groups; of weights all, per layer, or `N:M`: N of every M consecutive inputs stay.
        steps: 1 is one-shot; more score again after each removal.
        limits: what every group keeps; single weights know none.
        tolerance: share of the dense cost by which the result may lie under the budget; of a
            latency at least 0.02. A very small network, whose single channels cost more, needs a
            larger one.
        deployed: where a latency is meant: `runtime` (`eager`, `onnxruntime`, `openvino`), `batch`
            and `threads`; default: eager, one image, one thread.
        generator, loss, options: as for `criteria.score`.

    Raises:
        CriteriaError: unknown names or options, an untraceable network, bad scores, a criterion
            without scores for single weights.
        InfeasibleBudget: the budget cannot be met.
        BenchError: a selector that is asked for steps, or for a scope that it does not know.

    Warns:
        UserWarning: all units of a group have the same score, so that their places decide; or a
            latency is more than 5 % off its budget.

    >>> layers = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 6 * 6, 10)]
    >>> images, labels = torch.randn(4, 3, 8, 8), torch.arange(4)
    >>> result = prune(
    ...     nn.Sequential(*layers), images[:1], "taylor", {"macs": 0.5}, [(images, labels)],
    ...     tolerance=0.05,
    ... )
    >>> result.model[0].out_channels, result.macs / result.dense_macs
    (16, 0.5)
    """
    axis, share = shares(budget)
    place = _place(axis, deployed)
    require(criterion, options, "single weights" if axis == "weights" else "channels")
    selector = find(criterion).selector
    if selector is None and axis == "threshold":
        raise BenchError(f"budget threshold = {share:g}: {criterion} scores, and has no threshold")
    asked = (axis, [share], scope, limits.emptied)
    if selector and (why := unfit(selector, *asked, iterative=steps > 1)):
        raise BenchError(f"{criterion} {why}")
    if schedule not in get_args(Shape) or not isinstance(steps, int) or steps < 1:
        known = ", ".join(get_args(Shape))
        raise BenchError(fault("no_schedule", schedule=schedule, steps=steps, known=known))
    stops = None if steps == 1 else Schedule(steps, schedule)
    ignored = listed(ignored)
    generator = generator or torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):  # by which a loader may shuffle
        held = list(batches)

    def score(now: nn.Module, groups: Sequence[Group]) -> Sequence[Tensor]:
        values, _ = score_alone(now, create(criterion, groups, options, generator), held, loss)
        if constant := unranked(groups, values):
            more = ", ..." if len(constant) > 3 else ""
            which = {"constant": len(constant), "groups": len(groups)}
            roots = ", ".join(constant[:3]) + more
            said = fault("one_score", criterion=criterion, roots=roots, **which)
            warnings.warn(said, stacklevel=2)
        return values

    if axis == "weights" and (scope == "isomorphic" or limits != Limits() or ignored):
        raise InfeasibleBudget(fault("weights_have_no"))
    if axis != "weights" and scope not in get_args(Scope):
        raise BenchError(f"scope {scope!r}: of channels it is one of {', '.join(get_args(Scope))}")
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        plain = given(model, example_inputs)
        if axis == "weights":
            return _mask(plain, score, share, scope, stops)
        cost = "macs" if axis == "threshold" else axis
        rules = Rules(cost, cast(Scope, scope), limits, tolerance)
        network = Network.trace(plain.model, plain.inputs, plain.copies(ignored))
        verify(network.model, network.inputs, network.structure)

        def choose(network: Network, rules: Rules, share: float) -> Choice | InfeasibleBudget:
            return choose_removed(
                network,
                lambda now: score(now.model, now.structure.groups),
                [share],
                rules,
                schedule=stops,
                selector=selector,
                thresholds=axis == "threshold",
            )[share]

        choice, check = meet(network, choose, rules, share, place)
        if isinstance(choice, InfeasibleBudget):
            whole = ", ".join(f"{root} ({why})" for root, why in network.structure.refused.items())
            raise InfeasibleBudget(f"{choice}. Kept whole: {whole or 'nothing'}")
        pruned = network.cut(choice.removed)
        found = Pruned(
            pruned,
            network.kept(choice.removed),
            count_macs(pruned, network.inputs),
            count_params(pruned),
            count_macs(network.model, network.inputs),
            count_params(network.model),
            plain.by_place,
            {**changes(network.model, pruned), "kept": network.kept_by_layer(choice.removed)},
            check=check,
        )
        if check and abs(check.off) > CLOSE:
            measured = f"measured {check.latency.ratio:.3f}, after {check.tries} tries"
            warnings.warn(f"budget latency = {share:g}: {measured}", stacklevel=2)
        kept = found.macs / found.dense_macs
        if axis == "macs" and not share - tolerance - 1e-6 <= kept <= share + 1e-6:
            where = ", ".join(network.cost.unmodelled) or "some layers"
            raise InfeasibleBudget(fault("refuse_missed", share=share, kept=kept, where=where))
        plain.returned(pruned)
    return found


def _place(axis: Axis, deployed: Mapping[str, Any]) -> Deployment:
    """Where a latency is meant; BenchError where it is not said right, or of another axis."""
    try:
        place = Deployment.model_validate(dict(deployed))
    except ValidationError as error:
        raise BenchError(f"deployed: {explained(error, Deployment)}") from error
    if deployed and axis != "latency":
        raise BenchError(f"deployed says where a budget of latency is meant, not one of {axis}")
    if place.runtime == "compile":
        raise BenchError("deployed: single layers are not compiled; eager, onnxruntime, openvino")
    return place


def shares(budget: Mapping[str, float]) -> tuple[Axis, float]:
    """A budget as people write it, as (cost, share kept), or (threshold, its value). Raises
    InfeasibleBudget for none or several of the axes, and for a share outside (0, 1]."""
    axes = tuple(budget) if isinstance(budget, Mapping) else ()
    if len(axes) != 1 or axes[0] not in (*get_args(Axis), "speedup"):
        raise InfeasibleBudget(fault("budget", budget=budget))
    axis: Any
    ((axis, value),) = budget.items()
    if not isinstance(value, Real):
        raise InfeasibleBudget(f"budget {axis} = {value!r}: expected a number")
    share = 1 / value if axis == "speedup" and value > 0 else value
    if not 0 < share <= 1:
        allowed = "a speed-up is at least 1" if axis == "speedup" else "a share is in (0, 1]"
        raise InfeasibleBudget(f"budget {axis} = {value}: {allowed}")
    return ("macs" if axis == "speedup" else axis), share


def _mask(
    plain: Given, score: Score, share: float, scope: str, schedule: Schedule | None
) -> Pruned:
    """The network with all but a share of its weights at zero."""
    model, inputs = plain.model, plain.inputs
    groups = masks.weight_groups(model, inputs)
    chosen = masks.choose_masks(
        model, groups, lambda now: score(now, groups), [share], scope, schedule=schedule
    )[share]
    dense_macs, dense_params = count_macs(model, inputs), count_params(model)
    pruned = masks.masked(model, chosen)
    counts = {layer: [int(mask.sum()), len(mask)] for layer, mask in chosen.items()}
    return Pruned(
        plain.returned(pruned),
        {},
        dense_macs - masks.macs_saved(chosen, weight_uses(model, inputs)),
        dense_params - sum(int((~mask).sum()) for mask in chosen.values()),
        dense_macs,
        dense_params,
        plain.by_place,
        {**changes(model, pruned), "weights": counts},
        chosen,
    )
