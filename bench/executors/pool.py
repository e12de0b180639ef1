"""How jobs are handed to worker processes, wherever these run.

The front keeps the queue, and gives each worker one job at a time through a connection. A worker
whose connection ends has died, and takes only its own job with it; one that overruns its time is
killed; another is launched while there are jobs for it. A worker whose front is gone ends. How
workers are launched, found and killed is all that differs between machines.
"""

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from queue import Queue
from threading import Thread

import torch

from reports.records import Failure

from ..plan.jobs import Job
from ..steps.perform import Outcome, perform, start
from ..steps.record import failure
from ..steps.workspace import Settings

PATIENCE_S = 1.0  # between two looks at what no connection tells

# Read by the libraries when a worker starts. Every pruned network has shapes of its own, and oneDNN
# keeps 1,024 of their kernels by default, which grows a worker by gigabytes over a suite.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "200",
}


@dataclass(eq=False, kw_only=True)
class Worker(ABC):
    """A worker as the front sees it, from its launch to its end."""

    slot: int  # no two living workers of a pool have the same
    connection: Connection | None = None  # None until it has called
    up: bool = False  # whether it takes jobs
    job: Job | None = None
    since: float = field(default=0.0)  # when it was given that job

    @abstractmethod
    def gone(self) -> bool:
        """Whether its process has ended, as far as can be told from here."""

    @abstractmethod
    def end(self) -> str:
        """Kill it if it lives; returns how it ended."""


class Pool(ABC):
    """At most `slots` workers, each with one job at a time."""

    def __init__(self, slots: int, timeout_s: float | None) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.slots = slots
        self._timeout_s = timeout_s
        self._waiting: deque[Job] = deque()
        self._workers: list[Worker] = []

    @abstractmethod
    def _launch(self, slots: Sequence[int]) -> Sequence[Worker]:
        """Launch a worker for each of these slots."""

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def finished(self) -> list[tuple[Job, Outcome]]:
        done: list[tuple[Job, Outcome]] = []
        while not done:
            self._hand_out()
            lines = [one.connection for one in self._workers if one.connection]
            heard = wait(lines, PATIENCE_S)
            for worker in [*self._workers]:
                if worker.connection in heard:
                    done += self._hear(worker)
                elif worker.gone():
                    done += self._lose(worker)
                elif worker.job and self._overdue(worker):
                    done += self._stop(worker, worker.job)
        return done

    def _hand_out(self) -> None:
        idle = [one for one in self._workers if one.job is None]
        free = set(range(self.slots)) - {one.slot for one in self._workers}
        if missing := sorted(free)[: max(0, len(self._waiting) - len(idle))]:
            with _deaf():
                self._workers += self._launch(missing)
        for worker in idle:
            if worker.up and worker.connection and self._waiting:
                worker.job, worker.since = self._waiting.popleft(), time.monotonic()
                with contextlib.suppress(OSError):  # it has died, and is about to be found so
                    worker.connection.send(worker.job)

    def _hear(self, worker: Worker) -> list[tuple[Job, Outcome]]:
        assert worker.connection is not None
        try:
            outcome: Outcome = worker.connection.recv()
        except (EOFError, OSError):
            return self._lose(worker)
        if worker.job:
            job, worker.job = worker.job, None
            return [(job, outcome)]
        if outcome.failure:
            return self._lose(worker, outcome.failure.message)
        worker.up = True
        return []

    def _lose(self, worker: Worker, why: str = "") -> list[tuple[Job, Outcome]]:
        """A worker has died. Where none comes up, some job must be what fails."""
        self._workers.remove(worker)
        end, job = worker.end(), worker.job
        if worker.up:
            message = f"its worker died ({end}); out of memory, or killed from outside"
        else:
            message = f"its worker did not come up ({why or end})"
            if self._waiting and not any(one.up for one in self._workers):
                job = self._waiting.popleft()
        crash = Failure(kind="crashed", message=message, traceback="")
        return [(job, Outcome(failure=crash))] if job else []

    def _overdue(self, worker: Worker) -> bool:
        limit = self._timeout_s
        return limit is not None and time.monotonic() - worker.since > limit

    def _stop(self, worker: Worker, job: Job) -> list[tuple[Job, Outcome]]:
        self._workers.remove(worker)
        worker.end()
        message = f"stopped after {self._timeout_s:.0f} s (--timeout)"
        return [(job, Outcome(failure=Failure(kind="timeout", message=message, traceback="")))]

    def close(self, *, kill: bool) -> None:  # without `kill` no job is at hand either
        while self._workers:
            self._workers.pop().end()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """What is started here never sees a Ctrl-C: the front decides what that means."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(connection: Connection, settings: Settings) -> None:
    """Make this process a worker: it does what comes by the connection, and ends with that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs: Queue[Job | None] = Queue()
    Thread(target=_listen, args=(connection, jobs), daemon=True).start()
    with contextlib.suppress(RuntimeError):  # already set in this process
        torch.set_num_interop_threads(1)
    with contextlib.suppress(OSError):  # the front is gone
        try:
            workspace = start(settings)
        except Exception as error:
            connection.send(Outcome(failure=failure(error)))
            return
        connection.send(Outcome())
        while (job := jobs.get()) is not None:
            connection.send(perform(job, workspace))
            jobs.task_done()


def _listen(connection: Connection, jobs: Queue[Job | None]) -> None:
    """End with the front, even where that was killed while a job here takes its time."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            jobs.put(connection.recv())
    if jobs.unfinished_tasks:
        os._exit(1)
    jobs.put(None)
