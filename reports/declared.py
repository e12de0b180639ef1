"""What was declared before there were results, and in what an analysis differs from that.

A level holds for rules that were fixed before their results were seen. So the first run of a suite
writes down its design, later runs what they change of it, and the page says what came when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from suites.fidelity import FidelitySuite
from suites.schema import Analysis, Suite

from .records import Labels, Record

UNKNOWN = (
    "It is not known whether this analysis was declared before its results: the records came "
    "without a declaration, which bench run writes before its first trial."
)
DEFAULTS = Analysis(control="").model_dump(mode="json")  # of fields younger than a declaration
PRESENTATION = {"cost"}  # the axis of a figure, on which no test rests

_FAILING = {"worst": "the worst rank there", "drop": "the problem is left out"}
_RULES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "control": ("control", str),
    "alpha": ("level", lambda level: f"{100 * level:g} %"),
    "rope": ("ROPE", lambda points: f"± {points:g} points"),
    "failures": ("meaning of failing", lambda policy: _FAILING.get(policy, policy)),
}
_LISTS = ("methods", "controls", "problems", "recoveries", "budgets")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Design(_Frozen):
    """All that the statements of a report rest on, but for the results themselves."""

    analysis: dict[str, Any]
    methods: list[str]
    controls: list[str]  # of matched widths
    problems: list[str]
    recoveries: list[str]
    budgets: list[str]
    bases: int
    repeats: int

    @property
    def words(self) -> str:
        """`control l1, level 5 %, ROPE ± 0.2 points, 15 methods, 4 problems ...`."""
        from .formats import counted  # loads pandas, which whoever only compares need not wait for

        rules = [name for name in ("control", "alpha", "rope") if name in self.analysis]
        said = [f"{_RULES[one][0]} {_rule(one, self.analysis[one])}" for one in rules]
        said.append(counted(len(self.methods), "method"))
        said += [counted(len(self.controls), "matched control")] if self.controls else []
        said += [counted(len(self.problems), "problem"), counted(self.bases, "base")]
        said += [counted(self.repeats, "repeat")] if self.repeats > 1 else []
        return ", ".join(said)


class Declaration(_Frozen):
    """A design, and what was known when it was written down.

    Attributes:
        date: UTC, ISO 8601.
        finished: trials of the suite that had been measured by then.
        trials: of its plan, and of earlier plans of that suite.
    """

    design: Design
    date: str
    finished: int
    trials: int


@dataclass(frozen=True)
class Footing:
    """What the words of a report may lean on.

    Attributes:
        declared: when and what, as a sentence.
        date: of the declaration; None where it is not known.
        exploratory: what differs from the declaration, and since when.
        complete: whether every trial of the plan has run.
        progress: how many have.
    """

    declared: str
    date: str | None
    exploratory: list[str]
    complete: bool
    progress: str

    # The shares were simulated at a level of 5 %, with methods that are all equally good.
    why_exploratory: ClassVar = (
        "The level holds for what was declared before results were seen. Where nothing differs at "
        "all, choosing the worst of 40 methods as control afterwards finds a 'better' in 23 % of "
        "cases, adding bases and looking again in 16.5 %, adding methods in 11.7 %."
    )
    why_interim: ClassVar = (
        "To stop, or to change the plan, because of what is seen now makes chance findings "
        "likelier than the level says."
    )

    @property
    def notices(self) -> list[str]:
        """What must be said beside every finding; none where the plan ran as it was declared."""
        interim = [] if self.complete else [f"Interim: {self.progress}."]
        return interim + [f"Exploratory: {one}." for one in self.exploratory]


def design_of(suite: Suite | FidelitySuite, expected: Sequence[Labels]) -> Design:
    """The design of a suite and its plan."""

    def each(values: Iterator[str]) -> list[str]:
        return list(dict.fromkeys(values))

    return Design(
        analysis=suite.analysis.model_dump(mode="json"),
        methods=each(one.method for one in expected if one.matched_to is None),
        controls=each(one.method for one in expected if one.matched_to is not None),
        problems=each(one.problem for one in expected),
        recoveries=each(one.recovery for one in expected),
        budgets=each(
            one.at if one.cost in (None, "threshold") else f"{one.at} of {one.cost}"
            for one in expected
        ),
        bases=suite.bases,
        repeats=suite.repeats,
    )


def differences(first: Design, now: Design) -> list[tuple[str, str]]:
    """(what, which) of everything in which a design differs from the first one.

    >>> first = Design(analysis={"control": "l1", "alpha": 0.05}, methods=["l1", "taylor"],
    ...     controls=[], problems=["vgg on digits"], recoveries=["none"], budgets=[], bases=3,
    ...     repeats=1)
    >>> now = first.model_copy(update={"methods": ["l1", "fisher"], "bases": 5})
    >>> differences(first, now)
    [('methods added', 'fisher'), ('methods taken out', 'taylor'), ('more bases', '5 instead of 3')]
    """
    return [*_rules_changed(first.analysis, now.analysis), *_scope_changed(first, now)]


def _rules_changed(first: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys([*now, *first]):
        old, new = (given.get(name, DEFAULTS.get(name)) for given in (first, now))
        if old != new and name not in PRESENTATION:
            title = _RULES[name][0] if name in _RULES else f"analysis.{name}"
            yield f"another {title}", f"{_rule(name, new)} instead of {_rule(name, old)}"


def _scope_changed(first: Design, now: Design) -> Iterator[tuple[str, str]]:
    for name in _LISTS:
        old, new = getattr(first, name), getattr(now, name)
        what = "matched controls" if name == "controls" else name
        yield from ((f"{what} added", one) for one in new if one not in old)
        yield from ((f"{what} taken out", one) for one in old if one not in new)
    for name in ("bases", "repeats"):
        before, after = getattr(first, name), getattr(now, name)
        if before != after:
            yield f"{'more' if after > before else 'fewer'} {name}", f"{after} instead of {before}"


def _rule(name: str, value: Any) -> str:
    return _RULES[name][1](value) if name in _RULES else str(value)


def footing(
    suite: Suite | FidelitySuite,
    records: Sequence[Record],
    expected: Sequence[Labels],
    declared: Sequence[Declaration] | None,
) -> Footing:
    """Hold an analysis against what was declared.

    Args:
        records: of the suite's plan; others do not count.
        expected: the labels of every trial of the plan.
        declared: the declaration and its later changes, oldest first; None or empty where the
            records came without.
    """
    planned = set(expected)
    known = [one for one in records if one.labels in planned]
    done = [one for one in known if one.status == "done"]
    complete = len(known) == len(expected)
    progress = f"{len(known)} of {len(expected)} trials have run"
    if not declared:
        return Footing(UNKNOWN, None, [], complete, progress)
    first = declared[0]
    said = f"Declared on {first.date[:16].replace('T', ' ')} UTC, {_when(first)}"
    differs = [f"the declaration came {_when(first)}"] if first.finished else []
    early = sum(str(one.provenance.get("started", "~")) < first.date for one in done)
    if early and not first.finished:
        differs.append(f"{early} of {len(done)} trials had been started before that declaration")
    differs += _dated(declared, design_of(suite, expected), _after(len(done), len(expected)))
    return Footing(f"{said}: {first.design.words}.", first.date, differs, complete, progress)


def _dated(declared: Sequence[Declaration], now: Design, present: str) -> list[str]:
    """The differences from the first declaration, those alike and equally old in one sentence."""
    first, *later = declared
    history = [(differences(first.design, one.design), _when(one)) for one in reversed(later)]
    found: dict[tuple[str, str], list[str]] = {}
    for what, which in differences(first.design, now):
        since = present
        for then, when in history:  # back to where it came in
            if (what, which) not in then:
                break
            since = when
        found.setdefault((what, since), []).append(which)
    return [f"{what} {since}: {', '.join(which)}" for (what, since), which in found.items()]


def _when(one: Declaration) -> str:
    return _after(one.finished, one.trials) if one.finished else "before any trial had finished"


def _after(finished: int, trials: int) -> str:
    return f"after {finished} of {trials} trials had finished"
