"""Tables under the words of templates/tables.yaml, and what is to be read with care, by what is
wrong and with what.
"""

from collections.abc import Sequence
from typing import Any

from ..analysis import best
from ..analysis.fidelity import SHARES, FidelityResults
from ..analysis.results import Results
from ..formats import Cell, Column, Table, ranged
from ..statistics import FEWEST_LEVELS
from ..words import Words


def captioned(
    name: str,
    of: str,
    results: Results | FidelityResults,
    rows: Sequence[Sequence[Cell]],
    **known: Any,
) -> Table:
    """A table of a recovery or a problem, or of all ("") under its title, heads and caption. They
    take what they name from its results and from `known`."""
    known |= {"of": of, "results": results, "suite": results.suite}
    title, heads, caption = (_WORDS(name, part, **known) for part in ("title", "heads", "caption"))
    names = [one.strip() for one in heads.split("|")]
    columns = [Column(one.removeprefix("# "), numeric=one.startswith("# ")) for one in names]
    return Table(f"{name}_{of}" if of else name, title, caption, columns, rows)


_WORDS = Words("tables.yaml", ranged, OVER=best.OVER, FEWEST_LEVELS=FEWEST_LEVELS, SHARES=SHARES)
caution = Words("warnings.yaml")
