"""What was declared before there were results, and in what an analysis differs from that."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from suites.fidelity import FidelitySuite
from suites.schema import Analysis, Suite

from .chance import guessing
from .metric import spoken
from .records import Labels, Record, content_key

Design = dict[str, Any]  # the rules of an analysis, and what takes part in it

# Of what is younger than a declaration.
DEFAULTS = {**Analysis(control="").model_dump(mode="json"), "first_base": 0}
WORDS = {"alpha": "level", "rope": "ROPE ({})", "failures": "meaning of failing"}
WORDS |= {"bases": "number of bases", "repeats": "number of repeats", "first_base": "first base"}
REHEARSED = "this run shows that everything works, and its numbers mean nothing"
PRESENTATION = "cost"  # the axis of a figure, on which no test rests


class Declaration(BaseModel, frozen=True, extra="forbid"):
    """A design, and how much was known when it was written down."""

    design: Design
    date: str  # UTC, ISO 8601
    finished: int  # trials of the suite that had been measured by then
    trials: int  # of its plan, and of earlier plans of that suite

    @property
    def when(self) -> str:
        return f"after {self.finished} of {self.trials} trials had finished"


@dataclass(frozen=True)
class Footing:
    """What the words of a report may lean on."""

    declared: str  # what, and when, as a sentence
    date: str | None  # of the declaration, where it is known
    exploratory: list[str]  # what differs from the declaration, and since when
    interim: str  # how many trials have run; empty where the plan is complete
    rehearsal: str = ""  # why the numbers mean nothing; empty where they mean something
    guessing: Mapping[str, str] = field(default_factory=dict)  # of `chance.guessing`

    @property
    def notices(self) -> list[str]:
        """What belongs beside every finding; none where the plan ran as it was declared."""
        said = {"Rehearsal": self.rehearsal, "Near chance": self.near_chance}
        said["Interim"] = self.interim
        differs = [f"Exploratory: {one}." for one in self.exploratory]
        return [f"{name}: {one}." for name, one in said.items() if one] + differs

    def void(self, problems: Collection[str]) -> str:
        """Why nothing may be concluded of these, whatever tests find; empty where they speak."""
        return self.rehearsal or (self.near_chance if set(problems) <= set(self.guessing) else "")

    @property
    def near_chance(self) -> str:
        """Where there was nothing to lose, because the dense networks guess; empty if nowhere."""
        where = ", ".join(f"{problem} ({top1})" for problem, top1 in self.guessing.items())
        return f"dense networks do hardly more than guess on {where}" if where else ""


def design_of(suite: Suite | FidelitySuite, expected: Sequence[Labels]) -> Design:
    """The design of a suite and its plan."""
    of: dict[str, Iterator[str]] = {
        "methods": (one.method for one in expected if one.matched_to is None),
        "matched controls": (one.method for one in expected if one.matched_to is not None),
        "problems": (one.problem for one in expected),
        "recoveries": (one.recovery for one in expected),
        "budgets": (f"{one.at} of {one.cost}" for one in expected),
    }
    lists = {name: list(dict.fromkeys(values)) for name, values in of.items()}
    rules = suite.analysis.model_dump(mode="json")
    counts = {name: getattr(suite, name) for name in ("bases", "first_base", "repeats")}
    return {**rules, **lists, **counts, "settings": settings_of(suite)}


def settings_of(suite: Suite | FidelitySuite) -> dict[str, str]:
    """What trials are made with: each part of a suite in words, and a short hash of what it says.

    What stands in the lists of a design is in none of them: names, problems, matched controls.
    """
    known = suite.all_recipes
    parts: dict[str, Any] = {"calibration": suite.calibration, "splits": suite.splits}
    parts |= {f"method {one.name}": one for one in suite.methods}
    parts |= {f"dataset {one.title}": one for one in suite.datasets}
    for model in suite.models:
        own = model.selection and model.selection.model_dump(exclude_unset=True)
        rest = {"recipe": suite.base_recipe_of(model)}
        rest |= dict.fromkeys(("budgets", "datasets", "selection"))
        parts[f"model {model.title}"] = [_said(model.model_copy(update=rest)), own]
    parts |= {f"recipe {name}": known[name] for name in suite.used_recipes if name in known}
    if isinstance(suite, Suite):
        parts["selection"] = suite.selection
        parts |= {f"budgets of {one.title}": suite.budgets_of(one).kept for one in suite.models}
    else:
        parts["fidelity"] = suite.fidelity
    return {name: content_key(_said(part))[:12] for name, part in sorted(parts.items())}


def _said(part: Any) -> Any:
    """As JSON, without defaults: a field that is younger than a declaration changes no hash."""
    if not isinstance(part, BaseModel):
        return part
    return part.model_dump(mode="json", exclude={"label", "matched"}, exclude_defaults=True)


def words(design: Design) -> str:
    """`control l1, level 0.05, ROPE ± 0.2 points, 15 methods, 4 problems, 3 bases`."""
    from .formats import counted  # loads pandas

    forms = {"control": "control {}", "alpha": "level {:g}"}
    said = [form.format(design[name]) for name, form in forms.items() if name in design]
    said += [f"ROPE ± {counted(design['rope'], spoken().point)}"] if "rope" in design else []
    said += [counted(len(design[f"{one}s"]), one) for one in ("method", "problem")]
    return ", ".join([*said, counted(design["bases"], "base")])


def differences(first: Design, now: Design) -> Iterator[tuple[str, str]]:
    """(what, which) of everything in which a design differs from the first one."""
    old, new = first.get("settings", {}), now.get("settings", {})
    yield from (("other settings", one) for one in new if one in old and new[one] != old[one])
    for name in {**now, **first}:
        old, new = first.get(name, DEFAULTS.get(name)), now.get(name, DEFAULTS.get(name))
        if isinstance(old, list) and isinstance(new, list):
            yield from ((f"{name} added", str(one)) for one in new if one not in old)
            yield from ((f"{name} taken out", str(one)) for one in old if one not in new)
        elif old != new and name not in (PRESENTATION, "settings"):
            what = WORDS.get(name, name).format(spoken().points)
            yield f"another {what}", f"{new} instead of {old}"


def footing(
    suite: Suite | FidelitySuite,
    records: Sequence[Record],
    expected: Sequence[Labels],
    declarations: Sequence[Declaration],
) -> Footing:
    """Hold the analysis of a plan and its records against its declaration, and later changes."""
    done = [one for one in records if one.status == "done"]
    some, all_ = len(records), len(expected)
    interim = f"{some} of {all_} trials have run" if some < all_ else ""
    rest = REHEARSED if suite.rehearsal else "", guessing(records)
    if not declarations:
        unknown = "Not known: whether this was declared before its results. They came without the "
        return Footing(f"{unknown}declaration that bench run writes.", None, [], interim, *rest)
    first, *later = declarations
    when = first.when if first.finished else "before any trial had finished"
    early = sum(str(one.provenance.get("started", "~")) < first.date for one in done)
    differs = [f"the declaration came {when}"] if first.finished else []
    if early and not first.finished:
        differs.append(f"{early} of {len(done)} trials had been started before that declaration")
    design, dated = design_of(suite, expected), dict[tuple[str, str], list[str]]()
    now = Declaration(design=design, date="", finished=len(done), trials=all_)
    for change in differences(first.design, design):
        having = (one for one in [*later, now] if change in differences(first.design, one.design))
        dated.setdefault((change[0], next(having).when), []).append(change[1])
    differs += [f"{what} {since}: {', '.join(which)}" for (what, since), which in dated.items()]
    said = f"Declared on {first.date[:16].replace('T', ' ')} UTC, {when}: {words(first.design)}."
    return Footing(said, first.date, differs, interim, *rest)
