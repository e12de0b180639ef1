"""Users' own criteria and phases, from a file of theirs."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from . import phases, registry
from .catalog import Catalog
from .errors import UnknownCriterion


def load_plugin(path: Path) -> None:
    """Import a user's file, so that the criteria and phases it registers are known.

    What lies beside it can be imported by it, unless something installed has the same name.

    Raises:
        UnknownCriterion: there is no such file, or it registers nothing.

    Example:
        >>> load_plugin(Path("missing.py"))
        Traceback (most recent call last):
        criteria.errors.UnknownCriterion: plugin missing.py: there is no such file
    """
    catalogs: list[Catalog[Any]] = [registry.CATALOG, *phases.CATALOGS.values()]
    for catalog in catalogs:
        catalog.load()
    if not path.is_file():
        raise UnknownCriterion(f"plugin {path}: there is no such file")
    before = [set(catalog.by_name) for catalog in catalogs]
    _import(path)
    entries = [entry for catalog in catalogs for entry in catalog.by_name.values()]
    new = before != [set(catalog.by_name) for catalog in catalogs]
    if not new and all(entry.file != path.resolve() for entry in entries):
        raise UnknownCriterion(
            f"plugin {path}: it registers no criterion (criteria.register), and no preparation, "
            "procedure or recovery (criteria.phases.register_phase)"
        )


def _import(path: Path) -> None:
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that helpers shadow nothing installed
    name = "pruning_bench_plugin_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UnknownCriterion(f"plugin {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where `inspect` looks for a class's file
    spec.loader.exec_module(module)
