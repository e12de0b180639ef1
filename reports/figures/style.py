"""One colour and one marker a method, the same in every figure; and the style of all figures."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context, rcdefaults
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from suites.method import matched_name
from suites.schema import Suite

from ..formats import in_words

# Okabe-Ito without yellow and black, then Paul Tol's muted set: they differ in lightness as well,
# and the markers differ throughout, so the figures read without colour.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#882255", "#999933", "#332288", "#44AA99", "#AA4499", "#117733"),
)
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d", "8")
_DASHES = ((4, 1.5), (1, 1.2), (4, 1.2, 1, 1.2))
CONTROL_COLOUR = "#000000"
GREY = "#777777"
QUIET = "#a9a9a9"  # of methods that a crowded figure does not single out
INK = "#222222"
DASHED: dict[str, Any] = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (6, 2))}  # dense

# Inches, of most journals and conferences.
ONE_COLUMN = 3.4
TWO_COLUMNS = 7.1


@dataclass(frozen=True)
class Look:
    """How a method is drawn everywhere, and called in legends."""

    name: str
    colour: str
    marker: str
    dashes: tuple[float, ...] | None = None  # of a control with matched widths; None: solid
    width: float = 1.1
    quiet: bool = False  # grey: one of many, named only where its name stands beside it

    @property
    def z(self) -> float:
        """Height above the paper: grey below colours, the control on top."""
        return 1.5 if self.quiet else 4 if self.colour == CONTROL_COLOUR else 3

    def line(self, x: ArrayLike, y: ArrayLike, label: str = "") -> Line2D:
        """A curve, or with empty data its entry in a legend."""
        return Line2D(
            np.asarray(x, dtype=float),
            np.asarray(y, dtype=float),
            color=self.colour,
            marker=self.marker,
            markerfacecolor="#ffffff" if self.dashes else self.colour,
            linestyle=(0, self.dashes) if self.dashes else "-",
            label=label,
            zorder=self.z,
            linewidth=0.6 if self.quiet else self.width,
            markersize=2.2 if self.quiet else 4.2,
        )


def looks(suite: Suite, loud: Collection[str]) -> dict[str, Look]:
    """How each method is drawn, by name in the order of the suite; the control is black.

    A control with matched widths has the colour and marker of its method, hollow, and dashes.

    `suite`: gives the methods. `loud`: those with a colour; others are grey, each with its marker.
    """
    by_name: dict[str, Look] = {}
    places = {True: 0, False: 0}
    for method in suite.methods:
        if method.name == suite.analysis.control:
            own = Look(method.name, CONTROL_COLOUR, "o", width=1.8)
        else:
            coloured = method.name in loud
            place = places[coloured]
            # 12 colours and 13 markers: no pair comes twice among the first 156 methods.
            colour = COLOURS[place % len(COLOURS)] if coloured else QUIET
            marker = MARKERS[place % len(MARKERS)]
            own = Look(method.name, colour, marker, quiet=not coloured)
            places[coloured] += 1
        by_name[method.name] = own
        for i, criterion in enumerate(method.matched):
            name = matched_name(method, criterion)
            dashes = _DASHES[i % len(_DASHES)]
            by_name[name] = replace(own, name=name, dashes=dashes, width=1.1)
    return by_name


@contextmanager
def publication() -> Iterator[None]:
    """The style of all figures, whatever the user's own matplotlib settings are."""
    with rc_context():
        rcdefaults()
        with rc_context(fname=Path(__file__).parents[1] / "publication.mplstyle"):
            yield


def title(problem: str, recovery: str, note: str = "") -> str:
    """The title of a panel, on one line; `settle` breaks it where it would not fit."""
    return f"{problem} · {recovered(recovery)}{note}"


def recovered(recovery: str) -> str:
    """The recovery in words."""
    form = r"\1 · tuned alike · \2 settings"  # titles break at the points
    return "no recovery" if recovery == "none" else in_words(recovery, form)
