"""Running trials: ready jobs to the executor, records to MLflow, until nothing is pending."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from reports.records import Failure, Record

from ..errors import StoreError
from ..executors import Executor
from ..plan.graph import job_graph
from ..plan.jobs import Job, Trial
from ..steps.perform import Outcome
from ..steps.record import failed_record
from ..store.store import Store
from .log import RunLog

INSPECTION = "inspection"  # of all bases, on which all other jobs wait
CRASHES = 2  # how often a job is tried again after its worker died


@dataclass
class Run:
    """Trials that are run, and what they stand on: what is ready, has failed, has crashed."""

    trials: Sequence[Trial]  # those of a plan that are pending
    store: Store
    executor: Executor
    listener: RunLog  # told what happens
    log: Callable[[Record], None] = lambda record: None  # takes each record as it arrives (MLflow)
    # Called once, when all bases are made and nothing yet that stands on them; what it raises ends
    # the run.
    inspect: Callable[[], None] = lambda: None
    statuses: Counter[str] = field(default_factory=Counter)
    _ready: deque[Job] = field(default_factory=deque)
    _ready_alone: deque[Job] = field(default_factory=deque)
    _alone: bool = False  # whether jobs run one by one now
    _failed: dict[str, Failure] = field(default_factory=dict)  # by key of a job, or of scores
    _crashes: Counter[str] = field(default_factory=Counter)
    _whole: dict[str, Job] = field(default_factory=dict)  # a part of a split job -> that job
    _parts: Counter[str] = field(default_factory=Counter)  # of a split job, those that still run
    _running: int = 0

    def to_its_end(self) -> Counter[str]:
        """Run them; stopped at any moment, it loses those in flight.

        Returns how many trials ended how, and how many networks were not kept, and why.

        Raises StoreError when results can no longer be written; finished records are safe.
        """
        self.graph = job_graph(self.trials, self.store)
        self._sorter = TopologicalSorter(self.graph.after)
        for key, one in self.graph.jobs.items():
            self._sorter.add(*((INSPECTION, key) if one.kind == "bases" else (key, INSPECTION)))
        self._sorter.prepare()
        with closing(self.executor):
            self.listener.planned(self.graph.jobs.values(), self.executor.slots)
            while self._sorter.is_active():
                self._go_on()
        return self.statuses

    def _go_on(self) -> None:
        """Start what can start now, and take what has come of others."""
        for key in self._sorter.get_ready():
            if key == INSPECTION:
                self.inspect()
                self._sorter.done(key)
            else:
                self._accept(self.graph.jobs[key])
        while (job := self._next()) is not None:
            self.listener.job("started", job)
            self.executor.submit(job)
            self._running += 1
        if self._running:
            for job, outcome in self.executor.finished():
                self._running -= 1
                self._end(job, outcome)

    def _next(self) -> Job | None:
        """A job to start now. Those that must be alone wait until nothing else is left to do, and
        then follow each other, so that workers are idle seldom."""
        if not self._running:
            self._alone = bool(self._ready_alone) and (self._alone or not self._ready)
        if self._alone:
            return None if self._running else self._ready_alone.popleft()
        room = self._running < 2 * self.executor.slots
        return self._ready.popleft() if self._ready and room else None

    def _queue(self, job: Job) -> None:
        (self._ready_alone if job.alone else self._ready).append(job)

    def _accept(self, job: Job) -> None:
        """Queue a job, unless what it stands on has failed."""
        needed = (*self.graph.after[job.key], *job.takes_scores)
        if broken := [self._failed[key] for key in needed if key in self._failed]:
            self._fail(job, Outcome(failure=broken[0]))
        else:
            self._queue(job)

    def _end(self, job: Job, outcome: Outcome) -> None:
        if outcome.fatal:
            raise StoreError(outcome.fatal)
        if outcome.failure is not None:
            if outcome.failure.kind == "crashed" and self._crashes[job.key] < CRASHES:
                self._crashes[job.key] += 1
                self.listener.job("retried", job, outcome)
                self._queue(job)
            elif job.parts:
                self.listener.job("retried", job, outcome)
                self._split(job)
            else:
                self._fail(job, outcome)
            return
        self._failed |= outcome.failed_scores or {}
        self._close(job, outcome)
        if isinstance(job, Trial):
            if (record := self.store.record(job.key)) is None:
                raise StoreError(f"the record of {job} has vanished from {self.store.root}")
            self._record(record, outcome.unkept)

    def _split(self, job: Job) -> None:
        """Try the parts of a failed job one by one, as only one may be to blame."""
        parts = job.parts
        self.listener.planned(parts[1:], self.executor.slots)  # as it stands for one itself
        self._whole |= {part.key: job for part in parts}
        self._parts[job.key] = len(parts)
        self._ready.extend(parts)

    def _close(self, job: Job, outcome: Outcome) -> None:
        """Let go on what waits for a job; for the parts of a split one, after the last of them."""
        self.listener.job("ended", job, outcome)
        if (whole := self._whole.get(job.key)) is not None:
            self._parts[whole.key] -= 1
        if whole is None or not self._parts[whole.key]:
            self._sorter.done((whole or job).key)

    def _fail(self, job: Job, outcome: Outcome) -> None:
        """A failed job; its trials get failed records as their turn comes."""
        why = outcome.failure
        assert why is not None
        self._failed |= dict.fromkeys((job.key, *job.gives_scores), why)
        self._close(job, outcome)
        if isinstance(job, Trial):
            record = self.store.record(job.key)
            if record is not None and record.status == "done":  # made again, to keep its network
                self._record(record, why.message)
                return
            record = failed_record(job, why)
            self.store.write_record(record)
            self._record(record)

    def _record(self, record: Record, unkept: str | None = None) -> None:
        self.statuses[record.status] += 1
        if unkept:
            self.statuses[f"not kept ({unkept})"] += 1
        self.listener.recorded(record)
        self.log(record)
