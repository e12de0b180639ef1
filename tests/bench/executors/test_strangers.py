"""Whoever reaches the front's port without its key: nothing is believed, and nobody is kept out."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import toy

from bench.executors import make_executor
from bench.executors import pool as pools
from bench.executors.pool import GREETERS, LOOPBACK, Pool, Worker, work
from bench.plan.jobs import Job
from bench.plan.plan import make_plan
from bench.steps.perform import Outcome
from bench.steps.workspace import Settings


class Alone(Pool):
    """Its one worker is whoever calls `call`."""

    call: Callable[[], None] | None = None
    gone = False

    def _launch(self, call: Callable[[int], None], workers: Sequence[Worker]) -> None:
        self.call = partial(call, workers[0].number)

    def _gone(self, worker: Worker) -> bool:
        return self.gone

    def _end(self, worker: Worker) -> str:
        return "it left"


@pytest.fixture(autouse=True)
def workers_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(pools, "start", lambda settings: None)
    monkeypatch.setattr(pools, "perform", lambda job, workspace: Outcome())
    monkeypatch.setattr(pools, "GREETING_S", 1)


class Boom:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.file),)


def call_at(port: int) -> Connection:
    return Connection(socket.create_connection((LOOPBACK, port)).detach())


def test_strangers_are_not_believed_and_keep_no_worker_out(tmp_path: Path) -> None:
    job: Job = make_plan(toy.suite()).trials[0]
    pool = Alone(Settings(tmp_path, tmp_path), 1, None)
    port, boom = pool._address[1], pickle.dumps(Boom(tmp_path / "boom"))
    strangers = [call_at(port) for _ in range(GREETERS)]
    halves, huge, pickles, echoes, *_ = strangers

    def serve() -> list[tuple[Job, Outcome]]:
        try:
            return pool.finished()
        finally:
            pool.close()

    with ThreadPoolExecutor(1) as front:
        os.write(halves.fileno(), b"\0\0")
        os.write(huge.fileno(), struct.pack("!iQ", -1, 2**40) + b"x" * 4096)
        pickles.send_bytes(boom[:256])
        pickles.send_bytes(boom)
        echoes.send_bytes(echoes.recv_bytes())
        pool.submit(job)
        done = front.submit(serve)
        try:
            toy.until(lambda: pool.call)
            assert pool.call is not None
            pool.call()
        finally:
            pool.gone = True  # so that a failure here ends the front, too
        assert done.result() == [(job, Outcome())]
    assert not (tmp_path / "boom").exists()
    assert all(hung_up(one) for one in strangers)


def hung_up(line: Connection) -> bool:
    """After no more than a challenge and a refusal."""
    with line:
        try:
            while line.recv_bytes(256)[:11] in (b"#CHALLENGE#", b"#FAILURE#"):
                pass
        except (EOFError, ConnectionError):
            return True
    return False


def test_who_takes_the_port_of_a_dead_front_cannot_have_one_worker_answer_another(
    tmp_path: Path,
) -> None:
    server = socket.create_server((LOOPBACK, 0))
    address, settings = (LOOPBACK, server.getsockname()[1]), Settings(tmp_path, tmp_path)
    with server, ThreadPoolExecutor(2) as both:
        workers = [both.submit(work, address, b"key", settings, "", one) for one in range(2)]
        first, second = (Connection(server.accept()[0].detach()) for _ in workers)
        with first, second:
            first.send_bytes(b"#CHALLENGE#" + b"0" * 20)
            first.recv_bytes()
            first.send_bytes(b"#WELCOME#")
            second.send_bytes(first.recv_bytes())  # what the first would know of its front
            first.send_bytes(second.recv_bytes())
            assert first.recv_bytes() == b"#FAILURE#"
        faults = [one.exception() for one in workers]
    assert {type(one) for one in faults} <= {AuthenticationError, EOFError, ConnectionResetError}


def test_nobody_else_reads_the_key_that_slurms_jobs_are_given(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    folder = tmp_path / "slurm"
    folder.mkdir(mode=0o755)
    make_executor("slurm", Settings(tmp_path, tmp_path), 1, None, ["cluster=local"]).close()
    assert folder.stat().st_mode & 0o777 == 0o700
