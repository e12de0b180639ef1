"""The authors' settings (authors.csv) beside those of our suites, as they are when all is resolved.

`python tests/authors.py obc-ep-cifar` prints a suite's table.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from suites import Recipe, Suite, load_suite
from suites.files import parse_yaml

TABLE = Path(__file__).parent / "suites" / "authors.csv"


class Setting(NamedTuple):
    """What the authors set, and where they say so."""

    suite: str
    key: str
    value: Any
    source: str


def settings() -> list[Setting]:
    """All rows of the table, values read as YAML."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return [
            Setting(row["suite"], row["key"], parse_yaml(row["value"], row["key"]), row["source"])
            for row in csv.DictReader(file, strict=True)
        ]


def resolved(suite: Suite) -> dict[str, Any]:
    """The suite as it is run: named things by name, and recipes in the place of their names."""
    named = suite.all_recipes
    return {
        **suite.model_dump(by_alias=True),
        "datasets": {one.title: one.model_dump() for one in suite.datasets},
        "models": {one.title: _model(suite, one.title) for one in suite.models},
        "base": _recipe(named[suite.base_recipe]),
        "calibration": _calibration(suite.calibration.model_dump()),
        **_trained(suite, named, {one.name: one for one in suite.methods}),
    }


def _model(suite: Suite, title: str) -> dict[str, Any]:
    """A model with all that holds on it, on the first of its datasets."""
    dataset, model = next(one for one in suite.problems if one[1].title == title)
    recipes, base = suite.recipes_on(dataset, model), suite.base_recipe_of(model)
    methods = {one.name: one for one in suite.methods_on(model)}
    found = model.model_dump() | _trained(suite, recipes, methods)
    for name, method in methods.items():
        budgets = suite.budgets_of(model).written.values()
        chosen = {budget: suite.selection_of(model, method, budget) for budget in budgets}
        found["methods"][name]["selection"] = {at: one.identity for at, one in chosen.items()}
    return found | {
        "base": base and _recipe(recipes[base]),
        "budgets": suite.budgets_of(model).model_dump(exclude_none=True),
        "calibration": _calibration(suite.calibration_of(model).model_dump()),
        "selection": suite.selection.changed(model.selection).model_dump(),
    }


def _trained(
    suite: Suite, recipes: Mapping[str, Recipe], methods: Mapping[str, Any]
) -> dict[str, Any]:
    """Methods and recoveries by name, with the recipes that they follow."""
    recoveries = {one.name: one.model_dump() for one in suite.recoveries}
    found = {name: one.model_dump(by_alias=True) for name, one in methods.items()}
    phases = [
        *((one, "recipe") for one in recoveries.values()),
        *((one[key], "recipe") for one in found.values() for key in ("prepare", "procedure")),
        *((one["iterative"], "recover") for one in found.values()),
    ]
    for phase, key in phases:
        if phase and phase.get(key):
            phase[key] = _recipe(recipes[phase[key]])
    return {"methods": found, "recoveries": recoveries}


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """`drops`: the epochs from which on the rate is lower."""
    drops = [math.ceil(one * recipe.epochs - 1e-4) for one in recipe.milestones]
    return recipe.model_dump() | {"drops": drops if recipe.schedule == "step" else []}


def _calibration(given: dict[str, Any]) -> dict[str, Any]:
    """`batches`: how many of `batch_size`."""
    return given | {"batches": given["images"] / given["batch_size"]}


def found(place: Any, key: str) -> Any:
    """What stands at a dotted key; names may have dots themselves.

    Raises:
        KeyError: nothing does.
    """
    if not key:
        return place
    if isinstance(place, list) and (at := key.partition("."))[0].isdecimal():
        return found(place[int(at[0])], at[2])
    names = [str(one) for one in place] if isinstance(place, Mapping) else []
    fitting = [one for one in names if key == one or key.startswith(f"{one}.")]
    if not fitting:
        raise KeyError(key)
    name = max(fitting, key=len)
    inner = next(one for at, one in place.items() if str(at) == name)
    return found(inner, key[len(name) + 1 :])


def same(ours: Any, theirs: Any) -> bool:
    """Equal, numbers to seven digits, as shares of epochs are written."""
    if isinstance(theirs, list):
        return (
            isinstance(ours, list | tuple)
            and len(ours) == len(theirs)
            and all(map(same, ours, theirs))
        )
    if isinstance(theirs, float | int) and not isinstance(theirs, bool):
        return isinstance(ours, float | int) and math.isclose(ours, theirs, rel_tol=1e-6)
    return bool(ours == theirs)


def table(name: str) -> Iterator[str]:
    """A suite's settings in Markdown, ours beside the authors'."""
    suite = load_suite(name)
    assert isinstance(suite, Suite)
    all_of_it = resolved(suite)
    yield f"| {name} | ours | the authors' | where they say so |"
    yield "|---|---|---|---|"
    for one in settings():
        if one.suite == name:
            yield f"| `{one.key}` | {found(all_of_it, one.key)} | {one.value} | {one.source} |"


if __name__ == "__main__":
    print("\n".join(table(sys.argv[1])))
