"""What is registered by name: how it is found, and given its options."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from .errors import OptionError, did_you_mean, texts
from .options import Options
from .source import PACKAGE

ENTRY_POINTS = "pruning_bench.criteria"  # of installed plugins


@dataclass(frozen=True)
class Registered:
    """A class or function under its name."""

    kind: str  # criterion, preparation, procedure, recovery, or what other packages register
    name: str  # as suites write it
    cite: str  # its source
    note: str  # what its file says of how faithful it is; of ours, faithful.yaml says it
    type: Any  # the class or function

    @property
    def faithful(self) -> str:
        """How close this is to the paper and to the authors' code."""
        return self.note or texts("faithful.yaml")[self.kind].get(self.name, "")

    @property
    def summary(self) -> str:
        """The first sentence or two of its docstring, on one line."""
        return (inspect.getdoc(self.type) or "").split("\n\n")[0].replace("\n", " ")

    @property
    def file(self) -> Path:
        """The file that defines it."""
        return Path(inspect.getfile(self.type)).resolve()


_COPIES: ContextVar[Path | None] = ContextVar("_COPIES", default=None)


@contextmanager
def unregistered(folder: Path) -> Iterator[None]:
    """Files of a folder make nothing known: copies of plugins beside a kept network."""
    before = _COPIES.set(folder.resolve())
    try:
        yield
    finally:
        _COPIES.reset(before)


E = TypeVar("E", bound=Registered)
T = TypeVar("T")

CATALOGS: list["Catalog[Any]"] = []  # all that there are, whoever made them


class Catalog(Generic[E]):
    """Entries of one kind by all of their names.

    Args:
        kind: what an entry is called in messages.
        rooms: folders of this package, each module of which registers entries.
        unknown: the error of a name that nothing bears.
    """

    def __init__(self, kind: str, rooms: Sequence[str], unknown: type[Exception]) -> None:
        self.kind, self.rooms, self.unknown = kind, rooms, unknown
        self.by_name: dict[str, E] = {}
        self._loaded = False
        CATALOGS.append(self)

    def add(self, entry: E, aliases: Sequence[str] = ()) -> None:
        """Make an entry known; one of the same file under the same name is replaced. Raises
        ValueError: a class of another file has one of the names."""
        if (copies := _COPIES.get()) and entry.file.parent == copies:
            return
        for name in (entry.name, *aliases):
            other = self.by_name.get(name)
            if other is not None and other.file != entry.file:
                raise ValueError(f"the name {name!r} is taken by {other.file}; choose another")
        self.by_name.update(dict.fromkeys((entry.name, *aliases), entry))

    def load(self) -> None:
        """Import the modules of the rooms and installed plugins, once."""
        if self._loaded:
            return
        self._loaded = True
        for room in self.rooms:
            for module in pkgutil.iter_modules([str(PACKAGE / room)], f"{PACKAGE.name}.{room}."):
                importlib.import_module(module.name)
        for point in entry_points(group=ENTRY_POINTS):
            point.load()

    def all(self) -> list[E]:
        """All entries, by name."""
        self.load()
        return sorted(set(self.by_name.values()), key=lambda entry: entry.name)

    def find(self, name: str) -> E:
        """The entry of that name or alias. Raises `unknown`: nothing of the kind bears it; with
        near matches and the list."""
        self.load()
        if name in self.by_name:
            return self.by_name[name]
        for other in CATALOGS:
            other.load()
            if name in other.by_name:
                raise self.unknown(f"{name} is a {other.kind}, not a {self.kind}; see bench list")
        hint = did_you_mean(name, self.by_name)
        known = ", ".join(entry.name for entry in self.all())
        raise self.unknown(f"there is no {self.kind} {name!r}.{hint} There are: {known}")

    def options(self, name: str, given: Mapping[str, Any]) -> Options:
        """Options as the entry understands them, defaults filled in.

        Raises:
            `unknown`: as `find`.
            OptionError: an unknown option or a value of the wrong kind; says which are allowed.
        """
        entry = self.find(name)
        kind: type[Options] = entry.type.options_type
        try:
            return kind.model_validate(dict(given))
        except ValidationError as error:
            first, allowed = error.errors()[0], ", ".join(kind.model_fields) or "no options"
            key = ".".join(str(part) for part in first["loc"])
            fault = f"option {key!r} = {first['input']!r}: {first['msg']}."
            if first["type"] == "extra_forbidden":
                hint = did_you_mean(key, kind.model_fields, most=1)
                fault = f"there is no option {key!r}.{hint}"
            raise OptionError(f"{entry.name}: {fault} It takes: {allowed}") from error


def registering(catalog: Catalog[Registered], name: str) -> Callable[[T], T]:
    """Decorator that makes a function or class known to a catalog by its name. Raises ValueError:
    one of another file has the name."""

    def decorate(one: T) -> T:
        catalog.add(Registered(catalog.kind, name, "", "", one))
        return one

    return decorate
