"""A spawned worker process: what it makes of itself, the GPU that it sees, the jobs it is sent."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from threading import Thread

import torch
from filelock import FileLock, Timeout

from ..errors import BenchError, fault
from ..plan.jobs import Job
from ..steps.perform import Outcome, perform, start
from ..steps.workspace import Settings, Workspace


class _Worker:
    """What a worker process holds, and its place at a GPU; set once by its initializer."""

    workspace: Workspace
    place: FileLock


def start_process(settings: Settings, gpus: Sequence[str] = (), places: Path = Path()) -> None:
    """Make this spawned process a worker that outlives no front.

    `gpus` and `places` are those of `take_gpu`.
    """
    Thread(target=_outlive_nobody, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front decides what an interrupt means
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


def perform_in_process(job: Job) -> Outcome:
    """Do a job with what this worker holds."""
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
