"""The results folder: atomic writes, content-hashed names, one writer at a time.

results/records/KEY.json   the truth: one file a finished or failed trial
results/bases|scores|paths shared work, by content hash; safe to delete, remade when needed
results/checkpoints        where a training stands; gone when its job is done
results/cache              decoded images
results/mlflow.db          what the MLflow UI shows; rebuilt by `bench sync`
results/reports/SUITE      figures, tables, page
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from reports.records import Record, RecordError, read_record

from ..errors import StoreError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or none: temporary file, fsync, rename.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}. Finished records are safe; make room or "
            "choose another folder with --results, and run the same command again"
        ) from error


class Store:
    """All paths under one results folder, and reading and writing them."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(f"--results {root} is a file; give a folder")

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def report(self, suite: str) -> Path:
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
            self._sweep()
        except Timeout as error:
            raise StoreError(
                f"another run (process {self._holder()}) is working on {self.root}; wait for it, "
                "or give this one another folder with --results"
            ) from error
        except OSError as error:
            lock.release()
            raise StoreError(f"{self.root} cannot be written: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def _holder(self) -> str:
        try:
            return (self.root / ".holder").read_text() or "unknown"
        except OSError:
            return "unknown"

    def _sweep(self) -> None:
        """Remove what a killed run left half written."""
        for part in self.root.glob("*/.*.part"):
            part.unlink(missing_ok=True)

    def record_path(self, key: str) -> Path:
        return self.root / "records" / f"{key}.json"

    def write_record(self, record: Record) -> None:
        write_atomically(self.record_path(record.key), record.to_json().encode())

    def record(self, key: str) -> Record | None:
        """The record of that key; None where there is none or it is torn (it is then run again)."""
        path = self.record_path(key)
        if not path.exists():
            return None
        try:
            return read_record(path)
        except RecordError:
            return None

    def all_records(self) -> tuple[list[Record], int]:
        """Every record, sorted by key, and how many files are none: torn, edited or old."""
        found = [self.record(path.stem) for path in sorted(self.root.glob("records/*.json"))]
        whole = [one for one in found if one is not None]
        return whole, len(found) - len(whole)

    def path(self, kind: str, key: str, suffix: str) -> Path:
        return self.root / kind / f"{key}{suffix}"

    def write_json(self, path: Path, content: Any) -> None:
        write_atomically(path, json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")

    def read_json(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read ({error}); delete it and run again") from error

    def write_arrays(self, path: Path, arrays: Mapping[str, Any]) -> None:
        """Numpy arrays by name, without pickle."""
        import numpy as np

        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(path, buffer.getvalue())
