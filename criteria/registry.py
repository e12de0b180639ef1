"""Criteria by name, with what a reader must know about each, and those made of others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, field_validator, model_validator

from .catalog import Catalog, Registered
from .criterion import Criterion
from .errors import NotApplicable, OptionError, UnknownCriterion, fault
from .evidence.needs import Need
from .lazy import torch
from .network.member import Group
from .options import Only, Options, Unit
from .selector import Selector
from .source import PACKAGE, closure, hash_of

C = TypeVar("C", bound=type[Criterion])


@dataclass(frozen=True)
class Entry(Registered):
    """A registered criterion."""

    aliases: tuple[str, ...]  # other names it answers to
    structured: bool  # scores channels
    unstructured: bool  # scores single weights
    selector: type[Selector] | None  # the class where it picks sets instead of scores, else None
    chance: bool  # that other seeds rank otherwise is its nature


CATALOG: Catalog[Entry] = Catalog("criterion", ["saliency", "selectors"], UnknownCriterion)


def register(
    name: str,
    *,
    cite: str,
    faithful: str = "",
    needs: Need = Need.WEIGHTS,
    aliases: Sequence[str] = (),
    structured: bool = True,
    unstructured: bool = False,
    chance: bool = False,
) -> Callable[[C], C]:
    """Class decorator that makes a criterion known under its names.

    Args:
        cite: the source of its formula.
        faithful: how close this is to the paper and to the authors' code; of ours, faithful.yaml
            says it.
        needs: the evidence that it asks for.
        structured: it scores channels.
        unstructured: it scores single weights.
        chance: its scores are meant to be random; of others `bench check` asks that seeds agree.

    Raises ValueError: another criterion has one of the names.

    Example:
        >>> @register("sum", cite="nobody", faithful="an example", aliases=["total"])
        ... class Sum(Criterion):
        ...     '''Sum of a channel's weights.'''
        ...     def observe(self, batch):
        ...         for member in self.members:
        ...             self.add(member, member.view(batch.weights).sum(1))
        >>> find("total").name, find("sum").summary
        ('sum', "Sum of a channel's weights.")
    """

    def decorate(criterion: C) -> C:
        selector = criterion if issubclass(criterion, Selector) else None
        kinds = (tuple(aliases), structured, unstructured, selector, chance)
        CATALOG.add(Entry("criterion", name, cite, faithful, criterion, *kinds), aliases)
        criterion.name = name
        criterion.needs = needs
        return criterion

    return decorate


def criteria() -> list[Entry]:
    """All registered criteria, by name.

    Example:
        >>> [entry.name for entry in criteria() if entry.selector is not None]
        ['rgd']
    """
    return CATALOG.all()


def find(name: str) -> Entry:
    """The criterion of that name or alias.

    Raises UnknownCriterion: with near matches and the list.

    Example:
        >>> find("taylor_fo").name
        'taylor'
    """
    return CATALOG.find(name)


def needed(name: str, options: Mapping[str, Any]) -> Need:
    """The evidence that a criterion asks for with these options.

    Example:
        >>> needed("inverse", {"of": "taylor"}).name
        'GRADIENTS'
    """
    return find(name).type.needed(CATALOG.options(name, options))


def draws(name: str, options: Mapping[str, Any]) -> bool:
    """Whether the scores of a criterion, or of a part of it, are meant to be random."""
    parts = parts_of(CATALOG.options(name, options))
    return find(name).chance or any(draws(one.criterion, one.options) for one in parts)


class Part(Options):
    """A criterion inside another, its options filled in, so that equal parts have equal keys."""

    criterion: str
    """its name."""
    options: dict[str, Any] = Field(default={})
    """its own, by name."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {"criterion": given} if isinstance(given, str) else given

    @field_validator("criterion")
    @classmethod
    def _known(cls, name: str) -> str:
        entry = find(name)
        if entry.selector is not None:
            raise ValueError(f"{name} picks sets, and has no scores to be a part of others")
        return entry.name

    @model_validator(mode="after")
    def _filled(self) -> Part:
        filled = CATALOG.options(self.criterion, self.options).model_dump()
        self.__dict__["options"] = filled  # frozen for everyone else
        return self


def parts_of(options: Options) -> list[Part]:
    """The parts among a criterion's options, alone or listed."""
    values = [getattr(options, name) for name in type(options).model_fields]
    lists = [value if isinstance(value, list | tuple) else [value] for value in values]
    return [one for listed in lists for one in listed if isinstance(one, Part)]


def require(name: str, options: Mapping[str, Any], unit: Unit) -> None:
    """Refuse a criterion that, or a part of which, does not score these units as it is told to.

    Raises:
        NotApplicable: it does not score them; names those that do.
        OptionError: an option that would be ignored.
    """
    entry, scored = find(name), "structured" if unit == "channels" else "unstructured"
    if not getattr(entry, scored):
        able = ", ".join(one.name for one in criteria() if getattr(one, scored))
        raise NotApplicable(f"{entry.name} does not score {unit}; these do: {able}")
    resolved = CATALOG.options(name, options)
    for option, field in type(resolved).model_fields.items():
        value = getattr(resolved, option)
        for mark in field.metadata:
            if isinstance(mark, Only) and mark.unit != unit and value != field.default:
                known = {"value": value, "unit": unit, "why": mark.why, "usual": field.default}
                raise OptionError(fault("ignored", name=entry.name, option=option, **known))
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
    name: str, groups: Sequence[Group], options: Mapping[str, Any], generator: torch.Generator
) -> Criterion:
    """A fresh criterion for these groups.

    Raises:
        UnknownCriterion, OptionError: an unknown name, or an option or value that it does not take.
    """
    return find(name).type(groups, CATALOG.options(name, options), generator)


def source_hash(name: str, options: Mapping[str, Any]) -> str:
    """SHA-256 of the code that decides a criterion's scores; see `criteria.source`."""
    parts = [
        source_hash(part.criterion, part.options)
        for part in parts_of(CATALOG.options(name, options))
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
