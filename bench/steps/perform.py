"""What a worker does with a job. Workers know the store and the data; never the front or MLflow."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from criteria import load_plugin
from reports.records import Failure

from ..errors import StoreError, failure
from ..plan.jobs import BaseJob, Job, OracleJob, PathJob, PreparedJob, ScoresJob
from .bases import make_base, prepare_base
from .fidelity import make_oracle
from .gpus import take_gpu
from .mask_paths import make_mask_path
from .paths import make_path
from .scores import make_scores
from .trial import run_trial
from .workspace import Settings, Workspace


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        status: of a trial's record; None for other jobs.
        failure: why the job failed.
        failed_scores: of a scores job, the criteria that failed, by score key.
        fatal: the store failed; nothing else will succeed either.
    """

    status: str | None = None
    failure: Failure | None = None
    failed_scores: dict[str, Failure] | None = None
    fatal: str | None = None


def start(settings: Settings) -> Workspace:
    """Make this process a worker: one thread, so that results depend on no one else's.

    On a GPU convolutions repeat themselves bit for bit, and float32 is float32: what is less exact
    is for the recipes to ask for.
    """
    torch.set_num_threads(1)
    if settings.device == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
    for plugin in settings.plugins:
        load_plugin(plugin)
    return Workspace(settings)


def perform(job: Job, workspace: Workspace) -> Outcome:
    """Do one job; nothing that a job raises gets out."""
    try:
        match job:
            case BaseJob():
                make_base(job, workspace)
            case PreparedJob():
                prepare_base(job, workspace)
            case ScoresJob():
                return Outcome(failed_scores=make_scores(job, workspace))
            case PathJob() if job.unstructured:
                make_mask_path(job, workspace)
            case PathJob():
                make_path(job, workspace)
            case OracleJob():
                make_oracle(job, workspace)
            case _:
                return Outcome(status=run_trial(job, workspace))
    except StoreError as error:
        return Outcome(fatal=str(error))
    except (Exception, SystemExit) as error:  # the failed record of all that stands on this job
        workspace.forget()
        workspace.forget_checkpoints(job.key)
        return Outcome(failure=failure(error))
    return Outcome()


class _Worker:
    """The workspace of a worker process, and its place at a GPU; set once by its initializer."""

    workspace: Workspace
    place: FileLock


def start_process(settings: Settings, gpus: Sequence[str] = (), places: Path = Path()) -> None:
    """Initializer of a spawned worker; `gpus` and `places` are those of `take_gpu`."""
    import signal
    from threading import Thread

    Thread(target=_outlive_nobody, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front decides what an interrupt means
    with contextlib.suppress(RuntimeError):  # already set in this process
        torch.set_num_interop_threads(1)
    if gpus:
        _Worker.place = take_gpu(gpus, places)
    _Worker.workspace = start(settings)


def _outlive_nobody() -> None:
    """End with the front, even where that was killed while a job here takes its time."""
    import multiprocessing
    import os

    front = multiprocessing.parent_process()
    assert front is not None
    front.join()
    os._exit(1)


def perform_in_process(job: Job) -> Any:
    """Task of a spawned worker."""
    return perform(job, _Worker.workspace)
