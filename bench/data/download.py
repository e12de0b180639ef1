"""Files from the web: resumed where they stopped, checked, and whole or not there at all.

`torch.hub.download_url_to_file` and pooch check and rename as well, but begin a broken download
anew and know no other process that fetches the same file.
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

from ..errors import BenchError

CHUNK = 1 << 20  # bytes
TIMEOUT_S = 60


class DownloadError(BenchError):
    """A file that cannot be fetched, or is not what it should be."""


def download(url: str, file: Path, sha256: str) -> None:
    """Fetch a URL to a file; nothing to do where the file is there.

    What an interrupted download has left (`FILE.part`) is gone on with if the server can, and
    begun anew otherwise. Several processes may ask at once: one of them fetches.

    Raises:
        DownloadError: no network, no such file, not enough room, or another hash.
    """
    part = file.with_name(file.name + ".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(file.name + ".lock")):
            if file.exists():
                return
            resumed = part.exists()
            _fetch(url, part)
            if resumed and file_sha256(part) != sha256:  # of two versions of the file, say
                part.unlink()
                _fetch(url, part)
            actual = file_sha256(part)
            if actual != sha256:
                part.unlink()
                raise DownloadError(
                    f"{url} has SHA-256 {actual}, not {sha256} as asked; it was deleted. If the "
                    "file was replaced on purpose, give the new hash"
                )
            part.replace(file)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url}: the server says {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{url} could not be fetched ({reason}); on a machine without network, put the file "
            f"at {file}"
        ) from error


def file_sha256(file: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def stated_bytes(url: str) -> int | None:
    """The size of a URL's file as its server states it; None where it cannot or will not."""
    try:
        ask = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(ask, timeout=TIMEOUT_S) as answer:
            length = answer.headers.get("Content-Length")
    except (OSError, http.client.HTTPException):
        return None
    return int(length) if length else None


def _fetch(url: str, part: Path) -> None:
    """Bring a partial file to its end."""
    there = part.stat().st_size if part.exists() else 0
    ask = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        with urllib.request.urlopen(ask, timeout=TIMEOUT_S) as answer:
            goes_on = answer.status == http.client.PARTIAL_CONTENT
            length = answer.headers.get("Content-Length")
            got = 0
            with part.open("ab" if goes_on else "wb") as file:
                while piece := answer.read(CHUNK):
                    file.write(piece)
                    got += len(piece)
    except urllib.error.HTTPError as error:
        if there and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # it is whole, or of another file: its hash will tell
        raise
    if length and got < int(length):
        raise OSError(f"the connection ended after {got} of {length} bytes; try again")
