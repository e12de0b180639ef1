"""The suite, or its plan, that a command line asks for; heavy imports wait until wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from suites import FidelitySuite, Suite, SuiteError

    from .plan import Plan


def asked_suite(
    name: str,
    overrides: Sequence[str],
    scale: str,
    smoke: bool,
    plugins: Sequence[Path] = (),
) -> Suite | FidelitySuite:
    """A suite at a scale, "" for its file as it stands.

    Raises:
        SuiteError: see `load_suite`; names criteria that do not exist as well.
    """
    from suites import SuiteError, load_suite

    if smoke and scale not in ("", "smoke"):
        raise SuiteError(f"--smoke is short for --scale smoke; --scale {scale} is another one")
    try:
        return load_suite(name, overrides, scale="smoke" if smoke else scale or None)
    except SuiteError as error:
        raise _with_unknown_criteria(error, plugins) from None


def asked_plan(
    console: Console,
    name: str,
    overrides: Sequence[str],
    scale: str,
    smoke: bool,
    plugins: Sequence[Path],
    methods: str = "",
) -> Plan:
    """A suite's plan; says at once that it is on its way, as torch takes seconds to load.

    Raises:
        SuiteError, PlanError, CriteriaError: faults of the suite, a plugin or a name.
    """
    suite = asked_suite(name, overrides, scale, smoke, plugins)
    _say(console, suite)
    return _planned(console, suite, plugins, methods)


def asked_scales(
    console: Console,
    name: str,
    overrides: Sequence[str],
    scale: str,
    smoke: bool,
    plugins: Sequence[Path],
    methods: str = "",
) -> dict[str, Plan]:
    """The plans of all scales of a suite by name, its file as it stands first.

    Raises:
        SuiteError: one scale is asked for as well; else as `asked_plan`.
    """
    from suites import SuiteError, scales_of

    if scale or smoke:
        raise SuiteError("--scales shows all scales of a suite; leave --scale and --smoke out")
    named = scales_of(name)
    versions = {
        one or "as it stands": asked_suite(name, overrides, one, False, plugins)
        for one in (named if "paper" in named else ["", *named])
    }
    _say(console, next(iter(versions.values())))
    return {one: _planned(console, suite, plugins, methods) for one, suite in versions.items()}


def names_in(text: str) -> tuple[str, ...]:
    """`a,b` as names; nothing given is no restriction."""
    return tuple(one.strip() for one in text.split(",")) if text else ()


def _say(console: Console, suite: Suite | FidelitySuite) -> None:
    console.print(f"[bold]{suite.suite}[/]  {suite.description}")


def _planned(
    console: Console, suite: Suite | FidelitySuite, plugins: Sequence[Path], methods: str
) -> Plan:
    with console.status("loading torch and the criteria"):
        from .plan import make_plan
        from .plugins import load_plugins

        load_plugins(plugins)
        return make_plan(suite).only(names_in(methods))


def _with_unknown_criteria(error: SuiteError, plugins: Sequence[Path]) -> SuiteError:
    """A misspelt criterion may be the cause, as where the control is none of the methods."""
    if not error.criteria:
        return error
    from suites import SuiteError

    from .plugins import load_plugins, unknown_criteria

    load_plugins(plugins)
    return SuiteError("\n".join([str(error), *unknown_criteria(error.criteria)]))
