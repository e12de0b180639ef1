"""What is said of figures, by templates/figures.yaml."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..analysis.fidelity import FidelityResults
from ..analysis.results import Results
from ..records import budget_of
from ..statistics import FEWEST_BASES
from ..words import Words
from .focus import EDGE
from .panels import MANY
from .plot import Plot
from .style import recovered


def plotted(
    about: str,  # which words of templates/figures.yaml
    figure: Figure,  # the picture
    data: pd.DataFrame,  # exactly what is drawn
    results: Results | FidelityResults,  # the analysis
    name: str = "",  # of the files, where it is not `about`
    **known: Any,
) -> Plot:
    """A figure with its words, which take what they name from its results and from `known`."""
    known |= {"results": results, "suite": results.suite, "data": data}
    words = (_WORDS(about, part, **known) for part in ("title", "caption", "alt"))
    return Plot(name or about, figure, data, *words)


def over_budgets(results: Results) -> str:
    """How budgets became one number: `at 50 % of MACs`."""
    return _WORDS("alike", "over_budgets", results)


_WORDS = Words(
    "figures.yaml", budget_of, recovered, EDGE=EDGE, MANY=MANY, FEWEST_BASES=FEWEST_BASES
)
