"""Workers on a Ray cluster, or on Ray's processes on this machine (extra `ray`; Ray Core only).

Set RAY_ADDRESS to use a running cluster; the results folder must then be on a shared file system.
Ray decides where workers run; which jobs they do, and how long these may take, stays with the pool.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BenchError, needed
from ..steps.workspace import Settings
from .calling import LOOPBACK, Call, CallingPool, CallingWorker, answer


class Ray(CallingPool):
    """One CPU a worker, and its share of the GPUs where it needs one."""

    def __init__(self, settings: Settings, workers: int, timeout_s: float | None) -> None:
        self._ray = ray = needed("ray", "ray")
        # Ray starts its workers at niceness 15: whatever else runs here would all but stop them.
        os.environ.setdefault("RAY_worker_niceness", "0")
        here = "RAY_ADDRESS" not in os.environ
        host = LOOPBACK if here else ray.util.get_node_ip_address()
        super().__init__(settings, workers, timeout_s, host)
        ray.init(
            num_cpus=workers if here else None,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
        gpus = ray.cluster_resources().get("GPU", 0) if settings.device == "cuda" else 0
        if settings.device == "cuda" and not gpus:
            ray.shutdown()
            raise BenchError("--device cuda: the Ray cluster has no GPU; leave --device out")
        share = min(1, gpus / workers)
        self._work = ray.remote(num_cpus=1, num_gpus=share, max_retries=0)(answer)

    def _start(self, slots: Sequence[int], calls: Sequence[Call]) -> Sequence[CallingWorker]:
        return [
            _Task(slot=slot, number=call.number, ray=self._ray, task=self._work.remote(call))
            for slot, call in zip(slots, calls, strict=True)
        ]

    def close(self, *, kill: bool) -> None:
        super().close(kill=kill)
        self._ray.shutdown()


@dataclass(eq=False, kw_only=True)
class _Task(CallingWorker):
    ray: Any
    task: Any  # a reference

    def gone(self) -> bool:
        return bool(self.ray.wait([self.task], timeout=0)[0])

    def end(self) -> str:
        if self.connection:
            self.connection.close()
            self.ray.wait([self.task], timeout=1)  # by itself, where it can
        self.ray.cancel(self.task, force=True)
        try:
            self.ray.get(self.task, timeout=1)
        except self.ray.exceptions.RayError as error:
            return f"{type(error).__name__} of Ray's"
        return "it left"
