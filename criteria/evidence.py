"""One pass over the batches gathers what all criteria need, and leaves the model as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from .criterion import Batch, Criterion, Need, checked_scores
from .errors import CriteriaError, NotApplicable
from .member import kind_of
from .memory import PeakMemory
from .modes import eval_with_gradients

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Cost:
    """What scoring by one criterion cost, as if it had run alone.

    Attributes:
        seconds: its share of the evidence in full, and its own formula.
        peak_bytes: growth of memory in the phase that served it; None where unknown.
        images: images it has seen.
        failure: what the criterion raised; it has seen nothing since.
    """

    seconds: float = 0.0
    peak_bytes: int | None = None
    images: int = 0
    failure: Exception | None = None


@dataclass
class _Clock:
    """Seconds by kind of evidence."""

    spent: dict[Need, float] = field(default_factory=dict)

    @contextmanager
    def time(self, need: Need) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent[need] = self.spent.get(need, 0.0) + time.perf_counter() - start


def gather(
    model: nn.Module,
    criteria: Sequence[Criterion],
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss = functional.cross_entropy,
) -> list[Cost]:
    """Show all criteria the evidence they need; one pass over `batches` at most.

    A criterion that raises is left out from then on; its `Cost.failure` says why. So does that of
    criteria that need per-sample gradients of a layer that has no formula for them.

    The network is run in eval mode: ahead of a batch-normalising layer the product of weight and
    gradient is zero in train mode. Gradients are those of the mean loss of each batch.

    Args:
        model: left as found: modes, flags, gradients, buffers and the global random state.
        batches: (inputs, targets), on the model's device.
        loss: of (outputs, targets), a mean over the batch.

    Raises:
        CriteriaError: a criterion needs data and there is none, or changes the evidence in place.
    """
    costs = [Cost() for _ in criteria]
    weights = {name: one.detach() for name, one in model.named_parameters()}
    by_weights = [at for at, one in enumerate(criteria) if not one.needs]
    by_data = [at for at, one in enumerate(criteria) if one.needs]
    with torch.no_grad(), PeakMemory(model) as peak:
        for at in by_weights:
            _observe(criteria[at], Batch(weights, {}, {}, {}, 0), costs[at])
    for at in by_weights:
        costs[at].peak_bytes = peak.bytes
    if not by_data:
        return costs

    clock = _Clock()
    wanted = Need.WEIGHTS
    for at in by_data:
        wanted |= criteria[at].needs
    images = 0
    with eval_with_gradients(model), PeakMemory(model) as peak:
        for inputs, targets in batches:
            try:
                batch = _evidence(model, weights, inputs, targets, wanted, loss, clock)
            except NotApplicable as error:  # no per-sample gradients: the others go on without
                wanted &= ~Need.SAMPLE_SQUARES
                for at in by_data:
                    if Need.SAMPLE_SQUARES in criteria[at].needs:
                        costs[at].failure = error
                batch = _evidence(model, weights, inputs, targets, wanted, loss, clock)
            images += len(targets)
            with torch.no_grad():
                for at in by_data:
                    _observe(criteria[at], batch, costs[at])
    if not images:
        names = ", ".join(criteria[at].name for at in by_data)
        raise CriteriaError(f"{names}: needs data; give batches=[(inputs, targets), ...]")
    for at in by_data:
        needed = criteria[at].needs | Need.GRADIENTS  # every pass goes forward and backward
        costs[at].seconds += sum(spent for need, spent in clock.spent.items() if need in needed)
        costs[at].peak_bytes = peak.bytes
        costs[at].images = images
    return costs


def timed_scores(criterion: Criterion, cost: Cost) -> list[Tensor]:
    """The criterion's checked scores; the time that they take is added to its cost."""
    start = time.perf_counter()
    values = checked_scores(criterion)
    cost.seconds += time.perf_counter() - start
    return values


def score_alone(
    model: nn.Module,
    criterion: Criterion,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss = functional.cross_entropy,
) -> tuple[list[Tensor], Cost]:
    """Checked scores and cost of one criterion; what it raises is raised. See `gather`."""
    (cost,) = gather(model, [criterion], batches, loss)
    if cost.failure is not None:
        raise cost.failure
    return timed_scores(criterion, cost), cost


def _observe(criterion: Criterion, batch: Batch, cost: Cost) -> None:
    if cost.failure is not None:
        return
    start = time.perf_counter()
    versions = _versions(batch)
    try:
        criterion.see(batch)
    except Exception as error:  # a user's code: it must not take the other criteria with it
        cost.failure = error
    cost.seconds += time.perf_counter() - start
    if _versions(batch) != versions:
        raise CriteriaError(
            f"{criterion.name} changed weights or gradients in place, which all criteria share; "
            "change a clone"
        )


def _versions(batch: Batch) -> list[int]:
    """Changes with every in-place operation on the evidence."""
    shared = (batch.weights, batch.gradients, batch.squared_gradients, batch.last_squared_gradients)
    return [tensor._version for tensors in shared for tensor in tensors.values()]


def _evidence(
    model: nn.Module,
    weights: dict[str, Tensor],
    inputs: Tensor,
    targets: Tensor,
    wanted: Need,
    loss: Loss,
    clock: _Clock,
) -> Batch:
    """Forward and backward once; `clock` charges what only some criteria need to those."""
    squares: dict[str, Tensor] = {}
    last: dict[str, Tensor] = {}
    parameters = dict(model.named_parameters())
    with clock.time(Need.GRADIENTS), _Taps(model, Need.SAMPLE_SQUARES in wanted) as taps:
        value = loss(model(inputs), targets)
        found = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
        gradients = {
            name: torch.zeros_like(parameter) if gradient is None else gradient
            for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
        }
    if Need.SAMPLE_SQUARES in wanted:
        with clock.time(Need.SAMPLE_SQUARES), torch.no_grad():
            for name, gradient in taps.sample_gradients(len(targets)):
                squared = gradient.square_()
                squares[name], last[name] = squared.mean(0), squared[-1].clone()
    return Batch(weights, gradients, squares, last, len(targets))


@dataclass
class _Use:
    """One use of a layer in a forward pass: what went in, and what came back to its output."""

    name: str
    module: nn.Module
    given: Tensor
    gradient: Tensor | None = None


class _Taps:
    """Taps every layer, so that one batched backward gives each sample's gradient."""

    def __init__(self, model: nn.Module, active: bool) -> None:
        self._uses: list[_Use] = []
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        for name, module in model.named_modules() if active else ():
            if list(module.parameters(recurse=False)) and kind_of(module) != "other":
                self._hooks.append(module.register_forward_hook(self._tap(name)))

    def __enter__(self) -> _Taps:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _tap(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            use = _Use(name, module, inputs[0].detach())
            self._uses.append(use)
            # A hook on the tensor sees the gradient before any in-place activation behind it.
            output.register_hook(lambda gradient: setattr(use, "gradient", gradient))

        return hook

    def sample_gradients(self, samples: int) -> Iterator[tuple[str, Tensor]]:
        """(parameter name, `[samples, *shape]` gradient of each sample's own loss), layer by layer.

        A layer that is used twice adds up. The loss is a mean, so a sample's gradient is `samples`
        times its part of it.
        """
        by_layer: dict[str, list[_Use]] = {}
        for use in self._uses:
            by_layer.setdefault(use.name, []).append(use)
        for name, uses in by_layer.items():
            total: dict[str, Tensor] = {}
            for use in uses:
                if use.gradient is None:
                    continue
                for part, one in per_sample(use.module, use.given, use.gradient * samples).items():
                    total[part] = total[part] + one if part in total else one
            for part, one in total.items():
                yield f"{name}.{part}" if name else part, one


def per_sample(module: nn.Module, given: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """Each sample's gradient of a layer's parameters.

    Args:
        module: convolution, linear, batch norm in eval mode, or layer norm.
        given: the layer's input `[samples, ...]`.
        gradient: of the loss with respect to its output, same leading dimension.

    Raises:
        NotApplicable: no formula for this layer.
    """
    match module:
        case nn.Conv2d() if module.padding_mode == "zeros" and not isinstance(module.padding, str):
            found = {"weight": _conv_samples(module, given, gradient)}
            bias = gradient.flatten(2).sum(2)
        case nn.Linear():
            flat = gradient.flatten(1, -2) if gradient.dim() > 2 else gradient[:, None]
            inputs = given.flatten(1, -2) if given.dim() > 2 else given[:, None]
            found = {"weight": flat.transpose(1, 2) @ inputs}
            bias = flat.sum(1)
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
            plain = functional.batch_norm(
                given, module.running_mean, module.running_var, training=False, eps=module.eps
            )
            found = {"weight": (plain * gradient).reshape(*given.shape[:2], -1).sum(2)}
            bias = gradient.reshape(*given.shape[:2], -1).sum(2)
        case nn.LayerNorm():
            plain = functional.layer_norm(given, module.normalized_shape, eps=module.eps)
            shape = (len(given), -1, *module.normalized_shape)
            found = {"weight": (plain * gradient).reshape(shape).sum(1)}
            bias = gradient.reshape(shape).sum(1)
        case _:
            raise NotApplicable(f"per-sample gradients of {module} are not known")
    if getattr(module, "bias", None) is not None:
        found["bias"] = bias
    return {name: one for name, one in found.items() if getattr(module, name, None) is not None}


def _conv_samples(module: nn.Conv2d, given: Tensor, gradient: Tensor) -> Tensor:
    """`[samples, out, in / groups, kh, kw]`: unfolded inputs times output gradients, per block."""
    columns = functional.unfold(
        given,
        module.kernel_size,
        dilation=module.dilation,
        padding=module.padding,  # type: ignore[arg-type]  # a tuple: strings are refused above
        stride=module.stride,
    )
    columns = columns.unflatten(1, (module.groups, -1))  # [n, g, in/g * k * k, positions]
    outputs = gradient.flatten(2).unflatten(1, (module.groups, -1))  # [n, g, out/g, positions]
    return (outputs @ columns.transpose(2, 3)).reshape(len(given), *module.weight.shape)
