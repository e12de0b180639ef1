"""The log of a run, `results/logs/SUITE-DATE.jsonl`: a line of JSON for whatever happens in it.

The front process writes it, each line whole before the next thing happens. All have `at` and
`event`; a job has `kind`, `key` and `name`, and what came of it `seconds`, `worker` and `failure`.
"""

import json
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Self

from reports.records import Record

from ..plan.jobs import Job
from ..steps.perform import Outcome
from ..store.store import Store
from ..terminal import say
from .live import Live

KINDS = ("bases", "prepared", "early", "oracles", "scores", "paths", "timings", "trials")


class RunLog:
    """Told what happens, it writes that down and shows it; a disk that is full ends only the log.

    As a context it tells of damage and of the end. Everything in a line is ASCII: what a terminal
    would obey is escaped.
    """

    def __init__(self, store: Store, suite: str, live: Live) -> None:
        self.live, self._store, self._writes = live, store, True
        self._path = store.path("logs", f"{suite}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}", ".jsonl")
        self._damaged = len(store.set_aside_so_far())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        for line in self._store.set_aside_so_far()[self._damaged :]:
            self.tell("damage set aside", what=line)
        how = "finished" if kind is None else "failed" if issubclass(kind, Exception) else "stopped"
        self.tell("run ended", how=how, why=str(error or ""))

    def tell(self, event: str, **what: Any) -> None:
        """Write an event down, and show it."""
        told = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **what}
        try:
            if self._writes:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab") as file:  # closed each time, so that others see it
                    file.write(json.dumps(told).encode() + b"\n")
        except OSError as error:
            self._writes = False
            said = f"log: {self._path}: {error.strerror}; the run goes on without"
            say(self.live.console, (said, "yellow"))
        self.live.take(told)

    def planned(self, jobs: Collection[Job], slots: int) -> None:
        counts = Counter(job.kind for job in jobs)
        self.tell(
            "jobs planned", slots=slots, jobs={one: counts[one] for one in KINDS if counts[one]}
        )

    def started(self, job: Job) -> None:
        self.tell("job started", **_named(job))

    def retried(self, job: Job, outcome: Outcome) -> None:
        """It crashed, or its parts are tried one by one."""
        self.tell("job retried", **_named(job), **_came(outcome))

    def ended(self, job: Job, outcome: Outcome) -> None:
        self.tell("job ended", **_named(job), **_came(outcome))

    def recorded(self, record: Record) -> None:
        failure, found, metric = record.failure, {}, record.metric
        if measured := record.measurements or record.fidelity:
            found = {f"{metric.unit} {metric.title} dense": metric.scale * measured.dense.top1}
        if record.measurements:
            pruned = metric.scale * record.measurements.pruned.top1
            found = {f"{metric.unit} {metric.title}": pruned, **found}
        self.tell(
            "record written",
            **{"key": record.key, "name": record.labels.brief, "status": record.status},
            found=found,
            failure=failure and failure.model_dump(),
        )


def _named(job: Job) -> dict[str, str]:
    return {"kind": job.kind, "key": job.key, "name": str(job)}


def _came(outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure and outcome.failure.model_dump()
    return {"seconds": outcome.seconds, "worker": outcome.worker, "failure": failure}
