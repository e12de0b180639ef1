"""Worker processes on this machine, one thread each; on GPUs, dealt out over the visible ones."""

import os
from collections.abc import Sequence
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection

import torch

from ..errors import BenchError, fault
from ..steps.workspace import Settings
from .pool import Pool, Worker, serve


class Local(Pool):
    """Spawned processes; one that replaces another gets its slot, and so its GPU."""

    def __init__(self, settings: Settings, workers: int, timeout_s: float | None) -> None:
        super().__init__(workers, timeout_s)
        resource_tracker.ensure_running()  # now, as it lets interrupts through
        self._settings = settings
        self._gpus = visible_gpus() if settings.device == "cuda" else []

    def _launch(self, workers: Sequence[Worker]) -> None:
        context = get_context("spawn")
        for one in workers:
            gpu = self._gpus[one.slot % len(self._gpus)] if self._gpus else None
            one.connection, there = context.Pipe()
            one.handle = context.Process(
                target=_work, args=(there, self._settings, gpu), daemon=True
            )
            one.handle.start()
            there.close()

    def _gone(self, worker: Worker) -> bool:
        return not worker.handle.is_alive()

    def _end(self, worker: Worker) -> str:
        assert worker.connection is not None
        worker.connection.close()
        worker.handle.join(0.1)  # by itself, where it can
        worker.handle.kill()
        worker.handle.join()
        return f"exit code {worker.handle.exitcode}"


def _work(connection: Connection, settings: Settings, gpu: str | None) -> None:
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before this process uses any
    serve(connection, settings)


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
