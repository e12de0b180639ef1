"""What is said of figures, by templates/figures.yaml."""

from typing import Any, NamedTuple

from ..analysis.fidelity import FidelityResults
from ..analysis.results import Results
from ..records import budget_words
from ..statistics import FEWEST_BASES
from ..words import Words
from .focus import EDGE
from .panels import MANY
from .style import recovered

COSTS = {
    "macs": "MACs kept (%)",
    "params": "parameters kept (%)",
    "channels": "channels kept (%)",
    "weights": "weights kept (%)",
    "latency": "latency kept (%)",
}


class Said(NamedTuple):
    """The words of one figure."""

    title: str
    caption: str  # says n, and what the spread means
    alt: str


def said(figure: str, results: Results | FidelityResults, **known: Any) -> Said:
    """The words of a figure, which take what they name from its results and from `known`."""
    known |= {"results": results, "suite": results.suite}
    return Said(*(_WORDS(figure, part, **known) for part in Said._fields))


def over_budgets(results: Results) -> str:
    """How budgets became one number: `at 50 % of MACs`."""
    return _WORDS("alike", "over_budgets", results)


_WORDS = Words(
    "figures.yaml", budget_words, recovered,
    EDGE=EDGE, MANY=MANY, FEWEST_BASES=FEWEST_BASES, COSTS=COSTS,
)  # fmt: skip
