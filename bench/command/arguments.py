"""Arguments that several verbs share, and the suite that they choose; heavy imports wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..terminal import say

if TYPE_CHECKING:
    from suites import FidelitySuite, Suite, SuiteError

    from ..plan.plan import Plan

SuiteName = Annotated[str, typer.Argument(help="A suite's name (bench list suites) or .yaml file.")]
Results = Annotated[
    Path, typer.Option("--results", envvar="BENCH_RESULTS", help="Folder that results go to.")
]
DataRoot = Annotated[
    Path, typer.Option("--data-root", envvar="BENCH_DATA_ROOT", help="Folder that datasets lie in.")
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change the suite: --set calibration.images=64"
    ),
]
Scale = Annotated[
    str, typer.Option("--scale", metavar="NAME", help="One of the suite's own smaller versions.")
]
Smoke = Annotated[bool, typer.Option("--smoke", help="Short for --scale smoke.")]
Plugins = Annotated[
    list[Path], typer.Option("--plugin", metavar="FILE", help="Python file with criteria of yours.")
]
Methods = Annotated[
    str, typer.Option("--methods", metavar="A,B", help="Only these methods of the suite.")
]
UntilDecided = Annotated[
    bool,
    typer.Option(
        "--until-decided", help="Add bases, look by look, until every comparison is decided."
    ),
]
Cap = Annotated[
    int | None,
    typer.Option("--cap", help="The most bases of --until-decided; default: twice the suite's."),
]
RESULTS, DATA = Path("results"), Path("data")


@dataclass(frozen=True)
class ChosenSuite:
    """A suite as a command line chooses it; see the options of the same names.

    Attributes:
        scale: "" is the suite's file as it stands.
        plugins: files with a user's criteria, for its plan and to tell of misspelt names.
        results: where its last run may have declared looks, which are then the suite's.
    """

    name: str
    overrides: Sequence[str] = ()
    scale: str = ""
    smoke: bool = False
    plugins: Sequence[Path] = ()
    methods: str = ""
    until_decided: bool = False
    cap: int | None = None
    results: Path | None = None

    def suite(self) -> Suite | FidelitySuite:
        """The suite at its scale.

        Raises:
            SuiteError: see `load_suite`; names criteria that do not exist as well.
        """
        from suites import SuiteError

        if self.smoke and self.scale not in ("", "smoke"):
            raise SuiteError(
                f"--smoke is short for --scale smoke; --scale {self.scale} is another one"
            )
        return self._at("smoke" if self.smoke else self.scale)

    def plan(self, console: Console) -> Plan:
        """The suite's plan; says at once that it is on its way, as torch takes seconds to load.

        Raises:
            SuiteError, PlanError, CriteriaError: faults of the suite, a plugin or a name.
        """
        return self._plans(console, {"": self.suite()})[""]

    def plans_by_scale(self, console: Console) -> dict[str, Plan]:
        """The plans of all scales of the suite by name, its file as it stands first.

        Raises:
            SuiteError: one scale is asked for as well; else as `plan`.
        """
        from suites import SuiteError, scales_of

        if self.scale or self.smoke:
            raise SuiteError("--scales shows all scales of a suite; leave --scale and --smoke out")
        scales = scales_of(self.name)
        if "paper" not in scales:
            scales = ["", *scales]
        return self._plans(console, {one or "as it stands": self._at(one) for one in scales})

    def _at(self, scale: str) -> Suite | FidelitySuite:
        from suites import SuiteError, load_suite

        try:
            suite = load_suite(self.name, self.overrides, scale=scale or None)
            if looks := self._looks(suite):
                added = [f"bases={looks[-1]}", f"analysis.looks={looks}"]
                suite = load_suite(self.name, [*self.overrides, *added], scale=scale or None)
        except SuiteError as error:
            raise self._with_unknown_criteria(error) from None
        return suite

    def _looks(self, suite: Suite | FidelitySuite) -> list[int]:
        """Looks beyond those of its file: those asked for, or declared by its last run."""
        from suites import SuiteError

        from .until_decided import looks_asked, looks_declared

        if self.until_decided:
            return looks_asked(suite, self.cap)
        if self.cap is not None:
            raise SuiteError(
                f"--cap {self.cap} is the most bases of --until-decided; give that too"
            )
        set_already = {one.partition("=")[0].strip() for one in self.overrides}
        if self.results is None or set_already & {"bases", "analysis.looks"}:
            return []
        return looks_declared(suite, self.results)

    def _plans(self, console: Console, suites: dict[str, Suite | FidelitySuite]) -> dict[str, Plan]:
        suite = next(iter(suites.values()))
        say(console, (suite.suite, "bold"), f"  {suite.description}")
        with console.status("loading torch and the criteria"):
            from ..plan.plan import make_plan
            from ..plan.plugins import load_plugins

            load_plugins(self.plugins)
            chosen = names_in(self.methods)
            return {name: make_plan(one).only(chosen) for name, one in suites.items()}

    def _with_unknown_criteria(self, error: SuiteError) -> SuiteError:
        """A misspelt criterion may be the cause, as where the control is none of the methods."""
        if not error.criteria:
            return error
        from suites import SuiteError

        from ..plan.plugins import load_plugins, unknown_criteria

        load_plugins(self.plugins)
        return SuiteError("\n".join([str(error), *unknown_criteria(error.criteria)]))


def names_in(text: str) -> tuple[str, ...]:
    """`a,b` as names; nothing given is no restriction."""
    return tuple(one.strip() for one in text.split(",")) if text else ()
