"""How jobs are handed to worker processes, wherever these run.

The front keeps the queue, and gives each worker one job at a time through a connection. A worker
whose connection ends has died, and takes only its own job with it; one that overruns its time is
killed; another is launched while there are jobs for it. A worker whose front is gone ends. How
workers are launched and killed is all that differs between machines.
"""

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import inf
from multiprocessing.connection import Connection, wait
from queue import Queue
from threading import Thread
from typing import Any

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


@dataclass(eq=False)
class Worker:
    """A worker as the front sees it, from its launch to its end."""

    slot: int  # that of the one which it replaces
    number: int  # its own
    handle: Any = None  # what launched it knows it by
    connection: Connection | None = None  # None until it has called
    up: bool = False  # whether it takes jobs
    job: Job | None = None
    due: float = inf  # when that must be done


class Pool(ABC):
    """At most `slots` workers, each with one job at a time."""

    def __init__(self, slots: int, timeout_s: float | None) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.slots = slots
        self._timeout_s = timeout_s
        self._waiting: deque[Job] = deque()
        self._workers: list[Worker] = []
        self._numbers = count()

    @abstractmethod
    def _launch(self, workers: Sequence[Worker]) -> None:
        """Start processes for these, and set their handles."""

    @abstractmethod
    def _gone(self, worker: Worker) -> bool:
        """Whether its process has ended, as far as can be told from here."""

    @abstractmethod
    def _end(self, worker: Worker) -> str:
        """Kill it if it lives; returns how it ended."""

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def finished(self) -> list[tuple[Job, Outcome]]:
        done: list[tuple[Job, Outcome]] = []
        while not done:
            self._hand_out()
            heard = wait([one.connection for one in self._workers if one.connection], PATIENCE_S)
            for worker in [*self._workers]:
                if worker.connection in heard:
                    done += self._hear(worker)
                elif self._gone(worker):
                    done += self._lose(worker)
                elif worker.job and time.monotonic() > worker.due:
                    self._end(worker)
                    message = f"stopped after {self._timeout_s:.0f} s (--timeout)"
                    done += self._drop(worker, "timeout", message)
        return done

    def _hand_out(self) -> None:
        idle = [one for one in self._workers if one.job is None]
        free = sorted(set(range(self.slots)) - {one.slot for one in self._workers})
        missing = max(0, len(self._waiting) - len(idle))
        if new := [Worker(slot, next(self._numbers)) for slot in free[:missing]]:
            # What is started here never sees a Ctrl-C: the front decides what that means.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._launch(new)
                self._workers += new
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for worker in idle:
            if worker.up and worker.connection and self._waiting:
                worker.job = self._waiting.popleft()
                worker.due = time.monotonic() + (self._timeout_s or inf)
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
        end = self._end(worker)
        if worker.up:
            message = f"its worker died ({end}); out of memory, or killed from outside"
        else:
            message = f"its worker did not come up ({why or end})"
            if self._waiting and not any(one.up for one in self._workers):
                worker.job = self._waiting.popleft()
        return self._drop(worker, "crashed", message)

    def _drop(self, worker: Worker, kind: str, message: str) -> list[tuple[Job, Outcome]]:
        self._workers.remove(worker)
        why = Failure(kind=kind, message=message, traceback="")
        return [(worker.job, Outcome(failure=why))] if worker.job else []

    def close(self, *, kill: bool) -> None:  # without `kill` no job is at hand either
        while self._workers:
            self._end(self._workers.pop())


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
