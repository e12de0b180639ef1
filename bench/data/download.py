"""Files from the web: checked, and whole or not there at all."""

import http.client
import socket
import urllib.error
from pathlib import Path

from filelock import FileLock

from criteria.lazy import torch

from ..errors import BenchError, fault

TIMEOUT_S = 60  # without a byte


class DownloadError(BenchError):
    """A file that cannot be fetched, or is not what it should be."""


def download(url: str, file: Path, sha256: str) -> None:
    """Fetch a URL to a file; nothing to do where the file is there.

    Several processes may ask at once: one of them fetches.

    Raises:
        DownloadError: no network, no such file, not enough room, or another hash.
    """
    usual = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # torch.hub waits for ever
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(file.name + ".lock")):
            if not file.exists():
                torch.hub.download_url_to_file(url, str(file), sha256, progress=False)
    except RuntimeError as error:
        raise DownloadError(fault("wrong_hash", url=url, error=error)) from error
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url}: the server says {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(fault("unreachable", url=url, reason=reason, file=file)) from error
    finally:
        socket.setdefaulttimeout(usual)
