"""The code behind a result: files, what they import of this package, and the hash of it all."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# They name things and word faults; they decide no result.
_ASIDE = ("registry.py", "phases.py", "errors.py")


def hash_of(files: Iterable[Path], *more: str) -> str:
    """SHA-256 of the files' code, comments and layout aside, and of what else is given."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda one: one.name):
        digest.update(_code_digest(file))
    for one in more:
        digest.update(one.encode())
    return digest.hexdigest()


def closure(files: Iterable[Path]) -> set[Path]:
    """These files and all modules that they import relatively, however indirectly."""
    left, found = list(files), set()
    while left:
        file = left.pop()
        if file not in found:
            found.add(file)
            left += _imported(file)
    return found


@cache
def _imported(file: Path) -> list[Path]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level and node.module:
            folder = file.parents[node.level - 1]
            found.append(folder.joinpath(*node.module.split(".")).with_suffix(".py"))
    return [one for one in found if one.is_file() and one.name not in _ASIDE]


@cache
def _code_digest(file: Path) -> bytes:
    return hashlib.sha256(ast.dump(ast.parse(file.read_text())).encode()).digest()
