"""Preparations, procedures and recoveries by name: the phases of a method that train."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .catalog import Catalog, Registered
from .errors import UnknownPhase
from .options import Options
from .source import closure, hash_of
from .training import Kind, Phase

P = TypeVar("P", bound=type[Phase])


CATALOGS: dict[Kind, Catalog[Registered]] = {
    "preparation": Catalog("preparation", ["preparations"], UnknownPhase),
    "procedure": Catalog("procedure", ["procedures"], UnknownPhase),
    "recovery": Catalog("recovery", ["recoveries"], UnknownPhase),
}


def register_phase(name: str, *, cite: str, faithful: str = "") -> Callable[[P], P]:
    """Class decorator that makes a preparation, a procedure or a recovery known by its name.

    Raises:
        ValueError: another phase of the kind has the name.

    Example:
        >>> from criteria.preparations.preparation import Preparation
        >>> @register_phase("longer", cite="nobody", faithful="an example")
        ... class Longer(Preparation):
        ...     '''Plain training, and more of it.'''
        >>> find_phase("preparation", "longer").summary
        'Plain training, and more of it.'
    """

    def decorate(phase: P) -> P:
        CATALOGS[phase.kind].add(Registered(phase.kind, name, cite, faithful, phase))
        phase.name = name
        return phase

    return decorate


def phases(kind: Kind) -> list[Registered]:
    """All phases of a kind, by name."""
    return CATALOGS[kind].all()


def find_phase(kind: Kind, name: str) -> Registered:
    """The phase of that name.

    Raises:
        UnknownPhase: nothing of the kind bears it; with near matches and the list.
    """
    for catalog in CATALOGS.values():
        catalog.load()
    kinds = [other for other, catalog in CATALOGS.items() if name in catalog.by_name]
    if kinds and kind not in kinds:
        raise UnknownPhase(f"{name} is a {kinds[0]}, not a {kind}; see bench list")
    return CATALOGS[kind].find(name)


def phase_options(kind: Kind, name: str, options: Mapping[str, Any]) -> Options:
    """Options as the phase understands them, defaults filled in.

    Raises:
        UnknownPhase: as `find_phase`.
        OptionError: an unknown option or a value of the wrong kind; says which are allowed.
    """
    return CATALOGS[kind].options(find_phase(kind, name).name, options)


def create_phase(kind: Kind, name: str, options: Mapping[str, Any], given: Any) -> Any:
    """A fresh phase.

    `given`: a procedure's `Ground`, a preparation's groups, a recovery's generator.

    Raises:
        UnknownPhase, OptionError: as `phase_options`.
    """
    return find_phase(kind, name).type(phase_options(kind, name, options), given)


def phase_source(kind: Kind, name: str) -> str:
    """SHA-256 of the code that decides what a phase does; see `criteria.source`."""
    return hash_of(closure([find_phase(kind, name).file]))
