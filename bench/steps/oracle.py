"""A fidelity trial: a criterion's scores beside how the loss changes when one unit alone is gone.

A unit is removed by masking (`criteria.network.cut.mask`): every parameter of it at zero.
"""

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from criteria import Group
from criteria.network.cut import zero_
from reports.records import Costs, Fidelity

from ..plan.jobs import FidelityJob, OracleJob
from ..seeds import generator
from ..store.sealed import read_json, wanted, write_json
from .scores import load_scores
from .workspace import Workspace

LEAST = 3  # units of a group: fewer have no ranking to speak of


@dataclass(frozen=True)
class Oracle:
    """Loss changes of single units, in the order of groups and, inside each, of the units asked."""

    losses: Tensor  # [images] of the intact network, float64
    changes: Tensor  # [units, images]: loss of each image without the unit, minus its loss with it


@torch.no_grad()
def loss_changes(
    model: nn.Module,  # left as it is; measured in eval mode
    groups: Sequence[Group],  # its groups
    units: Sequence[Tensor],  # of each group, those to remove one at a time
    batches: Iterable[tuple[Tensor, Tensor]],  # (images, labels), held-out ones
    losses: Callable[[Any, Tensor], Tensor],  # of outputs and labels, [samples]
) -> Oracle:
    """The true change of the loss of every sample by every unit alone; ValueError for no images."""
    twin = copy.deepcopy(model).eval()
    intact = [(one, one.clone()) for one in (*twin.parameters(), *twin.buffers())]
    dense: list[Tensor] = []
    changes: list[Tensor] = []
    for images, labels in batches:
        dense.append(losses(twin(images), labels))
        without = []
        for group, chosen in zip(groups, units, strict=True):
            for unit in chosen[:, None]:
                zero_(twin, group, unit)
                without.append(losses(twin(images), labels) - dense[-1])
                for one, value in intact:
                    one.copy_(value)
        changes.append(torch.stack(without))
    if not dense:
        raise ValueError("the oracle needs images to measure the loss on")
    return Oracle(torch.cat(dense), torch.cat(changes, dim=1))


def sample_units(sizes: Sequence[int], wanted: int | None, draw: torch.Generator) -> list[Tensor]:
    """Units of each group to measure: in proportion to its size, but at least `LEAST` where it has
    as many and there is room.

    Args:
        sizes: units of each group.
        wanted: in all; None takes every unit.
        draw: decides which; always by as many random numbers.
    """
    orders = [torch.randperm(size, generator=draw) for size in sizes]
    if wanted is None:
        wanted = sum(sizes)
    # Place j of n has rank (j + 1/2) / n; the lowest ranks of all groups are taken (Webster's
    # method of apportionment). The first few of every group come before all others.
    ranks = [(torch.arange(size) + 0.5) / size for size in sizes]
    for one in ranks:
        first = min(LEAST, len(one))
        one[:first] = torch.arange(first) - float(LEAST)
    group = torch.cat([torch.full((size,), at) for at, size in enumerate(sizes)])
    taken = group[torch.cat(ranks).argsort(stable=True)[:wanted]]
    counts = torch.bincount(taken, minlength=len(sizes))
    return [
        order[:count].sort().values for order, count in zip(orders, counts.tolist(), strict=True)
    ]


def make_oracle(job: OracleJob, workspace: Workspace) -> None:
    """Sample units, measure the loss without each on validation images, store what was found."""
    base = workspace.base(job.base)
    groups = base.network.structure.groups
    draw = generator("oracle-units", **job.base.axes)
    units = sample_units([group.units for group in groups], job.oracle.units, draw)
    held_out = base.data.validation
    order = torch.randperm(len(held_out), generator=generator("oracle-images", **job.base.axes))
    chosen = order[: job.oracle.images]  # in an order of its own; all where there are no more
    batches = held_out.batches(job.oracle.batch_size, indices=chosen)
    found = loss_changes(base.network.model, groups, units, batches, base.data.task.losses)
    if not torch.isfinite(found.changes).all():
        raise FloatingPointError(f"the loss of {job.base} is not finite; its training has failed")
    content = {
        "base_sha256": base.sha256,
        "dense_loss": float(found.losses.mean()),
        "images": len(chosen),
        "group": [at for at, some in enumerate(units) for _ in some],
        "unit": torch.cat(units).tolist(),
        "change": found.changes.mean(1).tolist(),
        "halves": [found.changes[:, half::2].mean(1).tolist() for half in (0, 1)],
    }
    write_json(workspace.store.path("oracle", job.key, ".json"), content)


def measure_fidelity(job: FidelityJob, workspace: Workspace) -> tuple[Fidelity, Costs]:
    """The criterion's scores of the sampled units, and the truth about them."""
    start = time.perf_counter()
    base = workspace.base(job.at.base)
    groups = base.network.structure.groups
    values, cost, _ = load_scores(workspace, job.score_key)
    truth = wanted(read_json, workspace.store.path("oracle", job.oracle.key, ".json"))
    places = zip(truth["group"], truth["unit"], strict=True)
    fidelity = Fidelity(
        dense=base.accuracy,
        roots=[group.root for group in groups],
        score=[float(values[group][unit]) for group, unit in places],
        images_scored=cost.images,
        spanned=[group.root for group in groups if group.normalizes_over_channels],
        **{name: found for name, found in truth.items() if name != "base_sha256"},
    )
    return fidelity, Costs(
        score_s=cost.seconds,
        score_peak_bytes=cost.peak_bytes,
        recovery_s=0.0,
        total_s=time.perf_counter() - start,
    )
