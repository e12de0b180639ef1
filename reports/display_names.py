"""What papers call methods: a table of names, and rules for those that are made of several."""

import csv
import re
from functools import cache
from pathlib import Path


def display_name(method: str) -> str:
    """A method as papers write it, by names.csv; what is not known there keeps its own name.

    >>> display_name("oba"), display_name("bn-scale"), display_name("jacobian+ep")
    ('OBA', 'BN scale', 'Jacobian + EP')
    >>> display_name("l1-2of4"), display_name("l1~rgd"), display_name("mine-2")
    ('L1, 2:4', 'L1 matched to RGD', 'mine-2')
    """
    for sign, words in (("~", " matched to "), ("+", " + ")):
        if sign in method and method not in _titles():
            return words.join(map(display_name, method.split(sign)))
    if method.startswith("inverse-"):
        return f"Inverse {display_name(method.removeprefix('inverse-'))}"
    parts = method.split("-")
    for known in range(len(parts), 0, -1):
        name = "-".join(parts[:known])
        if title := _titles().get(name) or _titles().get(name.replace("-", "_")):
            rest = re.sub(r"^(\d)of(\d)$", r"\1:\2", " ".join(parts[known:]))
            return f"{title}, {rest}" if rest else title
    return method


@cache
def _titles() -> dict[str, str]:
    with Path(__file__).with_name("names.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["title"] for row in csv.DictReader(file)}
