"""One pass over the batches gathers what all criteria need, and leaves the model as it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from traceback import clear_frames
from typing import Any

from .criterion import Criterion, checked_scores
from .errors import CriteriaError, fault
from .evidence.batch import Batch, Inputs, Loss, Shared, cross_entropy
from .evidence.meter import Cost, PeakMemory
from .evidence.needs import Need
from .lazy import Tensor, nn, torch
from .network.given import tensors
from .network.modes import eval_with_gradients


def gather(
    model: nn.Module,
    criteria: Sequence[Criterion],
    batches: Iterable[tuple[Inputs, Any]],
    loss: Loss = cross_entropy,
    seed: int = 0,
    half: bool = False,
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
        half: whether the passes that criteria share are in bfloat16; second derivatives, and passes
            of a criterion's own, are not.

    Raises:
        CriteriaError: a criterion needs data and there is none, or changes the evidence in place.
    """
    costs = [Cost() for _ in criteria]
    weights = {name: one.detach() for name, one in model.named_parameters()}
    held = [(one, one._version) for one in weights.values()]
    nothing = torch.empty(0)
    for data, shown in ((False, [(nothing, nothing)]), (True, batches)):
        chosen = [at for at, one in enumerate(criteria) if bool(one.needs) == data]
        if not chosen:
            continue
        with eval_with_gradients(model), PeakMemory(model) as peak:
            for index, pair in enumerate(shown):
                images, targets = _pair(pair, index)
                wanted = Need.WEIGHTS
                for at in chosen:
                    wanted |= criteria[at].needs if costs[at].failure is None else Need.WEIGHTS
                shared = Shared(wanted, Need.WEIGHTS, seed, half, held=list(held))
                if data:
                    _refuse_not_finite(images, index)
                batch = Batch(model, weights, images, targets, loss, shared, index=index)
                _show(batch, criteria, costs, chosen)
                batch.release()
        if data and not any(costs[at].images or costs[at].failure for at in chosen):
            names = ", ".join(criteria[at].name for at in chosen)
            raise CriteriaError(f"{names}: needs data; give batches=[(inputs, targets), ...]")
        for at in chosen:
            costs[at].peak_bytes = peak.bytes
    return costs


def _pair(batch: Any, index: int) -> tuple[Inputs, Any]:
    """A batch; a tensor of two samples would pass for one."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise CriteriaError(f"batch {index} is a {type(batch).__name__}, not (inputs, targets)")
    return batch[0], batch[1]


def _refuse_not_finite(images: Inputs, index: int) -> None:
    for one in tensors(images):
        if one.is_floating_point() and not one.isfinite().all():
            sample = int(one.isfinite().flatten(1).all(1).logical_not().nonzero()[0])
            raise CriteriaError(f"sample {sample} of batch {index} holds NaN or infinity")


def _show(
    batch: Batch, criteria: Sequence[Criterion], costs: list[Cost], chosen: Sequence[int]
) -> None:
    """Let the chosen criteria observe one batch, and charge them for what they looked at."""
    meter = batch.shared.meter
    for at in chosen:
        if costs[at].failure is not None:
            continue
        batch.shared.granted = criteria[at].needs
        costs[at].failure = _attempt(criteria[at], batch, at)
        costs[at].seconds += meter.seconds(at)
        costs[at].images += batch.size
        if not batch.shared.intact():
            raise CriteriaError(fault("changed_in_place", name=criteria[at].name))


def _attempt(criterion: Criterion, batch: Batch, key: int) -> Exception | None:
    """What the criterion raised: a user's code must not take the other criteria with it."""
    try:
        with torch.no_grad(), batch.shared.meter.timing(key):
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
    batches: Iterable[tuple[Inputs, Any]],
    loss: Loss = cross_entropy,
    *,
    half: bool = False,
) -> tuple[list[Tensor], Cost]:
    """Checked scores and cost of one criterion; what it raises is raised. See `gather`."""
    (cost,) = gather(model, [criterion], batches, loss, half=half)
    if cost.failure is not None:
        raise cost.failure
    return timed_scores(criterion, cost), cost
