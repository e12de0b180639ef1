"""What is said of figures, by templates/figures.yaml; and what captions say alike."""

from typing import Any, NamedTuple

from ..analysis.fidelity import FidelityResults
from ..analysis.ranking import MethodRanks
from ..analysis.results import Results
from ..formats import counted
from ..records import budget_words
from ..statistics import FEWEST_BASES
from ..words import Words
from .focus import EDGE
from .panels import MANY
from .rows import bar_words
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


def participants(ranks: MethodRanks) -> str:
    """n in words, and whom it leaves out."""
    text = f"n = {counted(len(ranks.problems), 'problem')}"
    if not ranks.waiting:
        return text
    return f"{text} ({counted(len(ranks.waiting), 'unfinished method')} left out)"


def over_budgets(results: Results) -> str:
    """How budgets became one number, for titles and captions: `at 50 % of MACs`."""
    counts = sorted({len(kept) for kept in results.budgets.values()})
    if counts == [1]:
        return at_the_tightest(results)
    several = "–".join(str(one) for one in dict.fromkeys([counts[0], counts[-1]]))
    if results.suite.budgets.cost == "threshold":
        return f"averaged over {several} thresholds"
    return f"averaged over {several} budgets, weighted by log compression"


def change(results: Results) -> str:
    """What methods are measured by, for captions."""
    return f"accuracy change (top-1, pruned minus dense network, in points) {over_budgets(results)}"


def pairs_tested(results: Results) -> str:
    """What the test of every pair says, for captions."""
    problems = "this problem" if len(results.problems) == 1 else "these problems"
    return (
        f"on {problems} (Welch's t-test paired by base, Holm for all pairs, level "
        f"{results.suite.analysis.alpha:g})"
    )


def at_the_tightest(results: Results) -> str:
    """The least that is kept, for captions: problems may have budgets of their own."""
    least = {kept[-1] for kept in results.budgets.values()}
    single = max(map(len, results.budgets.values())) == 1
    if len(least) > 1:
        return f"at the {'' if single else 'tightest '}budget of each problem"
    axis = results.suite.budgets.cost
    words = budget_words(axis, min(least))
    if axis != "threshold":
        words += f" of {COSTS[axis].removesuffix(' kept (%)')}"
    return f"at {words}" if single else f"at the tightest budget, {words}"


_ALIKE = (participants, over_budgets, change, pairs_tested, at_the_tightest, bar_words, recovered)
_KNOWN = {"EDGE": EDGE, "MANY": MANY, "FEWEST_BASES": FEWEST_BASES, "COSTS": COSTS}
_WORDS = Words("figures.yaml", *_ALIKE, **_KNOWN)
