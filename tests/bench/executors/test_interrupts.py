"""Ctrl-C, or a request to end, while workers are being started: it waits until they are whole."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import toy

from bench.executors.local import Local
from bench.executors.pool import Worker
from bench.plan.plan import make_plan
from bench.steps.workspace import Settings


class Interrupted(Exception):
    """What the test's handler raises, as the command's does."""


class Sent(Local):
    """Local workers, and a signal to the whole process as the first of them is being started."""

    def __init__(self, results: Path, number: signal.Signals) -> None:
        super().__init__(Settings(results, results), 2, None)
        self.number, self.whole = number, False

    def _launch(self, call: Callable[[int], None], workers: Sequence[Worker]) -> None:
        os.kill(os.getpid(), self.number)  # a thread that greets workers takes it
        time.sleep(0.1)  # and Python would act on it here
        super()._launch(call, workers)
        self.whole = True


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    def interrupt(*_: Any) -> None:
        raise Interrupted

    before = signal.signal(request.param, interrupt)
    yield request.param
    assert signal.signal(request.param, before) is interrupt, "as it was"


def test_a_signal_waits_until_workers_are_started(tmp_path: Path, number: signal.Signals) -> None:
    pool = Sent(tmp_path, number)
    try:
        for trial in make_plan(toy.suite(bases=2, methods=["l1"])).trials[:2]:
            pool.submit(trial.at.base)
        with pytest.raises(Interrupted):
            pool.finished()
        assert pool.whole
        started = [psutil.Process(one.handle.pid) for one in pool._workers]
        assert len(started) == 2
        for one in started:
            one.send_signal(signal.SIGINT)  # as a terminal sends it to all
        assert psutil.wait_procs(started, 0.3)[0] == []
    finally:
        pool.close()
    assert not any(one.is_running() for one in started)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
