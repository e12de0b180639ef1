"""A supervised pool of persistent spawned workers on this machine (pebble).

A worker that dies takes only its own job with it; a job that overruns its time is stopped with its
worker; another worker takes the place.
"""

import contextlib
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from multiprocessing import resource_tracker
from pathlib import Path
from threading import Thread

import torch
from filelock import FileLock, Timeout
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from reports.records import Failure

from ..errors import BenchError, fault
from ..plan.jobs import Job
from ..steps.perform import Outcome, perform, start
from ..steps.workspace import Settings, Workspace

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
            initializer=_start,
            initargs=(self._settings, self._gpus, Path(self._places.name)),
        )

    def submit(self, job: Job) -> None:
        try:
            with _unheard():
                future = self._pool.schedule(_perform, args=[job], timeout=self._timeout_s)
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


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Threads and processes that begin in the block hear no Ctrl-C, from their first moment on: the
    front decides what it means."""
    resource_tracker.ensure_running()  # which lifts the mask of the thread that it begins in
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker:
    """What a worker process holds, and its place at a GPU; set once by its initializer."""

    workspace: Workspace
    place: FileLock


def _start(settings: Settings, gpus: Sequence[str], places: Path) -> None:
    """Make this spawned process a worker that outlives no front."""
    Thread(target=_outlive_nobody, daemon=True).start()
    with contextlib.suppress(RuntimeError):  # already set in this process
        torch.set_num_interop_threads(1)
    if gpus:
        _Worker.place = take_gpu(gpus, places)
    _Worker.workspace = start(settings)


def _outlive_nobody() -> None:
    """End with the front, even where that was killed while a job here takes its time."""
    front = multiprocessing.parent_process()
    assert front is not None
    front.join()
    os._exit(1)


def _perform(job: Job) -> Outcome:
    return perform(job, _Worker.workspace)


def visible_gpus() -> list[str]:
    """The GPUs that workers may be given, as CUDA_VISIBLE_DEVICES names them.

    Raises:
        BenchError: there is none.
    """
    there = torch.cuda.device_count()  # asks the driver, without taking memory of a GPU
    if not there:
        raise BenchError(fault("visible_gpus", version=torch.__version__))
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [one.strip() for one in given.split(",")] if given else [str(at) for at in range(there)]
    return names[:there]  # what follows a name that is not there is not seen either


def take_gpu(gpus: Sequence[str], places: Path) -> FileLock:
    """Let this process see one of the GPUs, before it uses any; returns what holds its place.

    Places are numbered, and dealt out in turn over the GPUs. The system frees the place of a
    process that ends, however it ends, so the worker that replaces it gets the same GPU.
    """
    for place in count():
        lock = FileLock(places / f"{place}.lock", timeout=0)
        with contextlib.suppress(Timeout):
            lock.acquire()
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
            return lock
    raise AssertionError  # there is always a next number
