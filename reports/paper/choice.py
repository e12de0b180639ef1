"""What a paper shows of a suite, as `bench report --paper` is told: `KEY=VALUE`, a key each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suites.faults import no_such

from ..analysis.results import Results
from ..words import titles


@dataclass(frozen=True)
class Choice:
    """What is shown, in this order."""

    names: Mapping[str, str]  # method -> what the paper calls it
    problems: Sequence[str]
    recoveries: Sequence[str]
    budgets: Sequence[float]
    wide: bool  # across a page, not in a column


def chosen(given: Sequence[str], results: Results) -> Choice:
    """Read `methods=l1,taylor`, `problems=`, `recoveries=`, `budgets=0.5` (each: all of the suite
    unless given), `width=page` (unless given: column), and `names.l1=Magnitude`.

    Raises ValueError for a key or value that there is not, and for two methods of one name.
    """
    shares = {f"{one:g}": one for kept in results.budgets.values() for one in kept}
    there = {
        "methods": results.suite.method_names,
        "problems": results.problems,
        "recoveries": results.recoveries,
        "budgets": sorted(shares, key=float, reverse=True),
        "width": ["column", "page"],
    }
    asked: dict[str, str] = {}
    for text in given:
        key, _, value = (part.strip() for part in text.partition("="))
        if not value:
            raise ValueError(f"{text!r}: write KEY=VALUE, as in methods=l1,taylor or names.l1=L1")
        if key not in there and not key.startswith("names."):
            raise ValueError(no_such("key", key, [*there, "names.METHOD"]))
        if key in asked:
            raise ValueError(f"{key} is given twice; give it once, with all its values")
        asked[key] = value
    picked = {key: _pick(asked.get(key, ""), key, known) for key, known in there.items()}
    methods = picked["methods"]
    renamed = {key.removeprefix("names."): one for key, one in asked.items() if "." in key}
    for method in renamed:
        _pick(method, "methods", methods)
    names = {one: renamed.get(one, display_name(one)) for one in methods}
    for name in names.values():
        if len(same := [method for method, other in names.items() if other == name]) > 1:
            said = f"{' and '.join(same)} would all be called {name}; name them apart"
            raise ValueError(f"{said}, as in names.{same[0]}={name} (1)")
    budgets = [shares[one] for one in picked["budgets"]]
    wide = picked["width"] == ["page"]
    return Choice(names, picked["problems"], picked["recoveries"], budgets, wide)


def _pick(value: str, key: str, there: Sequence[str]) -> list[str]:
    """The values of a key, of those there are; default: all."""
    names = [one.strip() for one in value.split(",")] if value else list(there)
    for name in names:
        if name not in there:
            one = key.replace("ies", "y").removesuffix("s")  # recoveries, methods, width
            raise ValueError(no_such(one, name, there))
    return list(dict.fromkeys(names))


def display_name(method: str) -> str:
    """A method as papers write it, by names.csv; what is not known there keeps its own name."""
    for sign, words in (("~", " matched to "), ("+", " + ")):
        if sign in method and method not in titles():
            return words.join(map(display_name, method.split(sign)))
    if method.startswith("inverse-"):
        return f"Inverse {display_name(method.removeprefix('inverse-'))}"
    parts = method.split("-")
    for known in range(len(parts), 0, -1):
        name = "-".join(parts[:known])
        if title := titles().get(name) or titles().get(name.replace("-", "_")):
            rest = re.sub(r"^(\d)of(\d)$", r"\1:\2", " ".join(parts[known:]))
            return f"{title}, {rest}" if rest else title
    return method
