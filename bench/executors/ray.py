"""Jobs on a Ray cluster, or on Ray's processes on this machine (the extra `ray`; Ray Core only).

Set RAY_ADDRESS to use a running cluster; the results folder must then be on a shared file system.
Whether a job is done, and how often it is tried again, stays with the store and the run.
"""

import os
from functools import cache
from typing import Any

from reports.records import Failure

from ..errors import BenchError, needed
from ..plan.jobs import Job
from ..steps.perform import Outcome, perform, start
from ..steps.workspace import Settings, Workspace


class Ray:
    """One CPU a job, and its share of the GPUs where it needs one; Ray decides where it runs."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self._ray = ray = needed("ray", "ray")
        # Ray starts its workers at niceness 15: whatever else runs here would all but stop them.
        os.environ.setdefault("RAY_worker_niceness", "0")
        here = "RAY_ADDRESS" not in os.environ
        ray.init(num_cpus=workers if here else None, include_dashboard=False, log_to_driver=False)
        self.slots = workers
        self._settings = ray.put(settings)
        gpus = ray.cluster_resources().get("GPU", 0) if settings.device == "cuda" else 0
        if settings.device == "cuda" and not gpus:
            ray.shutdown()
            raise BenchError("--device cuda: the Ray cluster has no GPU; leave --device out")
        share = min(1, gpus / workers)
        self._work = ray.remote(num_cpus=1, num_gpus=share, max_retries=0)(_perform)
        self._running: dict[Any, Job] = {}

    def submit(self, job: Job) -> None:
        self._running[self._work.remote(job, self._settings)] = job

    def finished(self) -> list[tuple[Job, Outcome]]:
        done, _ = self._ray.wait(list(self._running), num_returns=1)
        return [(self._running.pop(one), self._outcome(one)) for one in done]

    def _outcome(self, reference: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            message = f"Ray lost its worker: {error}"
            return Outcome(failure=Failure(kind="crashed", message=message, traceback=""))
        return outcome

    def close(self, *, kill: bool) -> None:
        for reference in self._running if kill else ():
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()


@cache
def _workspace(settings: Settings) -> Workspace:
    """One workspace a worker process, for all the jobs that it is given."""
    return start(settings)


def _perform(job: Job, settings: Settings) -> Outcome:
    return perform(job, _workspace(settings))
