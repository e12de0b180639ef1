"""What users register, from a file of theirs."""

import hashlib
import importlib.util
import sys
from pathlib import Path

from .catalog import CATALOGS, Registered
from .errors import UnknownCriterion, fault


def load_plugin(path: Path) -> None:
    """Import a user's file, so that what it registers is known.

    What lies beside it can be imported by it, unless something installed has the same name.

    Raises UnknownCriterion: there is no such file, or it registers nothing.

    Example:
        >>> load_plugin(Path("missing.py"))
        Traceback (most recent call last):
        criteria.errors.UnknownCriterion: plugin missing.py: there is no such file
    """
    for catalog in CATALOGS:
        catalog.load()
    if not path.is_file():
        raise UnknownCriterion(f"plugin {path}: there is no such file")
    before = set(_registered())
    _import(path)
    now = _registered()
    if before == set(now) and all(entry.file != path.resolve() for entry in now.values()):
        raise UnknownCriterion(fault("registers_nothing", path=path))


def _registered() -> dict[tuple[str, str], Registered]:
    """All that is registered now, by kind and name."""
    return {
        (catalog.kind, name): entry
        for catalog in CATALOGS
        for name, entry in catalog.by_name.items()
    }


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
