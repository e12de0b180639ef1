"""The way of a trial, on one page: what a worker does with each kind of job.

A trial stands on a path, a path on scores, scores on a base; each is made once, stored under the
hash of all that decides it, and shared by whatever stands on it. In the order in which they run:

    base      train a network on the dataset, or take over a checkpoint; measure it     bases.py
    prepared  train it further, as a method asks, before anything is scored             bases.py
    early     train it again up to an epoch, where a method rewinds to it                bases.py
    scores    score its units by many criteria, in one pass over calibration images     scores.py
    path      which units leave at every budget: selected from those scores, or step
              by step with new scores, or while a procedure trains                      paths.py
    timing    how long the networks of a path take, while nothing else runs            timing.py
    trial     cut the network at one budget, recover it, measure                        trial.py
              and keep it, where that is asked for                                       keep.py

and, in a suite that asks how well criteria predict single removals:

    oracle    what the loss is without each unit, one at a time                         oracle.py
    fidelity  a criterion's scores beside that truth                                    oracle.py

What comes of a trial, finished or failed, is its record (record.py).
What a job needs is in its class (`plan/jobs.py`), when it is ready in `plan/graph.py`, where it
runs in `executors/`. A worker knows the store and the data; never the front process or MLflow.
"""

import os
import platform
import time
from dataclasses import dataclass, field, replace
from typing import assert_never

import torch

from criteria import load_plugin
from reports.metric import speaking_of
from reports.records import Failure

from ..data.known import task_of
from ..errors import Interrupted
from ..plan import jobs
from ..plan.workload import dense_of
from .bases import make_base, prepare_base, rewind_base
from .keep import keep_network
from .oracle import make_oracle, measure_fidelity
from .paths import make_path
from .record import failure, made_record, store_failed
from .scores import make_scores
from .timing import time_path
from .trial import measure
from .workspace import Settings, Workspace


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    unkept: str | None = None  # why a trial's network was not kept, though asked for
    failure: Failure | None = None  # why the job failed
    # Of a scores job, the criteria that failed, by score key.
    failed_scores: dict[str, Failure] | None = None
    fatal: str | None = None  # the store failed; nothing else will succeed either
    # seconds, worker: how long it took, and on which host and process; None: it never came back
    seconds: float | None = field(default=None, compare=False)
    worker: str | None = field(default=None, compare=False)


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


def perform(job: jobs.Job, workspace: Workspace) -> Outcome:
    """Do one job; no exception gets out, but for an interrupt of the front where jobs run there."""
    begun = time.monotonic()
    try:
        with speaking_of(task_of(dense_of(job).dataset).metric):
            outcome = _do(job, workspace)
    except Interrupted:
        raise
    except BaseException as error:  # the failed record of all that stands on this job
        if store_failed(error):
            return Outcome(fatal=str(error))
        workspace.forget()
        outcome = Outcome(failure=failure(error))
    workspace.forget_checkpoints(job.key)
    seconds = round(time.monotonic() - begun, 3)
    return replace(outcome, seconds=seconds, worker=f"{os.getpid()} on {platform.node()}")


def _do(job: jobs.Job, workspace: Workspace) -> Outcome:
    match job:
        case jobs.BaseJob():
            make_base(job, workspace)
        case jobs.PreparedJob():
            prepare_base(job, workspace)
        case jobs.EarlyJob():
            rewind_base(job, workspace)
        case jobs.ScoresJob():
            return Outcome(failed_scores=make_scores(job, workspace))
        case jobs.PathJob():
            make_path(job, workspace)
        case jobs.TimingJob():
            time_path(job, workspace)
        case jobs.OracleJob():
            make_oracle(job, workspace)
        case jobs.TrialJob(keep=True):
            return Outcome(unkept=keep_network(job, workspace))
        case jobs.TrialJob():
            workspace.store.write_record(made_record(job, workspace, measure))
        case jobs.FidelityJob():
            workspace.store.write_record(made_record(job, workspace, measure_fidelity))
        case _:
            assert_never(job)
    return Outcome()
