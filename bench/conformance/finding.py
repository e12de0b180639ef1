"""What the conformance kit says: one finding a check and family, and a table of them for people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.text import Text

from ..terminal import print_table
from .networks import FAMILIES

Verdict = Literal["pass", "fail", "not applicable", "information"]


@dataclass(frozen=True)
class Finding:
    """One check of one criterion."""

    criterion: str  # its name
    check: str  # what was asked, as in `CHECKS`
    family: str  # the kind of network, or `trained` for the small one that has learned digits
    verdict: Verdict  # `fail` is what must not be; `information` can be neither right nor wrong
    reason: str  # why, in a few words


STYLES: dict[Verdict, str] = {
    "pass": "green",
    "fail": "bold red",
    "not applicable": "dim",
    "information": "cyan",
}


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print the findings of one criterion: what holds on all networks is one line."""
    rows, last = [], ""
    order = list(dict.fromkeys(one.check for one in findings))
    together: dict[tuple[str, Verdict, str], list[str]] = {}  # families by what is said of them
    for each in sorted(findings, key=lambda one: order.index(one.check)):
        together.setdefault((each.check, each.verdict, each.reason), []).append(each.family)
    for (check, verdict, reason), families in together.items():
        name = "" if check == last else check
        where = "all" if len(families) == len(FAMILIES) else ", ".join(families)
        rows.append((name, Text(verdict, STYLES[verdict]), where, reason))
        last = check
    print_table(console, ("check", "verdict", "networks", "why"), rows)


def fails(findings: Iterable[Finding]) -> bool:
    """Whether anything that must hold does not."""
    return any(one.verdict == "fail" for one in findings)


def summary(findings: Sequence[Finding]) -> str:
    """One sentence: whether a criterion conforms, and what it fails if not."""
    name = findings[0].criterion
    if failed := list(dict.fromkeys(one.check for one in findings if one.verdict == "fail")):
        return f"{name} does not keep its promises: {', '.join(failed)}"
    return f"{name} conforms"
