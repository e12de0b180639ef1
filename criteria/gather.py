"""One pass over the batches gathers what all criteria need, and leaves the model as it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from traceback import clear_frames

import torch
from torch import Tensor, nn
from torch.nn import functional

from .criterion import Criterion, checked_scores
from .errors import CriteriaError
from .evidence.batch import Batch, Loss, Shared
from .evidence.memory import PeakMemory
from .evidence.meter import Cost
from .evidence.needs import Need
from .network.modes import eval_with_gradients

Chosen = Sequence[tuple[Criterion, Cost]]  # who looks at a batch, and what that has cost so far


def gather(
    model: nn.Module,
    criteria: Sequence[Criterion],
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss = functional.cross_entropy,
    seed: int = 0,
) -> list[Cost]:
    """Show all criteria the evidence they need; one pass over `batches` at most.

    A criterion that raises is left out from then on; its `Cost.failure` says why.

    The network is run in eval mode: ahead of a batch-normalising layer the product of weight and
    gradient is zero in train mode. Gradients are those of the mean loss of each batch.

    Args:
        model: left as found: modes, flags, gradients, buffers and the global random state.
        batches: (inputs, targets), on the model's device.
        loss: of (outputs, targets), a mean over the batch.
        seed: of what is drawn for all criteria (labels); each has a generator for its own.

    Raises:
        CriteriaError: a criterion needs data and there is none, or changes the evidence in place.
    """
    costs = [Cost() for _ in criteria]
    weights = {name: one.detach() for name, one in model.named_parameters()}
    for data, images in ((False, ()), (True, batches)):
        pairs = zip(criteria, costs, strict=True)
        chosen = [(one, cost) for one, cost in pairs if bool(one.needs) == data]
        if not chosen:
            continue
        with eval_with_gradients(model), PeakMemory(model) as peak:
            if data:
                _gather(model, weights, chosen, images, loss, seed)
            else:
                nothing, shared = torch.empty(0), _shared(Need.WEIGHTS, weights, seed)
                _show(Batch(model, weights, nothing, nothing, loss, shared), chosen)
        for _, cost in chosen:
            cost.peak_bytes = peak.bytes
    return costs


def _shared(wanted: Need, weights: dict[str, Tensor], seed: int) -> Shared:
    held = [(one, one._version) for one in weights.values()]
    return Shared(wanted, Need.WEIGHTS, seed, held=held)


def _gather(
    model: nn.Module,
    weights: dict[str, Tensor],
    chosen: Chosen,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    seed: int,
) -> None:
    for index, (images, targets) in enumerate(batches):
        wanted = Need.WEIGHTS
        for one, cost in chosen:
            wanted |= one.needs if cost.failure is None else Need.WEIGHTS
        shared = _shared(wanted, weights, seed)
        batch = Batch(model, weights, images, targets, loss, shared, index=index)
        _show(batch, chosen)
        batch.release()
    if not any(cost.images or cost.failure for _, cost in chosen):
        names = ", ".join(one.name for one, _ in chosen)
        raise CriteriaError(f"{names}: needs data; give batches=[(inputs, targets), ...]")


def _show(batch: Batch, chosen: Chosen) -> None:
    """Let the chosen criteria observe one batch, and charge them for what they looked at."""
    for one, cost in chosen:
        if cost.failure is not None:
            continue
        batch.shared.granted = one.needs
        cost.failure = _attempt(one, batch)
        cost.seconds += batch.shared.meter.seconds(one)
        cost.images += batch.size
        if not batch.shared.intact():
            raise CriteriaError(
                f"{one.name} changed weights or gradients in place, which all criteria "
                "share; change a clone"
            )


def _attempt(criterion: Criterion, batch: Batch) -> Exception | None:
    """What the criterion raised: a user's code must not take the other criteria with it."""
    try:
        with torch.no_grad(), batch.shared.meter.timing(criterion):
            criterion.see(batch)
    except Exception as error:
        failure: BaseException | None = error
        while failure is not None:  # the frames would hold on to the batch's evidence
            clear_frames(failure.__traceback__)
            failure = failure.__context__
        return error
    return None


def timed_scores(criterion: Criterion, cost: Cost) -> list[Tensor]:
    """The criterion's checked scores; the time that they take is added to its cost."""
    with cost.timing():
        return checked_scores(criterion)


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
