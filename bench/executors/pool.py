"""How jobs are handed to worker processes, wherever these run.

The front keeps the queue. Workers call it by TCP, which they can with the key of the run, and are
given one job at a time; results pass through the results folder, which they must see as it does. A
worker whose connection ends has died, and takes only its own job with it; one that overruns its
time is killed; another is launched while there are jobs for it. A worker whose front is gone ends.
How workers are launched and killed is all that differs between engines.
"""

import contextlib
import os
import secrets
import signal
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import inf
from multiprocessing import AuthenticationError, Pipe
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge, wait
from queue import Queue
from threading import Thread, current_thread, main_thread
from typing import Any

import torch

from reports.records import Failure

from ..errors import StoreError, fault
from ..plan.jobs import Job
from ..steps.perform import Outcome, perform, start
from ..steps.record import failure
from ..steps.workspace import Settings
from ..store.store import Store

LOOPBACK = "127.0.0.1"
PROMPT = socket.IPPROTO_TCP, socket.TCP_NODELAY, 1  # or a job in two packets takes 40 ms
ALIVE = socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1  # machines may vanish
PATIENCE_S = 1.0  # between two looks at what no connection tells
# Strangers may reach the port. Nothing of theirs is unpickled; who is silent is soon hung up on.
GREETERS, GREETING_S = 8, 20
WORKER, FRONT = b"worker", b"front"  # so that no answer of the one will do for the other's

# Read by the libraries when a worker starts. Every pruned network has shapes of its own, and oneDNN
# keeps 1,024 of their kernels by default, which grows a worker by gigabytes over a suite.
_ENVIRONMENT = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")
_ENVIRONMENT |= {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "200"}


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
    """At most `slots` workers, each with one job at a time, that call the front at `host`."""

    def __init__(
        self, settings: Settings, slots: int, timeout_s: float | None, host: str = LOOPBACK
    ) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.slots, self._settings, self._timeout_s = slots, settings, timeout_s
        self._waiting: deque[Job] = deque()
        self._workers: list[Worker] = []
        self._numbers = count()
        bound = host if host == LOOPBACK else ""
        self._server = socket.create_server((bound, 0), backlog=max(slots, 16))
        self._server.setsockopt(*PROMPT)  # which what it accepts inherits
        self._server.setsockopt(*ALIVE)
        self._address = host, self._server.getsockname()[1]
        self._key = secrets.token_bytes(32)
        self._door, self._bell = Pipe(duplex=False)
        for _ in range(GREETERS):
            Thread(target=self._greet, daemon=True).start()

    @abstractmethod
    def _launch(self, call: Callable[[int], None], workers: Sequence[Worker]) -> None:
        """Have the number of each called in a process of its own, and set its handle."""

    @abstractmethod
    def _gone(self, worker: Worker) -> bool:
        """Whether its process has ended, as far as can be told from here."""

    @abstractmethod
    def _end(self, worker: Worker) -> str:
        """Kill it if it lives, its connection closed already; returns how it ended."""

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def finished(self) -> list[tuple[Job, Outcome]]:
        done: list[tuple[Job, Outcome]] = []
        while not done:
            self._hand_out()
            lines = [one.connection for one in self._workers if one.connection]
            heard = wait([self._door, *lines], PATIENCE_S)
            for worker in [*self._workers]:
                if worker.connection in heard:
                    done += self._hear(worker)
                elif self._gone(worker):
                    done += self._lose(worker)
                elif worker.job and time.monotonic() > worker.due:
                    self._hang_up(worker)
                    message = f"stopped after {self._timeout_s:.0f} s (--timeout)"
                    done += self._drop(worker, "timeout", message)
        return done

    def _greet(self) -> None:
        """Let in who shows the key, one caller after the other."""
        while self._server.fileno() >= 0:
            try:
                line = Connection(self._server.accept()[0].detach())
            except OSError:  # closed; or too many files are open, which may pass
                time.sleep(0.1)
                continue
            with line, contextlib.suppress(AuthenticationError, EOFError, OSError):
                _limit(line, GREETING_S)
                deliver_challenge(line, self._key + WORKER)
                answer_challenge(line, self._key + FRONT)
                number = line.recv()
                _limit(line, 0)
                self._bell.send((number, os.dup(line.fileno())))

    def _hand_out(self) -> None:
        while self._door.poll():
            number, handle = self._door.recv()
            line = Connection(handle)
            expected = {one.number: one for one in self._workers}
            if number in expected:
                expected[number].connection = line
            else:
                line.close()  # given up meanwhile
        idle = [one for one in self._workers if one.job is None]
        free = sorted(set(range(self.slots)) - {one.slot for one in self._workers})
        missing = max(0, len(self._waiting) - len(idle))
        if new := [Worker(slot, next(self._numbers)) for slot in free[:missing]]:
            holder = Store(self._settings.results).last_holder()
            call = partial(work, self._address, self._key, self._settings, holder)
            with _uninterrupted():
                self._launch(call, new)
                self._workers += new
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
        end = self._hang_up(worker)
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

    def _hang_up(self, worker: Worker) -> str:
        if worker.connection:
            worker.connection.close()  # most end by themselves then
        return self._end(worker)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        while self._workers:
            self._hang_up(self._workers.pop())


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """What is started in it is started whole, and never sees a Ctrl-C. The mask is inherited; here
    it does not do: another thread takes the signal, and Python acts on it in the main one."""
    came: list[int] = []
    ends = [signal.SIGINT, signal.SIGTERM] if current_thread() is main_thread() else []
    before = {end: signal.signal(end, lambda number, _: came.append(number)) for end in ends}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for end, handler in before.items():
            signal.signal(end, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def work(
    address: tuple[str, int], key: bytes, settings: Settings, holder: str, number: int
) -> None:
    """Make this process a worker of the front at that address, until its connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = socket.create_connection(address)
    line.setsockopt(*PROMPT)
    line.setsockopt(*ALIVE)
    connection = Connection(line.detach())
    _limit(connection, GREETING_S)
    answer_challenge(connection, key + WORKER)
    deliver_challenge(connection, key + FRONT)
    _limit(connection, 0)
    connection.send(number)
    jobs: Queue[Job | None] = Queue()
    Thread(target=_listen, args=(connection, jobs), daemon=True).start()
    with contextlib.suppress(RuntimeError):  # already set in this process
        torch.set_num_interop_threads(1)
    with contextlib.suppress(OSError):  # the front is gone
        try:
            if Store(settings.results).last_holder() != holder:
                at = {"host": socket.gethostname(), "root": settings.results}
                raise StoreError(fault("not_shared", **at))
            workspace = start(settings)
        except Exception as error:
            connection.send(Outcome(failure=failure(error)))
            return
        connection.send(Outcome())
        while (job := jobs.get()) is not None:
            outcome = perform(job, workspace)
            jobs.task_done()  # before the front hears of it, and may hang up
            connection.send(outcome)


def _listen(connection: Connection, jobs: Queue[Job | None]) -> None:
    """End with the front, even where that was killed while a job here takes its time."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            jobs.put(connection.recv())
    if jobs.unfinished_tasks:
        os._exit(1)
    jobs.put(None)


def _limit(line: Connection, seconds: int) -> None:
    """Let no read of it take longer; 0 is without end."""
    with socket.socket(fileno=os.dup(line.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))
