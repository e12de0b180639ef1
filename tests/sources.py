"""Plugins that tests write and load, and forget again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from criteria import registry, source
from criteria.catalog import Catalog
from criteria.phases import PHASES


def forget() -> None:
    """A process sees one version of a file; a test may see two."""
    for one in vars(source).values():
        if hasattr(one, "cache_clear"):
            one.cache_clear()


@contextmanager
def unregistering() -> Iterator[None]:
    """What is registered inside the block is unknown after it."""
    catalogs: list[Catalog[Any]] = [registry.CATALOG, *PHASES.values()]
    for catalog in catalogs:
        catalog.load()
    known = [dict(catalog.by_name) for catalog in catalogs]
    yield
    for catalog, before in zip(catalogs, known, strict=True):
        catalog.by_name = before


@contextmanager
def forgetting() -> Iterator[None]:
    """What is registered, imported and read inside the block is forgotten after it."""
    for catalog in [registry.CATALOG, *PHASES.values()]:
        catalog.load()
    path, modules = list(sys.path), set(sys.modules)
    forget()
    with unregistering():
        yield
    forget()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
