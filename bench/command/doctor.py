"""What may stand in the way of a run: versions, machine, disk, the results folder, MLflow."""

import os
import platform
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import psutil
from packaging.requirements import Requirement
from rich.console import Console
from rich.text import Text

from ..errors import StoreError
from ..store.provenance import PACKAGES, cpu
from ..store.store import Store
from ..terminal import print_table
from ..tracking.connection import is_server, tracking_uri, without_password

Finding = tuple[str, str, str]  # of what; what there is; what to do, behind a `!` before any run
GIB = 2**30


def show_findings(console: Console, store: Store) -> int:
    """Print a line of each; returns 1 where something is wrong."""
    rows, marks = [], {"": ("ok", "green"), "!": ("wrong", "bold red")}
    for what, said, todo in (*_packages(), *_machine(), *_results(store), _mlflow(store)):
        mark = Text(*marks.get(todo[:1], ("look", "yellow")))
        rows.append((what, mark, "; ".join(filter(None, (said, todo.strip("!"))))))
    print_table(console, ("what", "is", "as"), rows)
    return int(any(mark.plain == "wrong" for _, mark, _ in rows))


def _packages() -> Iterator[Finding]:
    """Versions of what we need, and which extras are whole."""
    lacks: dict[str, list[str]] = {}  # by extra; "" is what everybody needs
    for need in map(Requirement, requires("pruning-bench") or ()):
        extra = re.search(r"extra == .(\w+)", str(need.marker))
        lacking = lacks.setdefault(extra[1] if extra else "", [])
        try:
            if not need.specifier.contains(version(need.name), prereleases=True):
                lacking.append(f"{need.name} {version(need.name)}")
        except PackageNotFoundError:
            lacking.append(need.name)
    wrong, whole = lacks.pop(""), [one for one, lacking in lacks.items() if not lacking]
    told = [f"{one} {version(one)}" for one in PACKAGES if one not in wrong]
    todo = f"!pip install pruning-bench, for {', '.join(wrong)}" if wrong else ""
    yield "versions", f"Python {platform.python_version()}, {', '.join(told)}", todo
    gone = ", ".join(sorted(lacks.keys() - whole)) or "none"
    yield "extras", f"there: {', '.join(whole) or 'none'}; not there: {gone}", ""


def _machine() -> Iterator[Finding]:
    """CPUs and what they can, memory, threads, GPUs, room."""
    there, info = os.cpu_count() or 1, Path("/proc/cpuinfo")
    mine = len(psutil.Process().cpu_affinity()) if psutil.LINUX else there
    flags = info.read_text().split() if info.exists() else []
    able = [one for one in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if one in flags]
    few = f"only {mine} are for this process: --workers {mine}" if mine < there else ""
    yield "CPUs", f"{there} of {cpu()} {' '.join(able)}", few
    free, whole = (getattr(psutil.virtual_memory(), one) / GIB for one in ("available", "total"))
    yield "memory", f"{free:.1f} of {whole:.1f} GiB free", "fewer --workers" if free < 1 else ""
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    yield "threads", f"{threads} a worker", "unset OMP_NUM_THREADS" if threads != "1" else ""
    if shutil.which("nvidia-smi"):
        import torch

        them = [torch.cuda.get_device_properties(at) for at in range(torch.cuda.device_count())]
        said = ", ".join(f"{one.name} ({one.total_memory / GIB:.0f} GiB)" for one in them)
        yield "GPUs", said or "torch sees none", "" if them else "install a CUDA build of torch"


def _results(store: Store) -> Iterator[Finding]:
    """Room, whether the folder can be worked in or is, what in it counts for nothing, the clock."""
    for place in (store.root, Path(tempfile.gettempdir())):
        there = next(one for one in (place, *place.parents) if one.exists())
        free = shutil.disk_usage(there).free / GIB
        todo = "" if free > 5 else "make room" if free > 0.5 else "!make room"
        yield "disk", f"{free:.1f} GiB free at {there}", todo
    if not store.root.exists():
        yield "results", f"{store.root} is not there yet: the first run makes it", ""
    elif holder := store.holder():
        yield "results", f"process {holder} runs here", "to follow it: bench status --watch"
    else:
        try:
            with store.lock():
                off = time.time() - (store.root / ".holder").stat().st_mtime
            yield "results", f"{store.root} can be written and locked; no run is under way", ""
            late = "set the clocks" if abs(off) > 5 else ""
            yield "clock", f"{time.strftime('%F %T %Z')}, the disk's is {off:.1f} s behind", late
        except StoreError as error:
            yield "results", str(error), "!give another folder with --results"
    aside, (whole, faulty) = store.set_aside_so_far(), store.all_records()
    yield "damage", f"{len(aside)} files were set aside", f"the last: {aside[-1]}" if aside else ""
    todo = "bench run makes them anew" if faulty else ""
    yield "records", f"{len(whole)}, and {faulty} of another version or damaged", todo


def _mlflow(store: Store) -> Finding:
    """Whether the store answers, and whether this MLflow knows its schema."""
    uri, path, spec = tracking_uri(store.root), store.root / "mlflow.db", find_spec("mlflow")
    shown = without_password(uri)
    try:
        if is_server(uri):
            with urlopen(f"{uri.rstrip('/')}/version", timeout=3) as answer:
                return "MLflow", f"{shown} answers: {answer.read(20).decode()}", ""
        if "MLFLOW_TRACKING_URI" in os.environ or not path.exists():
            return "MLflow", f"{shown}: not there yet, or not ours to ask", ""
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
            (schema,) = database.execute("select version_num from alembic_version").fetchone()
    except (OSError, ValueError, TypeError, sqlite3.Error) as error:
        return "MLflow", f"{shown}: {error}", "!mend or delete it; bench sync SUITE fills a new one"
    folder = Path(spec.origin or "").parent if spec else Path()
    known = any(folder.glob(f"store/db_migrations/versions/{schema}*"))
    todo = "" if known else f"!another MLflow than {version('mlflow')} made it: update that"
    return "MLflow", f"{shown}, schema {schema}", todo
