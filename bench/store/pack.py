"""Many records in one file: a table of SQLite that holds each record's file, byte for byte.

A pack is written whole and never changed, and bears a name of its own, so that those of several
folders may lie in one. It is sealed as a whole, and each row has the seal of the file that it was.
"""

import json
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

from reports.seal import Unsealed, check_file

from ..errors import StoreError
from .sealed import sealed_name, write_large

_KEYS = "SELECT CAST(key AS TEXT) FROM records"  # whatever damage made of them
_ROWS = (
    "SELECT CAST(key AS TEXT), CAST(file AS BLOB) FROM records "
    "WHERE key IN (SELECT value FROM json_each(?))"
)


def write_pack(folder: Path, rows: Iterable[tuple[str, bytes]]) -> Path:
    """Write rows of keys and files as a new pack, whole or not at all; returns its path. Of rows
    with one key the first counts. Raises StoreError."""

    def fill(whole: Path) -> None:
        with closing(sqlite3.connect(whole)) as pack:
            pack.execute("CREATE TABLE records (key TEXT PRIMARY KEY, file BLOB NOT NULL)")
            pack.executemany("INSERT OR IGNORE INTO records VALUES (?, ?)", rows)
            pack.commit()  # which has it on the disk before it takes its name

    path = folder / f"{secrets.token_hex(8)}.sqlite"
    try:
        write_large(path, fill)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be written: {error}. All records are as before") from error
    return path


@cache
def check_pack(path: Path, changed_ns: int) -> None:
    """Look once whether a pack, last changed then, is what was written. Raises Unsealed."""
    check_file(path, sealed_name(path))


def keys_in(path: Path) -> set[str]:
    """The keys of all rows; what a damaged one has in their place is none. Raises Unsealed."""
    return {key for (key,) in _asked(path, _KEYS) if isinstance(key, str)}


def read_pack(path: Path, keys: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Key and file of the rows with these keys. Raises Unsealed."""
    rows = _asked(path, _ROWS, json.dumps([*keys]))
    yield from ((key, file) for key, file in rows if isinstance(file, bytes))


def salvage(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every row that can be read, one by one, whatever the others are."""
    with suppress(Unsealed):
        for key in keys_in(path):
            with suppress(Unsealed):
                yield from read_pack(path, [key])


def _asked(path: Path, query: str, *values: str) -> Iterator[Any]:
    """Without locks, which a file that nobody changes does without on any disk."""
    path.open("rb").close()  # what cannot be read is no damage
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as pack:
            yield from pack.execute(query, values)
    except (sqlite3.Error, UnicodeError) as error:
        raise Unsealed(f"it is no whole pack ({error})") from error
