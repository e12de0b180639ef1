"""Arguments that several verbs share, and the suite that they choose; heavy imports wait."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial, wraps
from inspect import Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console

from criteria import registry
from reports.declared import REHEARSED
from suites import FidelitySuite, Suite, SuiteError, library, load_suite, resolved, scales_of
from suites.files import read_yaml
from suites.overrides import to_blame

from ..errors import BenchError, fault
from ..plan.outline import Outline, Recorded, recorded_suites
from ..plan.plan import Plan, make_plan
from ..plan.plugins import load_plugins, unknown_criteria
from ..run.declaring import declared
from ..run.packing import PACK, readable
from ..store.store import Store
from ..terminal import say
from .until_decided import looks_asked

_OPTIONS: dict[str, dict[str, Any]] = read_yaml(Path(__file__).with_name("options.yaml"))


def option(name: str, kind: Callable[..., Any] = typer.Option) -> Any:
    """What typer is told of an option, or argument, `VERB.NAME` in options.yaml."""
    verb, _, own = name.partition(".")
    given = dict(_OPTIONS[verb][own])
    flags = [given.pop("flag")] if "flag" in given else []
    return kind(*flags, **given)


argument = partial(option, kind=typer.Argument)


RESULTS, DATA = Path("results"), Path("data")
Results = Annotated[Path, option("all.results")]
ReadableResults = Annotated[Path, option("all.readable")]
DataRoot = Annotated[Path, option("all.data_root")]
Plugins = Annotated[list[Path], option("all.plugins")]
Methods = Annotated[str, option("all.methods")]


@dataclass(frozen=True, kw_only=True)
class ChosenSuite:
    """A suite as a command line chooses it; its fields are options of all verbs that take one."""

    name: Annotated[str, argument("suite.name")]
    results: Results = RESULTS  # where suites are recorded as they were run
    overrides: Annotated[list[str], option("suite.overrides")] = field(default_factory=list)
    # "" is the suite's file as it stands.
    scale: Annotated[str, option("suite.scale")] = ""
    smoke: Annotated[bool, option("suite.smoke")] = False
    plugins: Plugins = field(default_factory=list)  # files with a user's criteria
    pack: Path | None = field(init=False, default=None, compare=False)  # that was read instead

    def __post_init__(self) -> None:
        if self.name.endswith(PACK):
            raise BenchError(fault("only_read", given=self.name, instead="a suite"))

    def suite(self, *, has_run: bool = False) -> Suite | FidelitySuite:
        """The suite at its scale; of one that `has_run`, with the looks that it has declared."""
        if self.smoke and self.scale not in ("", "smoke"):
            raise SuiteError(fault("other_scale", scale=self.scale))
        return self._at("smoke" if self.smoke else self.scale, has_run=has_run)

    def outline(self, console: Console) -> Outline:
        """What was run last under this name; with options, what its file plans.

        Says what of it is other than a reader may think: see docs/suites.md.
        """
        recorded = self._recorded.get(self.name)
        if recorded is None or self.overrides or self.scale or self.smoke or self.plugins:
            return self._plans(console, {"": self.suite(has_run=True)})[""]
        found = recorded.outline
        say(console, (found.suite.suite, "bold"), f"  {found.suite.description}")
        if self.name in library() and resolved(load_suite(self.name)) != recorded.suite:
            other = "the library's has other settings"
            say(console, f"As it was run last, {recorded.minute}: {other}.")
        run_then = f"these are the trials as they were run, {recorded.minute}"
        if gone := [one for one in recorded.plugins if not one.is_file()]:
            load_plugins(one for one in recorded.plugins if one not in gone)
            known = {one.name for one in registry.criteria() if one.file.is_file()}
            owed = [one.name for one in found.suite.methods if one.criterion not in known]
            need = f", without which {', '.join(owed)} cannot run again" if owed else ""
            files = ", ".join(map(str, gone))
            say(console, f"There is no plugin {files} any more{need}: {run_then}.")
        elif recorded.outdated and not self.pack:  # which is run here by bench verify alone
            anew = f"bench plan {self.name} says whether any would run anew"
            say(console, f"The code of criteria has changed since: {run_then}; {anew}.")
        return found

    def plan(self, console: Console, trial: str = "") -> Plan:
        """The suite's plan, from its file; from its record where there is no file of that name, or
        where one `trial` of it is wanted as it was run.
        """
        options = self.overrides or self.scale or self.smoke
        recorded = self._recorded.get(self.name) if trial and not options else None
        suite = recorded.outline.suite if recorded else self.suite()
        planned = self._plans(console, {"": suite})[""]
        if planned.suite.rehearsal:
            say(console, (f"Rehearsal: {REHEARSED}.", "yellow"))
        return planned

    def plans_by_scale(self, console: Console) -> dict[str, Plan]:
        """The plans of all scales of the suite by name, its file as it stands first. Raises
        SuiteError where one scale is asked for as well."""
        if self.scale or self.smoke:
            raise SuiteError("--scales shows all scales of a suite; leave --scale and --smoke out")
        scales = scales_of(self.name)
        if "paper" not in scales:
            scales = ["", *scales]
        return self._plans(console, {one or "as it stands": self._at(one) for one in scales})

    @cached_property
    def _recorded(self) -> dict[str, Recorded]:
        return recorded_suites(Store(self.results))

    def _at(self, scale: str, *, has_run: bool = False) -> Suite | FidelitySuite:
        suite = self._load(self.overrides, scale)
        looks = self._looks(suite, has_run=has_run)
        if not looks:
            return suite
        added = [f"bases={looks[-1]}", f"analysis.looks={looks}"]
        try:
            return self._load([*self.overrides, *added], scale)
        except SuiteError as error:
            said, asked = str(error), "looks of its last run" if has_run else "--until-decided"
            for one in (" --set ".join(added), *added):
                said = said.replace(f"--set {one}", asked)
            raise SuiteError(said) from None

    def _load(self, overrides: Sequence[str], scale: str) -> Suite | FidelitySuite:
        known = {name: one.suite for name, one in self._recorded.items()}
        try:
            return load_suite(self.name, overrides, scale=scale or None, recorded=known)
        except SuiteError as error:
            if not error.criteria:
                raise
            # A misspelt criterion may be the cause, as where the control is none of the methods.
            load_plugins(self.all_plugins)
            raise SuiteError("\n".join([str(error), *unknown_criteria(error.criteria)])) from None

    def _looks(self, suite: Suite | FidelitySuite, *, has_run: bool) -> list[int]:
        """Looks beyond those of its file: those that its last run has declared."""
        set_already = {one.partition("=")[0].strip() for one in self.overrides}
        if not has_run or set_already & {"bases", "analysis.looks"}:
            return []
        known = declared(Outline(suite, ()), Store(self.results))
        return known[-1].design.get("looks", []) if known else []

    def _plans(self, console: Console, suites: dict[str, Suite | FidelitySuite]) -> dict[str, Plan]:
        suite = next(iter(suites.values()))
        say(console, (suite.suite, "bold"), f"  {suite.description}")
        with console.status("reading the criteria"):
            load_plugins(self.all_plugins)
            try:
                return {name: make_plan(one) for name, one in suites.items()}
            except BenchError as error:
                raise self._owed(error) from None

    def _owed(self, error: BenchError) -> BenchError:
        """A fault of a plan, behind the overrides without which it would not be."""

        def faults(fewer: Sequence[str]) -> list[str]:
            try:
                make_plan(self._load(fewer, "smoke" if self.smoke else self.scale))
            except BenchError as other:
                return [str(other)]
            return []

        settings = to_blame(str(error), self.overrides, faults)
        return type(error)(f"{settings}: {error}") if settings else error

    @cached_property
    def all_plugins(self) -> list[Path]:
        """Those given; and those that a suite was run with, where only its record is known."""
        recorded = None if self.name in library() else self._recorded.get(self.name)
        known = recorded.plugins if recorded else ()
        if self.plugins:  # they may stand for files that were moved
            known = tuple(one for one in known if one.is_file())
        given = {one.resolve() for one in self.plugins}
        return [*(one for one in known if one not in given), *self.plugins]


@dataclass(frozen=True, kw_only=True)
class SuiteToRead(ChosenSuite):
    """One whose results are only read: a pack may stand for them, and for its suite's name."""

    name: Annotated[str, argument("suite.readable")]
    results: ReadableResults = RESULTS

    def __post_init__(self) -> None:
        pack = Path(self.name) if self.name.endswith(PACK) else self.results
        if pack.suffix == PACK:
            folder = readable(pack)
            (only,) = (one.stem for one in folder.glob("suites/*.json"))
            name = only if self.name in ("", str(pack)) else self.name
            vars(self).update(name=name, results=folder, pack=pack)


@dataclass(frozen=True, kw_only=True)
class SuiteToRun(ChosenSuite):
    """One that may be run look by look, and whose pruned networks may be kept."""

    until_decided: Annotated[bool, option("suite.until_decided")] = False
    cap: Annotated[int | None, option("suite.cap")] = None
    keep: Annotated[str, option("suite.keep")] = ""

    def _looks(self, suite: Suite | FidelitySuite, *, has_run: bool) -> list[int]:
        if self.until_decided:
            return looks_asked(suite, self.cap)
        if self.cap is not None:
            raise SuiteError(fault("cap_alone", cap=self.cap))
        return super()._looks(suite, has_run=has_run)


def takes_suite(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb whose first parameter is a `ChosenSuite`, with that one's fields as options."""
    first, *own = signature(verb, eval_str=True).parameters.values()
    kind, shared = first.annotation, []
    hints, blank = get_type_hints(kind, include_extras=True), kind(name="")
    for one in signature(kind).parameters.values():
        default = one.empty if one.default is one.empty else getattr(blank, one.name)
        shared.append(one.replace(annotation=hints[one.name], default=default))

    @wraps(verb)
    def with_options(**given: Any) -> None:
        fields = {one.name: given.pop(one.name) for one in shared}
        verb(kind(**fields), **given)

    own = [one.replace(kind=one.KEYWORD_ONLY) for one in own]
    with_options.__signature__ = Signature([*shared, *own])  # type: ignore[attr-defined]
    return with_options


def names_in(text: str) -> tuple[str, ...]:
    """`a,b` as names; nothing given is no restriction."""
    return tuple(one.strip() for one in text.split(",")) if text else ()
