"""What factors do together: the mean of each combination of levels, and what each term explains."""

from collections.abc import Iterator, Mapping
from itertools import cycle, product

import numpy as np
import pandas as pd

from .. import statistics
from ..analysis.comparisons import bounded
from ..analysis.factorial import crossed
from ..analysis.results import Results
from ..metric import spoken
from .captions import plotted
from .panels import legend, tiled
from .plot import Plot
from .style import COLOURS, MARKERS, QUIET, Look

_ROOM = 45  # letters that fit below a panel
_APART = 0.07  # of the way to the next level, so that no bar of a line hides another's


def drawn(results: Results) -> pd.DataFrame:
    """A row a combination: a level of each factor, `mean`, `low`, `high` (points of top-1, over
    bases of all problems). Then a row a term: `term`, `share` (of the variation, in percent)."""
    rules, (levels, cells) = results.suite.analysis, crossed(results)
    found = statistics.on_these_problems(cells.reshape(-1, *cells.shape[-2:]))
    low, high = bounded(found.interval(1 - rules.alpha))
    rows = pd.DataFrame(list(product(*levels)), columns=rules.factors)
    terms = results.factorial[["term", "share"]].drop_duplicates()
    return pd.concat([rows.assign(mean=found.mean, low=low, high=high), terms], ignore_index=True)


def plots(results: Results, _: Mapping[str, Look]) -> Iterator[Plot]:
    """Across the first factor, a line the second, a panel the last of three; then the shares. None
    where no base has all combinations, or these do not differ."""
    if not results.factorial["share"].notna().any():
        return
    data = drawn(results)
    cells, terms = data[data["term"].isna()], data[data["term"].notna()]
    first, second, *last = results.suite.analysis.factors
    names, lines = cells[first].unique(), cells[second].unique()
    slant = 20 if len(names) * max(map(len, names)) > _ROOM else 0
    looks = [Look(*one) for one in zip(lines, cycle(COLOURS), cycle(MARKERS), strict=False)]
    panels = list(cells.groupby(last, sort=False)) if last else [((), cells)]
    figure, (*axes, below) = tiled(len(panels) + 1, 2, 2.0, 0.4)
    for ax, (level, rows) in zip(axes, panels, strict=True):
        ax.sharey(axes[0])
        ax.set(title=": ".join(map(str, [*last, *level])), xlabel=first, ylabel=spoken().change)
        ax.set_xticks(range(len(names)), names, rotation=slant, ha="right" if slant else "center")
        for at, look in enumerate(looks):
            own = rows[rows[second] == look.name]
            x = np.arange(len(own)) + _APART * (at - (len(looks) - 1) / 2)
            ax.add_line(look.line(x, own["mean"]))
            ax.vlines(x, own["low"], own["high"], color=look.colour, linewidth=0.9)
    below.barh(range(len(terms)), terms["share"], height=0.4, color=QUIET)
    for y, (term, share) in enumerate(zip(terms["term"], terms["share"], strict=True)):
        below.text(0, y - 0.25, f" {term}: {share:.1f} %", va="bottom", fontsize=6.5)
    below.set(title="share of the variation", xlabel="%", yticks=[], ylim=(len(terms) - 0.6, -1))
    legend(figure, [look.line([], [], label=look.name) for look in looks])
    yield plotted("factorial", figure, data, results, table=results.factorial)
