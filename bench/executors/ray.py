"""Workers on a Ray cluster, or on Ray's processes on this machine (extra `ray`; Ray Core only).

Set RAY_ADDRESS to use a running cluster; the results folder must then be on a shared file system.
Ray decides where workers run; which jobs they do, and how long these may take, stays with the pool.
"""

import os
from collections.abc import Callable, Sequence

from ..errors import BenchError, needed
from ..steps.workspace import Settings
from .pool import LOOPBACK, Pool, Worker


class Ray(Pool):
    """One CPU a worker, and its share of the GPUs where it needs one."""

    def __init__(self, settings: Settings, workers: int, timeout_s: float | None) -> None:
        self._ray = ray = needed("ray", "ray")
        # Ray starts its workers at niceness 15: whatever else runs here would all but stop them.
        os.environ.setdefault("RAY_worker_niceness", "0")
        here = "RAY_ADDRESS" not in os.environ
        host = LOOPBACK if here else ray.util.get_node_ip_address()
        super().__init__(settings, workers, timeout_s, host)
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            ray.init(num_cpus=workers if here else None, **quiet)
        except (ConnectionError, ValueError) as error:
            where = os.environ.get("RAY_ADDRESS", "this machine")
            raise BenchError(f"--executor ray: no cluster answers at {where} ({error})") from error
        gpus = ray.cluster_resources().get("GPU", 0) if settings.device == "cuda" else 0
        if settings.device == "cuda" and not gpus:
            ray.shutdown()
            raise BenchError("--device cuda: the Ray cluster has no GPU; leave --device out")
        self._needs = {"num_cpus": 1, "num_gpus": min(1, gpus / workers)}

    def _launch(self, call: Callable[[int], None], workers: Sequence[Worker]) -> None:
        # Not tasks: to cancel one that is just ending makes Ray abort the process that asks.
        made = self._ray.remote(**self._needs)(_Called)
        for one in workers:
            actor = made.remote()
            one.handle = actor, actor.call.remote(call, one.number)

    def _gone(self, worker: Worker) -> bool:
        return bool(self._ray.wait([worker.handle[1]], timeout=0)[0])

    def _end(self, worker: Worker) -> str:
        actor, called = worker.handle
        self._ray.wait([called], timeout=1 if worker.up else 0)  # by itself, where it can
        self._ray.kill(actor)
        try:
            self._ray.get(called, timeout=1)
        except self._ray.exceptions.RayError as error:
            return f"{type(error).__name__} of Ray's"
        return "it left"

    def close(self) -> None:
        super().close()
        self._ray.shutdown()


class _Called:
    """An actor is a process of its own, and the whole of it can be killed."""

    def call(self, call: Callable[[int], None], number: int) -> None:
        call(number)
