"""The results folder: content-hashed names, one writer at a time, and every file checked.

results/records/KEY.json   the truth: one file a finished or failed trial
results/bases|scores|paths shared work, by content hash; safe to delete, remade when needed
results/timings            how long networks take, once for equal shapes; likewise
results/tables             how long single layers take, for budgets of latency; likewise
results/oracle             true loss changes of single units, of fidelity suites
results/checkpoints        where a training stands; gone when its job is done
results/networks/KEY       the pruned network of a trial, where it was kept: bench.load reads it
results/sizes              MACs and widths of networks, by the code that builds them, for plans
results/images             decoded images, and the SHA-256 of image files
results/slurm              what worker jobs of Slurm have said, of the last run that had some
results/suites             suites as they were run last: what their names mean to reports
results/declared           what a suite's analysis rests on, from before its first trial
results/damaged            what did not hold to its SHA-256, and a log of it
results/mlflow.db          what the MLflow UI shows; rebuilt by `bench sync`
results/reports/SUITE      figures, tables, page; SUITE.json says what they were made of
results/.lock, .holder     held by the run that is working here
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from reports.records import Record, RecordError, parse_record

from ..errors import StoreError, fault
from .sealed import DAMAGED, LOG, read_checked, write_atomically


class Store:
    """All paths under one results folder, and its records.

    >>> import tempfile
    >>> from bench.store.sealed import read_json, write_json
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> file = store.path("paths", "abc", ".json")
    >>> write_json(file, {"budgets": {"0.5": [1, 2]}})
    >>> read_json(file)
    {'budgets': {'0.5': [1, 2]}}
    >>> _ = file.write_text(file.read_text().replace("2", "3"))
    >>> read_json(file) is None
    True
    >>> store.set_aside_so_far()[0][:54]
    'paths/abc.json: its content is not what its SHA-256 sa'
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"--results {root} is a file; give a folder")

    def report(self, suite: str) -> Path:
        """The folder of a suite's report."""
        return self.root / "reports" / suite

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; a second run on the same results is refused.

        Raises:
            StoreError: another run holds it, or it cannot be made.
        """
        lock = FileLock(self.root / ".lock", timeout=0)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            (self.root / ".holder").write_text(str(os.getpid()))
            for part in self.root.glob("*/.*.part"):  # what a killed run left half written
                if part.is_dir():
                    shutil.rmtree(part, ignore_errors=True)
                else:
                    part.unlink(missing_ok=True)
        except Timeout as error:
            holder = self.holder() or "unknown"
            raise StoreError(fault("lock", holder=holder, root=self.root)) from error
        except OSError as error:
            lock.release()
            raise StoreError(f"{self.root} cannot be written: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def holder(self) -> str:
        """Who holds the folder, or held it last; "" where nobody has."""
        with suppress(OSError, ValueError):
            return (self.root / ".holder").read_text()
        return ""

    def record_path(self, key: str) -> Path:
        """Where the record of that key lies."""
        return self.root / "records" / f"{key}.json"

    def write_record(self, record: Record) -> None:
        """Write a record under its key, sealed. Raises StoreError."""
        write_atomically(self.record_path(record.key), record.to_json())

    def record(self, key: str) -> Record | None:
        """The record of that key; None where there is none or it was damaged (set aside then)."""
        path = self.record_path(key)
        return read_checked(path, lambda: parse_record(path.read_bytes(), path.name, key))

    def all_records(self) -> tuple[list[Record], int]:
        """Every record, sorted by key, and how many files are none: damaged or old. None moves."""
        whole, faulty = [], 0
        for path in sorted(self.root.glob("records/*.json")):
            try:
                whole.append(parse_record(path.read_bytes(), path.name, path.stem))
            except (OSError, RecordError):
                faulty += 1
        return whole, faulty

    def set_aside_so_far(self) -> list[str]:
        """A line for everything under `damaged/`, oldest first."""
        try:
            return (self.root / DAMAGED / LOG).read_text(errors="replace").splitlines()
        except OSError:
            return []

    def network(self, key: str) -> Path:
        """The folder that the network of a trial is kept in."""
        return self.root / "networks" / key

    def path(self, kind: str, key: str, suffix: str) -> Path:
        """Where shared work of a kind lies."""
        return self.root / kind / f"{key}{suffix}"
