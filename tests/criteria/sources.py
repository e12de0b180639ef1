"""Plugins that tests write and load, and forget again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from criteria import criteria, registry, source


def forget() -> None:
    """A process sees one version of a file; a test may see two."""
    for one in vars(source).values():
        if hasattr(one, "cache_clear"):
            one.cache_clear()


@contextmanager
def forgetting() -> Iterator[None]:
    """What is registered, imported and read inside the block is forgotten after it."""
    criteria()
    entries, path, modules = dict(registry._entries), list(sys.path), set(sys.modules)
    forget()
    yield
    forget()
    registry._entries.clear()
    registry._entries.update(entries)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
