"""GPUs dealt out to worker processes: each worker sees one, which several may share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import BenchError


def visible_gpus() -> list[str]:
    """The GPUs that workers may be given, as CUDA_VISIBLE_DEVICES names them.

    Raises:
        BenchError: there is none.
    """
    import torch

    there = torch.cuda.device_count()  # asks the driver, without taking memory of a GPU
    if not there:
        raise BenchError(
            "--device cuda: torch finds no GPU; see that `nvidia-smi` lists one, that "
            "CUDA_VISIBLE_DEVICES does not hide it, and that this is a CUDA build of torch "
            f"(it is {torch.__version__}); or leave --device out to run on the CPU"
        )
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
        try:
            lock.acquire()
        except Timeout:
            continue
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
        return lock
    raise AssertionError  # there is always a next number
