"""Workers that an engine starts somewhere, and that call the front by TCP.

Who calls must know the key of the run, by the challenge of `multiprocessing.connection`, and see
the results folder that the front sees: results pass through files, not through the connection.
"""

import contextlib
import secrets
import socket
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
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


class CallingPool(Pool):
    """Workers that call the front at `host`."""

    def __init__(self, settings: Settings, slots: int, timeout_s: float | None, host: str) -> None:
        super().__init__(slots, timeout_s)
        self._settings, self._host, self._key = settings, host, secrets.token_bytes(32)
        self._arrived: SimpleQueue[tuple[int, Connection]] = SimpleQueue()
        bound = host if host == LOOPBACK else ""
        self._server = socket.create_server((bound, 0), backlog=max(slots, 16))
        Thread(target=self._accept, daemon=True).start()

    @abstractmethod
    def _start(self, call: Callable[[int], None], workers: Sequence[Worker]) -> None:
        """Have each worker's number called somewhere, in a process of its own."""

    def _launch(self, workers: Sequence[Worker]) -> None:
        address = self._host, self._server.getsockname()[1]
        holder = Store(self._settings.results).last_holder()
        self._start(partial(answer, address, self._key, self._settings, holder), workers)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                line = Connection(self._server.accept()[0].detach())
                Thread(target=self._greet, args=[line], daemon=True).start()  # some never speak

    def _greet(self, line: Connection) -> None:
        try:
            deliver_challenge(line, self._key)
            answer_challenge(line, self._key)
            self._arrived.put((line.recv(), line))
        except (AuthenticationError, EOFError, OSError):
            line.close()

    def _hand_out(self) -> None:
        while not self._arrived.empty():
            number, line = self._arrived.get()
            expected = {one.number: one for one in self._workers}
            if number in expected:
                expected[number].connection = line
            else:
                line.close()  # given up meanwhile
        super()._hand_out()

    def close(self, *, kill: bool) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        super().close(kill=kill)


def answer(
    address: tuple[str, int], key: bytes, settings: Settings, holder: str, number: int
) -> None:
    """Make this process a worker of the front at that address."""
    line = socket.create_connection(address)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # machines may vanish
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_S)
    connection = Connection(line.detach())
    answer_challenge(connection, key)
    deliver_challenge(connection, key)
    connection.send(number)
    if Store(settings.results).last_holder() == holder:
        return serve(connection, settings)
    other = StoreError(fault("not_shared", host=socket.gethostname(), root=settings.results))
    return connection.send(Outcome(failure=failure(other)))
