"""A spawned worker process: what it makes of itself, and the jobs that it is sent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import torch
from filelock import FileLock

from ..plan.jobs import Job
from ..steps.perform import Outcome, perform, start
from ..steps.workspace import Settings, Workspace
from .gpus import take_gpu


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
