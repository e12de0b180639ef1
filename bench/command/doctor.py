"""What may stand in the way of a run: versions, machine, the results folder, MLflow."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from rich.console import Console

from ..errors import StoreError
from ..store.provenance import PACKAGES, cpu, installed
from ..store.store import Store
from ..terminal import print_table
from ..tracking import TrackingError, tracking_uri
from ..tracking.connection import connect, local_uri, talking_to, without_password

GIB = 2**30


def show_findings(console: Console, store: Store) -> int:
    """Print a line of each, with what to do; returns 1 where something is wrong."""
    found = [*_machine(), *_results(store)]
    print_table(console, ("what", "is", "found"), found)
    return int(any(mark == "wrong" for _, mark, _ in found))


def _machine() -> Iterator[tuple[str, str, str]]:
    lacks = []
    for one in map(Requirement, requires("pruning-bench") or ()):
        there = installed(one.name)
        if there is None or not one.specifier.contains(there, prereleases=True):
            lacks.append(one)
    wrong = [one.name for one in lacks if not one.marker]
    told = [f"{name} {installed(name)}" for name in PACKAGES if name not in wrong]
    todo = [f"pip install pruning-bench, for {', '.join(wrong)}"] if wrong else []
    said = ", ".join([*todo, f"Python {platform.python_version()}", *told])
    yield "versions", "wrong" if wrong else "ok", said
    extras = sorted({str(one.marker).split('"')[1] for one in lacks if one.marker})
    yield "extras", "ok", f"all but {', '.join(extras)}" if extras else "all"
    flags = set(info.read_text().split()) if (info := Path("/proc/cpuinfo")).exists() else set()
    able = sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"})
    yield "CPUs", "ok", f"{os.cpu_count()}: {cpu()} {' '.join(able)}"
    free, whole = (getattr(psutil.virtual_memory(), one) / GIB for one in ("available", "total"))
    yield "memory", "ok" if free > 1 else "look", f"{free:.1f} of {whole:.1f} GiB free"
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    yield "threads", "ok" if threads == "1" else "look", f"OMP_NUM_THREADS is {threads} for workers"
    if shutil.which("nvidia-smi"):
        import torch

        them = [torch.cuda.get_device_properties(at) for at in range(torch.cuda.device_count())]
        said = ", ".join(f"{one.name} ({one.total_memory / GIB:.0f} GiB)" for one in them)
        yield "GPUs", "ok" if them else "look", said or "torch sees none: install a CUDA build"


def _results(store: Store) -> Iterator[tuple[str, str, str]]:
    for place in (store.root, Path(tempfile.gettempdir())):
        there = next(one for one in (place, *place.parents) if one.exists())
        free = shutil.disk_usage(there).free / GIB
        mark = "ok" if free > 5 else "look" if free > 0.5 else "wrong"
        yield "disk", mark, f"{free:.1f} GiB free at {there}"
    uri = tracking_uri(store.root)
    try:
        if holder := store.holder():
            yield "results", "look", f"process {holder} runs here: bench status --watch"
        elif store.root.exists():
            with store.lock():
                yield "results", "ok", f"{store.root} can be written and locked"
        if uri != local_uri(store.root) or (store.root / "mlflow.db").exists():
            with talking_to(uri):
                connect(uri).search_experiments(max_results=1)
            yield "MLflow", "ok", f"{without_password(uri)} answers"
    except StoreError as error:
        yield "results", "wrong", str(error)
    except TrackingError as error:
        yield "MLflow", "wrong", str(error)
    aside, (whole, faulty) = store.set_aside_so_far(), store.all_records()
    yield "damage", "look" if aside else "ok", f"{len(aside)} set aside {''.join(aside[-1:])}"
    said = f"{len(whole)}; {faulty} of another version or damaged, which bench run makes anew"
    yield "records", "look" if faulty else "ok", said
