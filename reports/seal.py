"""A seal at the end of a file: the SHA-256 of its name and of what stands before the seal.

A sealed file stays what it is for every other reader: JSON has one more member, and what reads
zip archives (`.pt`, `.npz`) or arrays (`.npy`) does not look behind their end.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

_SEAL = re.compile(rb'(?:\nsealed ([0-9a-f]{64})\n|,\n "seal": "([0-9a-f]{64})"\n\}\n)\Z')
LENGTH = 96  # bytes at a file's end that hold any seal
_BEHIND = len(b"\nsealed \n") + 64  # bytes of the seal of what is no JSON
_BLOCK = 1 << 20


class Unsealed(ValueError):
    """Content without a seal, or other content than was sealed; says which of them."""


def seal(content: bytes, name: str = "") -> bytes:
    """The content with its seal behind it."""
    return content + _behind(_digest(name, content))


def seal_json(text: str, name: str = "") -> bytes:
    """An object in JSON, printed over several lines, with its seal as the last member."""
    opened = text.rstrip().removesuffix("}").rstrip().encode()
    return opened + f',\n "seal": "{_digest(name, opened).hexdigest()}"\n}}\n'.encode()


def unseal(content: bytes, name: str = "") -> bytes:
    """What was sealed under this name; of JSON, the object without its seal. Raises Unsealed where
    it bears no seal, or is not what was sealed."""
    found = _SEAL.search(content, max(0, len(content) - LENGTH))
    inside = content[: found.start() if found else 0]
    sealed = _held(found, _digest(name, inside), len(content))
    return inside if sealed[1] else inside + b"\n}\n"


def seal_file(path: Path, name: str) -> None:
    """Put the seal behind a large file that has just been written."""
    with path.open("r+b") as file:
        file.write(_behind(hashlib.file_digest(file, lambda: _digest(name))))


def check_file(path: Path, name: str) -> None:
    """Hold a large file against its seal without having it in memory. Raises Unsealed as `unseal`,
    and OSError where it cannot be read."""
    digest, left = _digest(name), path.stat().st_size - _BEHIND
    with path.open("rb") as file:
        while block := file.read(min(max(left, 0), _BLOCK)):
            digest.update(block)
            left -= len(block)
        _held(_SEAL.fullmatch(file.read(_BEHIND)), digest, left + _BEHIND)


def _digest(name: str, content: bytes = b"") -> Any:
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(content)
    return digest


def _behind(digest: Any) -> bytes:
    return f"\nsealed {digest.hexdigest()}\n".encode()


def _held(found: re.Match[bytes] | None, digest: Any, size: int) -> re.Match[bytes]:
    """The seal that was found behind content of this digest."""
    if found is None:
        raise Unsealed("it ends before its SHA-256" if size else "it is empty")
    if digest.hexdigest().encode() != (found[1] or found[2]):
        raise Unsealed("its content is not what its SHA-256 says")
    return found
