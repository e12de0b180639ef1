"""Preparations, procedures and recoveries by name: the phases of a method that train."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from .errors import UnknownPhase
from .options import NoOptions, checked
from .preparations.preparation import Preparation
from .procedures.procedure import Procedure
from .recoveries.recovery import Recovery
from .source import closure, hash_of

Kind = Literal["preparation", "procedure", "recovery"]
Phase = Preparation | Procedure | Recovery

P = TypeVar("P", bound=type[Phase])

_KINDS: dict[Kind, type[Phase]] = {
    "preparation": Preparation,
    "procedure": Procedure,
    "recovery": Recovery,
}


@dataclass(frozen=True)
class PhaseEntry:
    """A registered phase.

    Attributes:
        name: as suites write it.
        cite: its source.
        faithful: how close this is to the paper and to the authors' code.
        type: the class.
    """

    name: str
    kind: Kind
    cite: str
    faithful: str
    type: Any

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.type) or "").split("\n\n")[0].replace("\n", " ")


_entries: dict[tuple[Kind, str], PhaseEntry] = {}


def register_phase(name: str, *, cite: str, faithful: str) -> Callable[[P], P]:
    """Class decorator that makes a preparation, a procedure or a recovery known by its name."""

    def decorate(phase: P) -> P:
        kind = next(kind for kind, base in _KINDS.items() if issubclass(phase, base))
        known = _entries.get((kind, name))
        if known is not None and inspect.getfile(known.type) != inspect.getfile(phase):
            raise ValueError(f"there is a {kind} {name!r} already; choose another name")
        phase.name = name
        _entries[kind, name] = PhaseEntry(name, kind, cite, faithful, phase)
        return phase

    return decorate


@cache
def _load_all() -> None:
    from . import preparations, procedures, recoveries

    for package in (preparations, procedures, recoveries):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)


def phases(kind: Kind) -> list[PhaseEntry]:
    """All of a kind, by name."""
    _load_all()
    return sorted(
        (one for one in _entries.values() if one.kind == kind), key=lambda entry: entry.name
    )


def registered_in(path: Path) -> bool:
    """Whether a file has registered a phase."""
    return any(
        Path(inspect.getfile(one.type)).resolve() == path.resolve() for one in _entries.values()
    )


def find_phase(kind: Kind, name: str) -> PhaseEntry:
    """The phase of that name.

    Raises:
        UnknownPhase: with near matches and the list.
    """
    _load_all()
    if (kind, name) in _entries:
        return _entries[kind, name]
    for other in _KINDS:
        if (other, name) in _entries:
            raise UnknownPhase(f"{name} is a {other}, not a {kind}; see bench list")
    known = [one.name for one in phases(kind)]
    near = difflib.get_close_matches(name, known, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UnknownPhase(f"there is no {kind} {name!r}.{hint} There are: {', '.join(known)}")


def phase_options(kind: Kind, name: str, options: Mapping[str, Any]) -> NoOptions:
    """Options as the phase understands them, defaults filled in.

    Raises:
        OptionError: an unknown option or a value of the wrong kind; says which are allowed.
    """
    return checked(name, find_phase(kind, name).type.options_type, options)


def create_phase(kind: Kind, name: str, options: Mapping[str, Any], given: Any) -> Any:
    """A fresh phase.

    Args:
        given: a procedure's `Ground`, a preparation's groups, a recovery's generator.

    Raises:
        UnknownPhase, OptionError: as `find_phase` and `phase_options`.
    """
    return find_phase(kind, name).type(phase_options(kind, name, options), given)


def phase_source(kind: Kind, name: str) -> str:
    """SHA-256 of the code that decides what a phase does; comments and layout do not count."""
    return hash_of(closure([Path(inspect.getfile(find_phase(kind, name).type))]))
