"""The results folder: content-hashed names, one writer at a time, and every file checked.

docs/suites.md lists what lies where.
"""

import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from reports.records import Record, RecordError, parse_record
from reports.seal import Unsealed

from ..errors import StoreError, fault
from .pack import check_pack, keys_in, read_pack, salvage, write_pack
from .sealed import DAMAGED, LOG, read_checked, sealed_name, set_aside, write_atomically

T = TypeVar("T")


class Store:
    """All paths under one results folder, and its records.

    >>> from bench.store.sealed import read_json, write_json
    >>> file = Store(Path("results")).path("paths", "abc", ".json")
    >>> write_json(file, {"budgets": {"0.5": [1, 2]}})
    >>> read_json(file)
    {'budgets': {'0.5': [1, 2]}}
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        if self.root.exists() and not self.root.is_dir():
            raise StoreError(fault("only_read", given=f"--results {root}", instead="a folder"))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; StoreError where another run holds it, or it cannot be written."""
        lock = FileLock(self.root / ".lock", timeout=0.2)  # `holder` has it for a moment
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            (self.root / ".holder").write_text(f"{os.getpid()} on {platform.node()}")
            parts = (self.root.glob(f"{one}.*.part") for one in ("", "*/", "*/*/"))
            for part in chain.from_iterable(parts):  # what a killed run left half written
                if part.is_dir():
                    shutil.rmtree(part, ignore_errors=True)
                else:
                    part.unlink(missing_ok=True)
        except Timeout as error:
            raise StoreError(fault("lock", holder=self.last_holder(), root=self.root)) from error
        except OSError as error:
            lock.release()
            raise StoreError(f"{self.root} cannot be written: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def holder(self) -> str | None:
        """Who works on this folder now, as `PROCESS on HOST`; None where nobody does.

        Who may not write here cannot tell, and is told who worked here last.
        """
        try:
            if (self.root / ".lock").exists():
                FileLock(self.root / ".lock", timeout=0).acquire().lock.release()
        except (Timeout, OSError):
            return self.last_holder()
        return None

    def last_holder(self) -> str:
        """Who works here or did last, as `holder` says it; `unknown` where nobody is known."""
        with suppress(OSError, ValueError):
            return (self.root / ".holder").read_text() or "unknown"
        return "unknown"

    def record_path(self, key: str) -> Path:
        """Where the record of that key lies."""
        return self.root / "records" / f"{key}.json"

    def write_record(self, record: Record) -> None:
        """Write a record under its key, sealed. Raises StoreError."""
        write_atomically(self.record_path(record.key), record.to_json())

    def record(self, key: str) -> Record | None:
        """The record of that key; None where there is none or it was damaged (set aside then)."""
        return self.records([key]).get(key)

    def records(self, keys: Iterable[str]) -> dict[str, Record]:
        """The records of these keys, as far as there are any; what was damaged is set aside."""
        wanted, found = set(keys), dict[str, Record]()
        while True:
            packs = self._packs()
            for _, record in self.rows(wanted - found.keys()):
                found.setdefault(record.key, record)
            if packs == self._packs():  # else records may have moved from file to pack, or back
                return found

    def record_keys(self) -> set[str]:
        """The keys of all records, which are not looked at."""
        return self._files().union(*(self._in_pack(one, keys_in) for one in self._packs()))

    def all_records(self) -> tuple[list[Record], int]:
        """Every record, sorted by key, and how many are none: damaged or old. None moves."""
        whole, faulty = dict[str, Record](), 0
        files = ((key, self.record_path(key)) for key in self._files())
        packed = chain.from_iterable(map(salvage, self._packs()))
        for key, at in chain[tuple[str, Path | bytes]](files, packed):
            try:
                whole.setdefault(key, _row(key, at)[1])
            except (OSError, RecordError):
                faulty += 1
        return [whole[key] for key in sorted(whole)], faulty

    def pack(self) -> Path:
        """Put all records into one file, in place of those that they lie in; returns its path.

        Only for who holds the folder. Raises StoreError; then they are where they were.
        """
        files, packs = self._files(), self._packs()
        if packs and not files and len(packs) == 1:
            return packs[0]
        rows = ((record.key, content) for content, record in self.rows(self.record_keys()))
        new = write_pack(self.root / "packs", rows)
        for old in (*map(self.record_path, files), *packs):
            old.unlink(missing_ok=True)
        return new

    def unpack(self) -> Path:
        """Give packed records their own files again, byte for byte; else as `pack`."""
        packs, packed = self._packs(), self.record_keys() - self._files()
        for content, record in self.rows(packed):
            if not (path := self.record_path(record.key)).exists():
                write_atomically(path, content)
        for old in packs:
            old.unlink(missing_ok=True)
        return self.root / "records"

    def _files(self) -> set[str]:
        """The keys of records that have a file of their own."""
        return {one.stem for one in self.root.glob("records/*.json")}

    def _packs(self) -> list[Path]:
        return sorted(one for one in self.root.glob("packs/*.sqlite") if one.is_file())

    def rows(self, keys: set[str]) -> Iterator[tuple[bytes, Record]]:
        """File and record of these keys; where a key has several, first the one that counts."""
        for key in self._files() & keys if len(keys) > 1 else keys:
            path = self.record_path(key)
            if row := read_checked(path, partial(_row, key, path)):
                yield row
        for path in self._packs():
            yield from self._in_pack(path, lambda one: (_row(*at) for at in read_pack(one, keys)))

    def _in_pack(self, path: Path, read: Callable[[Path], Iterable[T]]) -> Iterator[T]:
        """What is read of a pack; of a damaged one, of what holds of it, which is packed anew."""
        try:
            check_pack(path, path.stat().st_mtime_ns)
            yield from read(path)
        except FileNotFoundError:
            return  # packed with others, or unpacked
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        except (Unsealed, RecordError) as wrong:
            new, lost = write_pack(path.parent, _whole(path)), ""
            with suppress(Unsealed):
                lost = ", ".join(sorted(key[:12] for key in keys_in(path) - keys_in(new)))
            kept = f"what holds of it is in {sealed_name(new)}"
            set_aside(path, f"{wrong}; {kept}; lost: {lost or 'nobody knows what'}")
            yield from self._in_pack(new, read)

    def set_aside_so_far(self) -> list[str]:
        """A line for everything under `damaged/`, oldest first."""
        try:
            return (self.root / DAMAGED / LOG).read_text(errors="replace").splitlines()
        except OSError:
            return []

    def path(self, kind: str, key: str, suffix: str = "") -> Path:
        """Where work of a kind lies; without a suffix, in a folder."""
        return self.root / kind / f"{key}{suffix}"


def _row(key: str, at: Path | bytes) -> tuple[bytes, Record]:
    """A record with its file. Raises RecordError."""
    content = at if isinstance(at, bytes) else at.read_bytes()
    return content, parse_record(content, f"{key}.json", key)


def _whole(pack: Path) -> Iterator[tuple[str, bytes]]:
    for key, content in salvage(pack):
        with suppress(RecordError):
            yield _row(key, content)[1].key, content
