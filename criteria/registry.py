"""Criteria by name, with what a reader must know about each."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import torch

from .criterion import Criterion
from .errors import NotApplicable, OptionError, UnknownCriterion
from .evidence.needs import Need
from .network.member import Group
from .only import Unit, without_effect
from .options import NoOptions, checked
from .parts import parts_of
from .selector import Selector
from .source import PACKAGE, closure, hash_of

ENTRY_POINTS = "pruning_bench.criteria"

C = TypeVar("C", bound=type[Criterion])


@dataclass(frozen=True)
class Entry:
    """A registered criterion.

    Attributes:
        name: as suites write it.
        aliases: other names it answers to.
        cite: the source of its formula.
        faithful: how close this is to the paper and to the authors' code.
        structured: scores channels.
        unstructured: scores single weights.
        selector: the class where it picks sets instead of scores, else None.
        type: the class.
    """

    name: str
    aliases: tuple[str, ...]
    cite: str
    faithful: str
    structured: bool
    unstructured: bool
    selector: type[Selector] | None
    type: type[Criterion]

    @property
    def needs(self) -> Need:
        return self.type.needs

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.type) or "").split("\n\n")[0].replace("\n", " ")


_entries: dict[str, Entry] = {}


def register(
    name: str,
    *,
    cite: str,
    faithful: str,
    needs: Need = Need.WEIGHTS,
    aliases: Sequence[str] = (),
    structured: bool = True,
    unstructured: bool = False,
) -> Callable[[C], C]:
    """Class decorator that makes a criterion known under its names.

    Raises:
        ValueError: another criterion has one of the names.
    """

    def decorate(criterion: C) -> C:
        criterion.name = name
        criterion.needs = needs
        selector = criterion if issubclass(criterion, Selector) else None
        entry = Entry(
            name, tuple(aliases), cite, faithful, structured, unstructured, selector, criterion
        )
        for one in (name, *aliases):
            other = _entries.get(one)
            if other is not None and inspect.getfile(other.type) != inspect.getfile(criterion):
                raise ValueError(
                    f"the name {one!r} is taken by {inspect.getfile(other.type)}; choose another"
                )
        _entries.update(dict.fromkeys((name, *aliases), entry))
        return criterion

    return decorate


@cache
def _load_all() -> None:
    """Import every criterion of this package and of installed plugins."""
    from . import saliency, selectors

    for package in (saliency, selectors):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    for point in entry_points(group=ENTRY_POINTS):
        point.load()


def load_plugin(path: Path) -> None:
    """Import a user's file, so that the criteria it registers are known.

    Raises:
        UnknownCriterion: there is no such file, or it registers nothing.
    """
    from .phases import registered_in

    _load_all()
    if not path.is_file():
        raise UnknownCriterion(f"plugin {path}: there is no such file")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # its helpers; last, so that they shadow nothing installed
    before = set(_entries)
    name = "pruning_bench_plugin_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UnknownCriterion(f"plugin {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where `inspect` looks for a class's file
    spec.loader.exec_module(module)
    file = str(path.resolve())
    mine = any(
        Path(inspect.getfile(entry.type)).resolve() == Path(file) for entry in _entries.values()
    )
    if set(_entries) == before and not mine and not registered_in(path):
        raise UnknownCriterion(
            f"plugin {path}: it registers no criterion (criteria.register), and no preparation, "
            "procedure or recovery (criteria.phases.register_phase)"
        )


def criteria() -> list[Entry]:
    """All registered criteria, by name."""
    _load_all()
    return sorted(set(_entries.values()), key=lambda entry: entry.name)


def find(name: str) -> Entry:
    """The criterion of that name or alias.

    Raises:
        UnknownCriterion: with near matches and the list.
    """
    _load_all()
    if name in _entries:
        return _entries[name]
    near = difflib.get_close_matches(name, _entries, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    known = ", ".join(entry.name for entry in criteria())
    raise UnknownCriterion(f"there is no criterion {name!r}.{hint} There are: {known}")


def resolve_options(name: str, options: Mapping[str, Any]) -> NoOptions:
    """Options as the criterion understands them, defaults filled in.

    Raises:
        OptionError: an unknown option or a value of the wrong kind; says which are allowed.
    """
    entry = find(name)
    return checked(entry.name, entry.type.options_type, options)


def require(name: str, options: Mapping[str, Any], unit: Unit) -> None:
    """Refuse a criterion that, or a part of which, does not score these units as it is told to.

    Raises:
        NotApplicable: it does not score them; names those that do.
        OptionError: an option that would be ignored.
    """

    def fits(entry: Entry) -> bool:
        return entry.structured if unit == "channels" else entry.unstructured

    entry = find(name)
    if not fits(entry):
        able = ", ".join(one.name for one in criteria() if fits(one))
        raise NotApplicable(f"{entry.name} does not score {unit}; these do: {able}")
    resolved = resolve_options(name, options)
    for option, why in without_effect(resolved, unit):
        given = f"option {option!r} = {getattr(resolved, option)!r}"
        raise OptionError(f"{entry.name}: {given} would be ignored where {unit} are pruned: {why}")
    for part in parts_of(resolved):
        require(part.criterion, part.options, unit)


def scores_weights(name: str, options: Mapping[str, Any]) -> bool:
    """Whether the criterion, and all that it is made of, can score single weights."""
    try:
        require(name, options, "single weights")
    except NotApplicable:
        return False
    return True


def create(
    name: str,
    groups: Sequence[Group],
    options: Mapping[str, Any],
    generator: torch.Generator,
) -> Criterion:
    """A fresh criterion for these groups.

    Raises:
        UnknownCriterion, OptionError: as `find` and `resolve_options`.
    """
    return find(name).type(groups, resolve_options(name, options), generator)


def source_hash(name: str, options: Mapping[str, Any]) -> str:
    """SHA-256 of the code that decides a criterion's scores; comments and layout do not count."""
    parts = [
        source_hash(part.criterion, part.options)
        for part in parts_of(resolve_options(name, options))
    ]
    return hash_of(source_files(name), *parts)


def source_files(name: str) -> set[Path]:
    """The criterion's own files, and those of this package that turn evidence into its scores."""
    files = [PACKAGE / "gather.py", PACKAGE / "network" / "groups.py"]
    files += [
        Path(inspect.getfile(one))
        for one in find(name).type.__mro__
        if issubclass(one, Criterion) and one is not Criterion
    ]
    return closure(files)
