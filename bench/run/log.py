"""The log of a run, `results/logs/SUITE-DATE.jsonl`: a line of JSON for whatever happens in it.

The front process writes it, each line whole before the next thing happens. All have `at` and
`event`; a job has `kind`, `key` and `name`, and what came of it `seconds`, `worker` and `failure`.
A file that did not hold, whoever has set it aside, has `file` and `why`.
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


class RunLog:
    """Told what happens, it writes that down and shows it; a full disk ends the log alone.

    As a context it tells of the end. What a terminal would obey is escaped.
    """

    def __init__(self, store: Store, suite: str, live: Live, earlier: int = 0) -> None:
        self.live, self._writes = live, True
        self._store, self._told = store, earlier  # of what was set aside
        self._path = store.path("logs", f"{suite}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}", ".jsonl")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        self._tell_damage()
        self.tell("run ended", how=kind.__name__ if kind else "finished", why=str(error or ""))

    def tell(self, event: str, **what: Any) -> None:
        """Write an event down, and show it."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "event": event, **what}, default=dict)
        try:
            if self._writes:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a") as file:  # closed each time, so that others see it
                    file.write(line + "\n")
        except OSError as error:
            self._writes = False
            say(self.live.console, (f"{self._path}: {error.strerror}; the log ends here", "yellow"))
        self.live.take(json.loads(line))

    def planned(self, jobs: Collection[Job], slots: int) -> None:
        """So many jobs of each kind are to run."""
        counts = sorted(Counter(job.kind for job in jobs).items())
        self.tell("jobs planned", slots=slots, jobs=dict(counts))

    def job(self, event: str, job: Job, outcome: Outcome | None = None) -> None:
        """A job has `started`, `ended`, or it crashed or is split and now `retried`."""
        self._tell_damage()
        came, named = outcome or Outcome(), {"kind": job.kind, "key": job.key, "name": str(job)}
        how = {"seconds": came.seconds, "worker": came.worker, "failure": came.failure}
        self.tell(f"job {event}", **named, **how)

    def _tell_damage(self) -> None:
        for line in self._store.set_aside_so_far()[self._told :]:
            self._told += 1
            file, _, why = line.partition(": ")
            self.tell("file set aside", file=file, why=why)

    def recorded(self, record: Record) -> None:
        of, found = record.labels, record.measurements
        named = {"key": record.key, "name": of.whole, "method": of.method, "status": record.status}
        value = found and record.metric.scale * found.pruned.top1
        came = {"value": value, "of": record.metric.axis}  # of what it is, with its unit
        self.tell("record written", **named, **came, failure=record.failure)
