"""Preparations, procedures and recoveries by name: the phases of a method that train."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .catalog import Catalog, Registered
from .errors import UnknownPhase
from .source import closure, hash_of
from .training import Kind, Phase

P = TypeVar("P", bound=type[Phase])


PHASES: dict[Kind, Catalog[Registered]] = {
    "preparation": Catalog("preparation", ["preparations"], UnknownPhase),
    "procedure": Catalog("procedure", ["procedures"], UnknownPhase),
    "recovery": Catalog("recovery", ["recoveries"], UnknownPhase),
}


def register_phase(name: str, *, cite: str, faithful: str = "") -> Callable[[P], P]:
    """Class decorator that makes a preparation, a procedure or a recovery known by its name.

    Raises ValueError: another phase of the kind has the name.

    Example:
        >>> from criteria.preparations.preparation import Preparation
        >>> @register_phase("longer", cite="nobody", faithful="an example")
        ... class Longer(Preparation):
        ...     '''Plain training, and more of it.'''
        >>> PHASES["preparation"].find("longer").summary
        'Plain training, and more of it.'
    """

    def decorate(phase: P) -> P:
        PHASES[phase.kind].add(Registered(phase.kind, name, cite, faithful, phase))
        phase.name = name
        return phase

    return decorate


def create_phase(kind: Kind, name: str, options: Mapping[str, Any], given: Any) -> Any:
    """A fresh phase.

    `given`: a procedure's `Ground`, a preparation's groups, a recovery's generator.

    Raises UnknownPhase, OptionError: no such name, or an option or value that it does not take.
    """
    catalog = PHASES[kind]
    return catalog.find(name).type(catalog.options(name, options), given)


def phase_source(kind: Kind, name: str) -> str:
    """SHA-256 of the code that decides what a phase does; see `criteria.source`."""
    return hash_of(closure([PHASES[kind].find(name).file]))
