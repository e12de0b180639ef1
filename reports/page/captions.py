"""Tables under the words of templates/tables.yaml."""

from collections.abc import Sequence
from typing import Any

from ..analysis import best
from ..analysis.fidelity import FidelityResults
from ..analysis.results import Results
from ..formats import Cell, Column, Table, ranged
from ..statistics import FEWEST_LEVELS
from ..words import Words


def captioned(
    name: str,
    of: str,
    results: Results | FidelityResults,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    **known: Any,
) -> Table:
    """A table of a recovery or a problem, or of all ("") under its title and caption.

    They take what they name from its results and from `known`.
    """
    known |= {"of": of, "results": results, "suite": results.suite}
    title, caption = (_WORDS(name, part, **known) for part in ("title", "caption"))
    return Table(f"{name}_{of}" if of else name, title, caption, columns, rows)


def these(results: Results) -> str:
    return "these problems" if len(results.problems) > 1 else "this problem"


def over_budgets(results: Results) -> str:
    """How budgets become one number."""
    counts = [len(kept) for kept in results.budgets.values()]
    if max(counts) == 1:
        return "at one budget"
    if results.suite.budgets.cost == "threshold":
        return f"mean over {ranged(counts, 'threshold')}"
    return f"mean over {ranged(counts, 'budget')}, weighted by log compression"


_WORDS = Words("tables.yaml", over_budgets, these, OVER=best.OVER, FEWEST_LEVELS=FEWEST_LEVELS)
