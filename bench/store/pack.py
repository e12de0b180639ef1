"""Many records in one file: a table of SQLite that holds each record's file, byte for byte.

A pack is written whole and never changed, and bears a name of its own, so that those of several
folders may lie in one. Each row has the seal of the file that it was.
"""

import json
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from reports.seal import Unsealed

from ..errors import StoreError
from .sealed import put_in_place

_ROWS = "SELECT CAST(key AS TEXT), CAST(file AS BLOB) FROM records"  # whatever damage made of them
_LEAST = 256  # bytes that no record is below


def write_pack(folder: Path, rows: Iterable[tuple[str, bytes]]) -> Path:
    """Write rows of keys and files as a new pack, whole or not at all; returns its path.

    Of rows with one key the first counts. Raises StoreError.
    """
    path = folder / f"{secrets.token_hex(8)}.sqlite"
    try:
        with put_in_place(path) as whole, closing(sqlite3.connect(whole)) as pack:
            pack.execute("CREATE TABLE records (key TEXT PRIMARY KEY, file BLOB NOT NULL)")
            pack.executemany("INSERT OR IGNORE INTO records VALUES (?, ?)", rows)
            pack.commit()  # which has it on the disk before it takes its name
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be written: {error}. All records are as before") from error
    return path


def keys_in(path: Path) -> set[str]:
    """The keys of all rows. Raises Unsealed where it is no whole pack."""
    with _opened(path) as pack:
        return {key for (key,) in pack.execute("SELECT CAST(key AS TEXT) FROM records")}


def read_pack(path: Path, keys: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Key and file of the rows with these keys. Raises Unsealed where it is no whole pack."""
    with _opened(path) as pack:
        among = f"{_ROWS} WHERE key IN (SELECT value FROM json_each(?))"
        yield from pack.execute(among, [json.dumps([*keys])])


def salvage(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every row that can still be read of a damaged pack."""
    with suppress(Unsealed), _opened(path) as pack:
        for number in range(1, path.stat().st_size // _LEAST):
            with suppress(sqlite3.Error):
                yield from pack.execute(f"{_ROWS} WHERE rowid = ?", [number])


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Without locks, which a file that nobody changes does without on any disk."""
    path.open("rb").close()  # what cannot be read is no damage
    try:
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as pack:
            yield pack
    except sqlite3.Error as error:
        raise Unsealed(f"it is no whole pack ({error})") from error
