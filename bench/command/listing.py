"""What there is by name: criteria, phases, presets, suites, models, datasets, recipes."""

import typing
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from rich.console import Console

from criteria import criteria, find
from criteria.catalog import Registered
from criteria.options import Options
from criteria.phases import PHASES
from criteria.registry import Entry
from suites import expand, library, load_suite, named_recipes
from suites.faults import no_such
from suites.method import MethodSpec, named_presets

from ..data.known import DATASETS, list_datasets
from ..errors import BenchError
from ..models import list_models
from ..plan.plugins import load_plugins
from ..terminal import print_table, say

PHASES_OF = {room: catalog for catalog in PHASES.values() for room in catalog.rooms}
LISTS = ("criteria", *PHASES_OF, "presets", "suites", "models", "datasets", "recipes")


def listing(console: Console, what: str, plugins: Sequence[Path], name: str = "") -> None:
    """Print one of `LISTS`, or all about one criterion or phase of it.

    Raises:
        BenchError: `what` is none of them, or has no more to tell of its members.
        CriteriaError: nothing there bears that name.
    """
    if what not in LISTS:
        raise BenchError(f"bench list: {no_such('list', what, LISTS)}")
    if name and what not in (told := ("criteria", "presets", *PHASES_OF)):
        raise BenchError(f"bench list {what} {name}: a name may follow {', '.join(told)}")
    load_plugins(plugins)
    if what == "suites":
        _suites(console)
    elif what == "recipes":
        _recipes(console)
    elif what == "presets":
        _preset(console, name) if name else _presets(console)
    elif what == "criteria":
        _criteria(console, name)
    elif what in PHASES_OF:
        _phases(console, what, name)
    else:
        found = list_models() if what == "models" else list_datasets()
        print_table(console, (what[:-1], "what it is"), found.items())


def _suites(console: Console) -> None:
    """First what runs at once, of that the quickstart, then by what is to be fetched; small first.

    What must be got by hand comes last.
    """
    rows = []
    for one in map(load_suite, library()):
        trials = sum(1 for _ in expand(one))
        names = list(dict.fromkeys(data.name for data in one.datasets))
        known = [DATASETS[name] for name in names]
        fetched = sum(data.download_bytes or (0 if data.contents else inf) for data in known)
        place = (fetched // 1e8, one.suite != "quickstart", trials)
        rows.append((place, (one.suite, str(trials), ", ".join(names), one.description)))
    heads = ("suite", "trials", "on", "what it asks")
    print_table(console, heads, [row for _, row in sorted(rows)])
    say(console, "how long one takes: bench plan NAME; in smaller versions: with --scales")


def _presets(console: Console) -> None:
    """The papers' methods, of which suites are made."""
    rows = [
        (name, method.criterion, _leaves(method))
        for name, one in named_presets().items()
        for method in [MethodSpec.model_validate(one)]
    ]
    print_table(console, ("preset", "criterion", "leaves"), rows)
    say(console, "all of one: bench list presets NAME")


def _preset(console: Console, name: str) -> None:
    """What a preset stands for in a suite, and the named recipes that it follows."""
    known = named_presets()
    if name not in known:
        raise BenchError(no_such("preset", name, known))
    say(console, (name, "bold"))
    for key, value in known[name].items():
        say(console, f"{key}: {_written(value)}", indent=4)
    if recipes := sorted(MethodSpec.model_validate(known[name]).recipes):
        say(console, "recipes, which a suite may replace under the same names:")
    for one in recipes:
        recipe = named_recipes()[one].model_dump(exclude_defaults=True)
        say(console, f"{one}: {_written(recipe)}", indent=4)
    say(console, f"in a suite: `- {name}`, or `- {{preset: {name}, as: NAME, KEY: VALUE}}`")


def _written(value: Any) -> str:
    """A value on one line, as a suite writes it."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n...\n").strip()


def _leaves(method: MethodSpec) -> str:
    """How channels leave, and what trains before, meanwhile and after."""
    way, phases = method.iterative, (method.prepare, method.procedure, method.finetuning)
    steps = f"{way.steps} steps" if way else "one-shot"
    if way and (between := way.recover or (way.rewind and way.rewind.name)):
        steps += f", {between} after each"
    before, *others = [one.name if one else "" for one in phases]
    return ", ".join(filter(None, [before, steps, *others]))


def _recipes(console: Console) -> None:
    rows = []
    for name, one in named_recipes().items():
        rate = f"{one.optimizer} {one.learning_rate:g} {one.schedule}"
        rows.append((name, str(one.epochs), str(one.batch_size), rate, f"{one.weight_decay:g}"))
    print_table(console, ("recipe", "epochs", "batch", "optimizer", "weight decay"), rows)


def _criteria(console: Console, name: str) -> None:
    """A line each, or all about one."""
    if name:
        one = find(name)
        kind, does = ("", "scores") if one.selector is None else (" selector", "picks")
        say(console, (one.name, "bold"), (kind, "cyan"), " " + ", ".join(one.aliases))
        _about(console, one, f"{does} {_units(one)}; needs {_needs(one)}", whole=True)
        return
    brief = {"channels, weights": "both", "sets of channels": "sets"}
    rows = [
        (one.name, brief.get(_units(one), _units(one)), _needs(one), one.summary)
        for one in criteria()
    ]
    print_table(console, ("criterion", "scores", "needs", "what it is"), rows)
    say(console, "both: channels and single weights; sets: picks sets of channels")
    say(console, "all about one: bench list criteria NAME")


def _needs(entry: Entry) -> str:
    return (entry.type.needs.name or "").lower().replace("_", " ").replace("|", ", ") or "weights"


def _phases(console: Console, what: str, name: str) -> None:
    """All about each, as there are few, or about one."""
    with console.status("reading the phases"):
        entries = [PHASES_OF[what].find(name)] if name else PHASES_OF[what].all()
    for one in entries:
        say(console, (one.name, "bold"))
        follows = getattr(one.type, "follows", None)
        on_its_way = {None: "", True: "takes the units chosen before", False: "chooses on its way"}
        _about(console, one, on_its_way[follows], whole=bool(name))
    if not name:
        say(console, f"options with their meaning: bench list {what} NAME")


def _about(console: Console, one: Registered, what: str, *, whole: bool) -> None:
    """Below a name, indented: what it is, its options, their meaning if `whole`, its source."""
    fields = one.type.options_type.model_fields
    options = f"options: {', '.join(fields)}" if fields and not whole else ""
    about = "; ".join(filter(None, [what, options]))
    for line in filter(None, [one.summary, about, one.cite, one.faithful]):
        say(console, line, indent=4)
    if whole and fields:
        say(console, "options:", indent=4)
        for line in option_lines(one.type.options_type):
            say(console, line, indent=8)


def option_lines(kind: type[Options]) -> Iterator[str]:
    """A line an option, `name = default (allowed): meaning`, and then what is said of all."""
    for name, field in kind.model_fields.items():
        given, default = field.default, ""
        if given is not PydanticUndefined:
            default = f" = {given if isinstance(given, str) else _written(given)}"
        told = (getattr(one, "model_fields", {}).get(name) for one in kind.__mro__)  # last first
        meaning = next((one.description for one in told if one and one.description), "")
        meaning = " ".join(meaning.split())
        yield f"{name}{default} ({_allowed(field.annotation)})" + (meaning and f": {meaning}")
    if kind.__doc__:
        yield " ".join(kind.__doc__.split())


def _allowed(annotation: Any) -> str:
    """A type as people write it: the values of a choice, the kinds of others."""
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
    if (inner := typing.get_args(annotation)) and type(None) in inner:
        return " | ".join([*(_allowed(one) for one in inner if one is not type(None)), "null"])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "{" + ", ".join(annotation.model_fields) + "}"
    return getattr(annotation, "__name__", str(annotation))


def _units(entry: Entry) -> str:
    if entry.selector is not None:
        return "sets of channels"
    kinds = {"channels": entry.structured, "weights": entry.unstructured}
    return ", ".join(name for name, scored in kinds.items() if scored)
