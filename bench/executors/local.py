"""Worker processes on this machine, one thread each; on GPUs, dealt out over the visible ones."""

import contextlib
import os
from collections.abc import Callable, Sequence
from multiprocessing import get_context, resource_tracker

import torch

from ..errors import BenchError, fault
from ..steps.workspace import Settings
from .pool import Pool, Worker


class Local(Pool):
    """Spawned processes; one that replaces another gets its slot, and so its GPU."""

    def __init__(self, settings: Settings, workers: int, timeout_s: float | None) -> None:
        self._gpus = visible_gpus() if settings.device == "cuda" else []
        resource_tracker.ensure_running()  # now, as it lets interrupts through
        super().__init__(settings, workers, timeout_s)

    def _launch(self, call: Callable[[int], None], workers: Sequence[Worker]) -> None:
        for one in workers:
            gpu = self._gpus[one.slot % len(self._gpus)] if self._gpus else None
            given = call, one.number, gpu
            one.handle = get_context("spawn").Process(target=_work, args=given, daemon=True)
            one.handle.start()

    def _gone(self, worker: Worker) -> bool:
        return not worker.handle.is_alive()

    def _end(self, worker: Worker) -> str:
        worker.handle.join(0.1)  # by itself, where it can
        worker.handle.kill()
        worker.handle.join()
        return f"exit code {worker.handle.exitcode}"


def _work(call: Callable[[int], None], number: int, gpu: str | None) -> None:
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before this process uses any
    with contextlib.suppress(OSError, EOFError):  # the front is gone
        call(number)


def visible_gpus() -> list[str]:
    """GPUs that workers may be given, as CUDA_VISIBLE_DEVICES names them; BenchError for none."""
    there = torch.cuda.device_count()  # asks the driver, without taking memory of a GPU
    if not there:
        raise BenchError(fault("visible_gpus", version=torch.__version__))
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [one.strip() for one in given.split(",")] if given else [str(at) for at in range(there)]
    return names[:there]  # what follows a name that is not there is not seen either
