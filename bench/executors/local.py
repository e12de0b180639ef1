"""Worker processes on this machine, one thread each; on GPUs, dealt out over the visible ones."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import torch

from ..errors import BenchError, fault
from ..steps.workspace import Settings
from .pool import Pool, Worker, serve


class Local(Pool):
    """`workers` spawned processes."""

    def __init__(self, settings: Settings, workers: int, timeout_s: float | None) -> None:
        super().__init__(workers, timeout_s)
        resource_tracker.ensure_running()  # now, as it lets interrupts through
        self._settings = settings
        self._gpus = visible_gpus() if settings.device == "cuda" else []

    def _launch(self, slots: Sequence[int]) -> Sequence[Worker]:
        return [self._spawn(slot) for slot in slots]

    def _spawn(self, slot: int) -> Worker:
        """A worker that replaces another gets its slot, and so its GPU."""
        gpu = self._gpus[slot % len(self._gpus)] if self._gpus else None
        context = get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, self._settings, gpu), daemon=True)
        process.start()
        there.close()
        return _Process(slot=slot, connection=here, process=process)


@dataclass(eq=False, kw_only=True)
class _Process(Worker):
    process: SpawnProcess

    def gone(self) -> bool:
        return not self.process.is_alive()

    def end(self) -> str:
        assert self.connection is not None
        self.connection.close()
        self.process.join(0.1)  # by itself, where it can
        self.process.kill()
        self.process.join()
        return f"exit code {self.process.exitcode}"


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
