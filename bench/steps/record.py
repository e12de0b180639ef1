"""The record of a trial, whatever has come of it, and why a job came to nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from traceback import walk_tb
from typing import Any, TypeVar

from criteria import NotApplicable
from reports.records import Costs, Failure, Fidelity, Measurements, Record

from ..data.known import task_of
from ..errors import StoreError, told
from ..plan.jobs import Trial
from ..pruning.selection import InfeasibleBudget
from ..store.provenance import environment
from .workspace import Workspace

T = TypeVar("T", bound=Trial)
Measured = tuple[Measurements | Fidelity, Costs]


def made_record(
    job: T, workspace: Workspace, measure: Callable[[T, Workspace], Measured]
) -> Record:
    """Measure a trial; returns its record, whatever comes of it. Raises StoreError where what it
    stands on cannot be read: the trial is not to blame."""
    started = _now()
    try:
        found, costs = measure(job, workspace)
    except Exception as error:  # the record keeps the traceback; the other trials go on
        if store_failed(error):
            raise
        return failed_record(job, failure(error), started, workspace.device_name)
    base, device = workspace.base(job.at.base), workspace.device_name
    stood_on = {"base_sha256": base.trained_sha256, "dataset_sha256": base.data.digest}
    last = base.data.test.channels_last
    stood_on["memory_format"] = "channels last" if last else "contiguous"
    kind = "fidelity" if isinstance(found, Fidelity) else "measurements"
    return _record(job, started, device, stood_on, status="done", costs=costs, **{kind: found})


def failed_record(
    job: Trial, why: Failure, started: str | None = None, device: str = "cpu"
) -> Record:
    """The record of a trial that has no measurements."""
    status = "infeasible" if why.infeasible else "failed"
    return _record(job, started or _now(), device, {}, status=status, failure=why)


def _record(
    job: Trial, started: str, device: str, stood_on: dict[str, str], **found: Any
) -> Record:
    made = {**environment(device), "started": started, "ended": _now(), **stood_on}
    task = task_of(job.at.base.dataset)
    found |= {"task": task.name, "metric": task.metric, "provenance": made}
    return Record(key=job.key, identity=job.identity, labels=job.labels, **found)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def store_failed(error: BaseException) -> bool:
    """Whether the results folder is broken; a user's code may raise a StoreError of its own."""
    raised_in = [frame.f_globals["__name__"] for frame, _ in walk_tb(error.__traceback__)]
    return isinstance(error, StoreError) and raised_in[-1].startswith("bench.")


def failure(error: BaseException) -> Failure:
    """An exception as a record keeps it; infeasible is what nobody could have done."""
    return Failure(
        kind=type(error).__name__,
        message=told(error),
        traceback=told(error, trace=True),
        infeasible=isinstance(error, InfeasibleBudget | NotApplicable),
    )
