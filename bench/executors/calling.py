"""Workers that an engine starts somewhere, and that call the front by TCP.

Who calls must know the key of the run, by the challenge of `multiprocessing.connection`, and see
the results folder that the front sees: results pass through files, not through the connection.
"""

import contextlib
import secrets
import socket
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from queue import SimpleQueue
from threading import Thread

from ..errors import StoreError, fault
from ..steps.perform import Outcome
from ..steps.record import failure
from ..steps.workspace import Settings
from ..store.store import Store
from .pool import Pool, Worker, serve

LOOPBACK = "127.0.0.1"
SILENT_S = 60  # after which a connection that says nothing is tried


@dataclass(frozen=True)
class Call:
    """What a worker needs to know, to call the front from wherever it runs."""

    address: tuple[str, int]
    key: bytes
    number: int  # its own: no two workers of a run have the same
    settings: Settings
    holder: str  # who holds the results folder, as the front reads it there


@dataclass(eq=False, kw_only=True)
class CallingWorker(Worker):
    number: int


class CallingPool(Pool):
    """Workers that call the front at `host`."""

    def __init__(self, settings: Settings, slots: int, timeout_s: float | None, host: str) -> None:
        super().__init__(slots, timeout_s)
        self._settings, self._host = settings, host
        self._key, self._numbers = secrets.token_bytes(32), count()
        self._arrived: SimpleQueue[tuple[int, Connection]] = SimpleQueue()
        bound = host if host == LOOPBACK else ""
        self._server = socket.create_server((bound, 0), backlog=max(slots, 16))
        Thread(target=self._accept, daemon=True).start()

    @abstractmethod
    def _start(self, slots: Sequence[int], calls: Sequence[Call]) -> Sequence[Worker]:
        """Have these calls made, each by a process of its own somewhere."""

    def _launch(self, slots: Sequence[int]) -> Sequence[Worker]:
        address = self._host, self._server.getsockname()[1]
        holder = Store(self._settings.results).last_holder()
        of_all = self._settings, holder
        calls = [Call(address, self._key, next(self._numbers), *of_all) for _ in slots]
        return self._start(slots, calls)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                caller, _ = self._server.accept()
                line = Connection(caller.detach())
                Thread(target=self._greet, args=[line], daemon=True).start()  # some never speak

    def _greet(self, line: Connection) -> None:
        try:
            deliver_challenge(line, self._key)
            answer_challenge(line, self._key)
            self._arrived.put((line.recv(), line))
        except (AuthenticationError, EOFError, OSError):
            line.close()

    def _hand_out(self) -> None:
        """Connect those that have called with what was launched, first."""
        while not self._arrived.empty():
            number, line = self._arrived.get()
            for worker in self._workers:
                if isinstance(worker, CallingWorker) and worker.number == number:
                    worker.connection = line
                    break
            else:
                line.close()  # one that was given up meanwhile
        super()._hand_out()

    def close(self, *, kill: bool) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        super().close(kill=kill)


def answer(call: Call) -> None:
    """Make this process a worker of the front that is meant."""
    line = socket.create_connection(call.address)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # machines may vanish
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_S)
    connection = Connection(line.detach())
    answer_challenge(connection, call.key)
    deliver_challenge(connection, call.key)
    connection.send(call.number)
    results = call.settings.results
    if Store(results).last_holder() != call.holder:
        error = StoreError(fault("not_shared", host=socket.gethostname(), root=results))
        connection.send(Outcome(failure=failure(error)))
        return
    serve(connection, call.settings)
