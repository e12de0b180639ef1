"""A trial whose network is kept: made as ever, or again where its record is there already."""

from typing import Any

from torch import nn

from reports.records import Measurements, Record

from ..errors import ExportError
from ..export.recipe import keep
from ..models.registry import constructor_of
from ..plan.jobs import TrialJob
from ..pruning.network import Network
from .record import made_record
from .recovery import Thin
from .trial import measure
from .workspace import Workspace


def keep_network(job: TrialJob, workspace: Workspace) -> str | None:
    """Keep a trial's network, and write its record where none is done.

    Returns why no network was kept; of failed trials, of which none is, None.
    """
    made: list[tuple[Network, Thin, nn.Module]] = []
    record = made_record(
        job, workspace, lambda job, at: measure(job, at, lambda *one: made.append(one))
    )
    known = workspace.store.record(job.key)
    if known is None or known.status != "done":
        workspace.store.write_record(record)
        if record.status != "done":
            return None
    elif _numbers(known) != _numbers(record):
        why = record.failure and record.failure.message
        return why or "made again, here and now, it gives other numbers than its record"
    network, thin, pruned = made[0]
    about: dict[str, Any] = {"trial": {"key": job.key, **job.labels.model_dump()}}
    if job.path.unstructured:
        about["weights"] = thin.sizes["weights"]
    else:
        about["kept"] = network.kept_by_layer(thin.removed)
    data = workspace.base(job.at.base).data
    about["input"] = data.prepared
    constructor = constructor_of(pruned, job.at.base.model, **data.shape)
    try:
        keep(workspace.store.path("networks", job.key), pruned, network.inputs, constructor, about)
    except ExportError as error:
        return str(error)
    return None


def _numbers(record: Record) -> Measurements | None:
    """All that is measured but for time."""
    timed: dict[str, Any] = {"latency": [], "undeployed": {}, "budget_check": None}
    return record.measurements and record.measurements.model_copy(update=timed)
