"""A supervised pool of persistent spawned workers on this machine (pebble).

A worker that dies takes only its own job with it; a job that overruns its time is stopped with its
worker; another worker takes the place.
"""

import multiprocessing
import os
import tempfile
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from reports.records import Failure

from ..plan.jobs import Job
from ..steps.perform import Outcome
from ..steps.workspace import Settings
from .process import perform_in_process, start_process, visible_gpus

# Read by the libraries when a worker starts. Every pruned network has shapes of its own, and oneDNN
# keeps 1,024 of their kernels by default, which grows a worker by gigabytes over a suite.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "200",
}


class Local:
    """`workers` processes, one thread each; on GPUs, dealt out over those that are visible."""

    def __init__(self, settings: Settings, workers: int, timeout_s: float | None) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.slots = workers
        self._settings = settings
        self._timeout_s = timeout_s
        self._gpus = visible_gpus() if settings.device == "cuda" else []
        self._places = tempfile.TemporaryDirectory(prefix="bench-gpus-")
        self._running: dict[ProcessFuture, Job] = {}
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self.slots,
            context=multiprocessing.get_context("spawn"),
            initializer=start_process,
            initargs=(self._settings, self._gpus, Path(self._places.name)),
        )

    def submit(self, job: Job) -> None:
        try:
            future = self._pool.schedule(perform_in_process, args=[job], timeout=self._timeout_s)
        except RuntimeError as error:  # the pool has broken since; `finished` takes a new one
            future = ProcessFuture()
            future.set_exception(BrokenProcessPool(str(error)))
        self._running[future] = job

    def finished(self) -> list[tuple[Job, Outcome]]:
        done: set[ProcessFuture] = set()
        while not done:
            done, _ = wait(self._running, timeout=1, return_when=FIRST_COMPLETED)
            if not done and not self._pool.active:  # a thread of the pool's has died
                return self._renew()
        if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
            return self._renew()
        return [(self._running.pop(future), self._outcome(future)) for future in done]

    def _outcome(self, future: ProcessFuture) -> Outcome:
        try:
            return future.result()
        except FutureTimeout:
            message = f"stopped after {self._timeout_s:.0f} s (--timeout)"
            return Outcome(failure=Failure(kind="timeout", message=message, traceback=""))
        except ProcessExpired as error:
            return _crashed(f"its worker died ({error}); out of memory, or killed from outside")
        except BrokenProcessPool as error:
            return _crashed(f"its worker did not come up ({error})")

    def _renew(self) -> list[tuple[Job, Outcome]]:
        """A worker died with no job at hand, which ends a pool of pebble's: take a new one."""
        self._pool.stop()
        self._pool.join()
        self._pool = self._new_pool()
        lost = [
            (job, self._outcome(future) if future.done() else _crashed("its worker died"))
            for future, job in self._running.items()
        ]
        self._running.clear()
        return lost

    def close(self, *, kill: bool) -> None:
        if kill:
            self._pool.stop()
        else:
            self._pool.close()
        self._pool.join()
        self._places.cleanup()


def _crashed(message: str) -> Outcome:
    return Outcome(failure=Failure(kind="crashed", message=message, traceback=""))
