"""Findings as a table in the terminal: what holds everywhere is one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .finding import Finding, Verdict
from .networks import FAMILIES

STYLES: dict[Verdict, str] = {
    "pass": "green",
    "fail": "bold red",
    "not applicable": "dim",
    "information": "cyan",
}


def show(console: Console, findings: Sequence[Finding]) -> None:
    """Print the findings of one criterion."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("check", "verdict", "networks", "why"):
        table.add_column(head, overflow="fold")
    last = ""
    for (check, verdict, reason), families in _together(findings).items():
        name = "" if check == last else check
        cells = (name, Text(verdict, STYLES[verdict]), _named(families), Text(reason))
        table.add_row(*cells)
        last = check
    console.print(table)


def summary(findings: Sequence[Finding]) -> str:
    """One sentence about one criterion."""
    name = findings[0].criterion
    failed = list(dict.fromkeys(one.check for one in findings if one.verdict == "fail"))
    if failed:
        return f"{name} does not keep its promises: {', '.join(failed)}"
    return f"{name} conforms"


def _together(findings: Iterable[Finding]) -> dict[tuple[str, Verdict, str], list[str]]:
    """Families by what is said of them, in the order of the checks."""
    found: dict[tuple[str, Verdict, str], list[str]] = {}
    order = list(dict.fromkeys(one.check for one in findings))
    for one in sorted(findings, key=lambda each: order.index(each.check)):
        found.setdefault((one.check, one.verdict, one.reason), []).append(one.family)
    return found


def _named(families: Sequence[str]) -> str:
    return "all" if len(families) == len(FAMILIES) else ", ".join(families)
