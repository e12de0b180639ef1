"""Files that are written whole and with their SHA-256, and read only if it holds.

What does not hold is set aside, in `damaged/` beside the folder that it lay in, with a line in the
log there; whoever wants it makes it anew.
"""

import errno
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from reports.records import RecordError
from reports.seal import Unsealed, check_file, seal, seal_file, seal_json, unseal

from ..errors import StoreError, fault

T = TypeVar("T")
DAMAGED, LOG = "damaged", "log.txt"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or none: temporary file, fsync, rename. Raises StoreError."""
    with _put_in_place(path) as whole, whole.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _put_in_place(path: Path) -> Iterator[Path]:
    """Where to write a file of that name, which then takes its place."""
    try:
        with part_of(path.parent) as folder:
            whole = folder / path.name
            yield whole
            whole.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def part_of(folder: Path) -> Iterator[Path]:
    """A folder in that one, made if need be, to write in first.

    It goes afterwards; what a killed process leaves of it, with the next `Store.lock`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=".part") as part:
        yield Path(part)


def cannot_write(path: Path, error: OSError) -> StoreError:
    """The one thing that is said of every write that fails."""
    return StoreError(
        f"{path} cannot be written: {error.strerror}. Finished records are safe; make room or "
        "choose another folder with --results, and run the same command again"
    )


def file_sha256(file: Path) -> str:
    """SHA-256 of a file's content, in hex; raises OSError for what is none, as a pipe."""
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(file))
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its path there."""
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }


def sealed_name(path: Path) -> str:
    """What a file is sealed under, so that none passes for another: its folder's name and its own.

    >>> sealed_name(Path("results/bases/abc.pt"))
    'bases/abc.pt'
    """
    return f"{path.parent.name}/{path.name}"


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file with its SHA-256, whole or not at all. Raises StoreError."""
    write_atomically(path, seal(content, sealed_name(path)))


def write_large(path: Path, fill: Callable[[Path], None], name: str = "") -> None:
    """Let `fill` write a large file of that name elsewhere, then seal it and put it in its place.

    `name` is what it is sealed under; default: its own. Of two processes that write it at once, one
    whole file is left. Raises StoreError.
    """
    with _put_in_place(path) as whole:
        fill(whole)
        seal_file(whole, name or sealed_name(path))


def read_sealed(path: Path) -> bytes | None:
    """The content that was written; None if there is none, or it was damaged (set aside then)."""
    return read_checked(path, lambda: unseal(path.read_bytes(), sealed_name(path)))


def read_checked(path: Path, read: Callable[[], T]) -> T | None:
    """What `read` makes of a file; None where there is none, or it is damaged and now set aside.
    Raises StoreError where the file is there and cannot be read."""
    before = None
    try:
        if path.is_symlink() and not path.exists():
            raise Unsealed("it is a link to nowhere")
        before = path.stat()
        if not path.is_file():  # a pipe would be waited for
            raise Unsealed("it is no file")
        return read()
    except FileNotFoundError:
        return None
    except (Unsealed, RecordError) as fault:
        if before is not None and path.exists() and not os.path.samestat(before, path.stat()):
            return read_checked(path, read)  # written anew meanwhile
        set_aside(path, str(fault).removeprefix(f"{path.name}: "))
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object that is not empty, sealed. Raises StoreError."""
    text = json.dumps(content, indent=1, sort_keys=True)
    write_atomically(path, seal_json(text, sealed_name(path)))


def read_json(path: Path) -> Any:
    """What `write_json` wrote; None where there is none, or it was damaged (set aside then)."""
    content = read_sealed(path)
    return None if content is None else json.loads(content)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write numpy arrays by name, without pickle, sealed. Raises StoreError."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_sealed(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, Any] | None:
    """What `write_arrays` wrote; None where there is none, or it was damaged (set aside then)."""
    import numpy as np

    if (content := read_sealed(path)) is None:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return dict(stored)


def wanted(read: Callable[[Path], T | None], path: Path) -> T:
    """What is read of work that a job stands on; StoreError if it is gone or was damaged."""
    if (content := read(path)) is None:
        raise StoreError(fault("gone", path=path))
    return content


def holds(path: Path) -> bool:
    """Whether a large sealed file is there and what was written; set aside where it is not."""

    def check() -> bool:
        check_file(path, sealed_name(path))
        return True

    return read_checked(path, check) or False


def set_aside(path: Path, why: str, root: Path | None = None) -> None:
    """Move a file that cannot be trusted to `damaged/` in `root`, and say so in the log there.

    Without `root`, the results folder is taken to be the one above the file's own.

    Raises StoreError where it cannot be moved.
    """
    folder = (root or path.parents[1]) / DAMAGED
    name = f"{path.parent.name}-{path.name}"
    try:
        folder.mkdir(exist_ok=True)
        names = (f"{name}.{number}" if number else name for number in count())
        place = next(folder / one for one in names if not (folder / one).exists())
        path.replace(place)
        with (folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"{sealed_name(path)}: {why}; set aside as {DAMAGED}/{place.name}\n")
    except FileNotFoundError:
        return  # another process has set it aside
    except OSError as error:
        raise StoreError(fault("stays", path=path, why=why, error=error)) from error
