"""What there is by name: criteria, phases, presets, suites, models, datasets, recipes."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ..errors import BenchError
from .table import print_table

if TYPE_CHECKING:
    from criteria.options import Options
    from criteria.phases import Kind, PhaseEntry
    from criteria.registry import Entry
    from suites.method import MethodSpec

PHASES: dict[str, Kind] = {
    "preparations": "preparation",
    "procedures": "procedure",
    "recoveries": "recovery",
}
_PLURAL = {kind: plural for plural, kind in PHASES.items()}
LISTS = ("criteria", *PHASES, "presets", "suites", "models", "datasets", "recipes")


def listing(console: Console, what: str, plugins: Sequence[Path], name: str = "") -> None:
    """Print one of `LISTS`, or all about one criterion or phase of it.

    Raises:
        BenchError: `what` is none of them, or has no more to tell of its members.
        CriteriaError: nothing there bears that name.
    """
    if what not in LISTS:
        raise BenchError(f"bench list {what}: there are {', '.join(LISTS)}")
    if name and what not in ("criteria", "presets") and what not in PHASES:
        told = ", ".join(("criteria", "presets", *PHASES))
        raise BenchError(f"bench list {what} {name}: a name may follow {told}")
    if what == "suites":
        _suites(console)
    elif what == "recipes":
        _recipes(console)
    elif what == "presets":
        _presets(console, name)
    elif what == "criteria":
        _criteria(console, plugins, name)
    elif what in PHASES:
        _phases(console, PHASES[what], name)
    else:
        from ..data.known import list_datasets
        from ..models import list_models

        found = list_models() if what == "models" else list_datasets()
        print_table(console, (what[:-1], "what it is"), found.items())


def _suites(console: Console) -> None:
    from suites import expand, library, load_suite

    loaded = [load_suite(name) for name in library()]
    rows = [(one.suite, str(sum(1 for _ in expand(one))), one.description) for one in loaded]
    print_table(console, ("suite", "trials", "what it asks"), rows)


def _presets(console: Console, name: str) -> None:
    """The papers' methods, of which suites are made; or all of one."""
    from suites.method import MethodSpec, named_presets

    if name:
        _preset(console, name)
        return
    rows = [
        (name, method.criterion, _leaves(method))
        for name, one in named_presets().items()
        for method in [MethodSpec.model_validate(one)]
    ]
    print_table(console, ("preset", "criterion", "leaves"), rows)
    console.print("all of one: bench list presets NAME")


def _preset(console: Console, name: str) -> None:
    """What a preset stands for in a suite, and the named recipes that it follows.

    Raises:
        BenchError: there is none of that name.
    """
    from suites import named_recipes
    from suites.faults import no_such
    from suites.method import MethodSpec, named_presets

    known = named_presets()
    if name not in known:
        raise BenchError(no_such("preset", name, known))
    console.print(f"[bold]{name}[/]")
    for key, value in known[name].items():
        console.print(Padding(Text(f"{key}: {_written(value)}"), (0, 0, 0, 4)))
    recipes = sorted(MethodSpec.model_validate(known[name]).recipes)
    if recipes:
        console.print("recipes, which a suite may replace under the same names:")
    for one in recipes:
        recipe = named_recipes()[one].model_dump(exclude_defaults=True)
        console.print(Padding(Text(f"{one}: {_written(recipe)}"), (0, 0, 0, 4)))
    console.print(f"in a suite: `- {name}`, or `- {{preset: {name}, as: NAME, KEY: VALUE}}`")


def _written(value: Any) -> str:
    """A value on one line, as a suite writes it."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n...\n").strip()


def _leaves(method: MethodSpec) -> str:
    """How channels leave, and what trains before, meanwhile and after."""
    steps = f"{method.iterative.steps} steps" if method.iterative else "one-shot"
    if method.iterative and method.iterative.recover:
        steps += f", {method.iterative.recover} after each"
    if method.iterative and method.iterative.rewind:
        steps += f", {method.iterative.rewind.name} after each"
    before = f"{method.prepare.name}, " if method.prepare else ""
    meanwhile = f", {method.procedure.name}" if method.procedure else ""
    after = f", {method.finetuning.name}" if method.finetuning else ""
    return before + steps + meanwhile + after


def _recipes(console: Console) -> None:
    from suites import named_recipes

    rows = [
        (
            name,
            str(one.epochs),
            str(one.batch_size),
            f"{one.optimizer} {one.learning_rate:g} {one.schedule}",
            f"{one.weight_decay:g}",
        )
        for name, one in named_recipes().items()
    ]
    print_table(console, ("recipe", "epochs", "batch", "optimizer", "weight decay"), rows)


def _criteria(console: Console, plugins: Sequence[Path], name: str) -> None:
    """A line each, or all about one."""
    with console.status("loading torch and the criteria"):
        from criteria import criteria, find

        from ..plan.plugins import load_plugins

        load_plugins(plugins)
        entries = [find(name)] if name else criteria()
    if not name:
        rows = [(one.name, _units(one), _needs(one), one.summary) for one in entries]
        print_table(
            console, ("criterion", "scores or picks", "needs", "what it is"), rows, brief=True
        )
        console.print("all about one: bench list criteria NAME")
        return
    for one in entries:
        kind = " [cyan]selector[/]" if one.selector is not None else ""
        console.print(f"[bold]{one.name}[/]{kind}", ", ".join(one.aliases))
        does = "picks" if one.selector is not None else "scores"
        _about(console, one, f"{does} {_units(one)}; needs {_needs(one)}", whole=True)


def _needs(entry: Entry) -> str:
    return (entry.needs.name or "").lower().replace("_", " ").replace("|", ", ") or "weights"


def _phases(console: Console, kind: Kind, name: str) -> None:
    """All about each, as there are few, or about one."""
    with console.status("loading torch and the phases"):
        from criteria.phases import find_phase, phases

        entries = [find_phase(kind, name)] if name else phases(kind)
    for one in entries:
        console.print(f"[bold]{one.name}[/]")
        follows = getattr(one.type, "follows", None)
        on_its_way = {None: "", True: "takes the units chosen before", False: "chooses on its way"}
        _about(console, one, on_its_way[follows], whole=bool(name))
    if not name:
        console.print(f"options with their meaning: bench list {_PLURAL[kind]} NAME")


def _about(console: Console, one: Entry | PhaseEntry, what: str, *, whole: bool) -> None:
    """Below a name, indented: what it is, its options, their meaning if `whole`, its source."""
    fields = one.type.options_type.model_fields
    options = f"options: {', '.join(fields)}" if fields and not whole else ""
    about = "; ".join(filter(None, [what, options]))
    for line in filter(None, [one.summary, about, one.cite, one.faithful]):
        console.print(Padding(Text(line), (0, 0, 0, 4)))
    if whole and fields:
        console.print("    options:")
        for line in option_lines(one.type.options_type):
            console.print(Padding(Text(line), (0, 0, 0, 8)))


def option_lines(kind: type[Options]) -> Iterator[str]:
    """A line an option, `name = default (allowed): meaning`, and then what is said of all."""
    from pydantic_core import PydanticUndefined

    for name, field in kind.model_fields.items():
        default = "" if field.default is PydanticUndefined else f" = {_plain(field.default)}"
        meaning = _meaning(kind, name)
        yield f"{name}{default} ({_allowed(field.annotation)})" + (meaning and f": {meaning}")
    if kind.__doc__:
        yield " ".join(kind.__doc__.split())


def _meaning(kind: type[Options], name: str) -> str:
    """An option's description, from where it was described last."""
    fields = (getattr(one, "model_fields", {}).get(name) for one in kind.__mro__)
    return next((one.description for one in fields if one and one.description), "")


def _allowed(annotation: Any) -> str:
    """A type as people write it: the values of a choice, the kinds of others."""
    from pydantic import BaseModel

    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
    inner = typing.get_args(annotation)
    if inner and type(None) in inner:
        return " | ".join([*(_allowed(one) for one in inner if one is not type(None)), "null"])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "{" + ", ".join(annotation.model_fields) + "}"
    return getattr(annotation, "__name__", str(annotation))


def _plain(value: Any) -> str:
    """A value as YAML writes it, without quotes."""
    return value if isinstance(value, str) else _written(value)


def _units(entry: Entry) -> str:
    if entry.selector is not None:
        return "sets of channels"
    kinds = {"channels": entry.structured, "weights": entry.unstructured}
    return ", ".join(name for name, scored in kinds.items() if scored)
