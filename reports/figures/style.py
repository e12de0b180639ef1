"""One colour and one marker a method, the same in every figure; and how a figure is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from suites.method import matched_name
from suites.schema import Suite

# Okabe-Ito without yellow and black, then Paul Tol's muted set: they differ in lightness as well,
# and the markers differ throughout, so the figures read without colour.
_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#882255", "#999933", "#332288", "#44AA99", "#AA4499", "#117733"),
)
_MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d", "8")
_DASHES = ((4, 1.5), (1, 1.2), (4, 1.2, 1, 1.2))
CONTROL_COLOUR = "#000000"
GREY = "#777777"


@dataclass(frozen=True)
class Look:
    """How a method is drawn everywhere."""

    colour: str
    marker: str
    dashes: tuple[float, ...] | None = None  # of a control with matched widths; None: solid
    width: float = 1.1

    def line(self, x: ArrayLike, y: ArrayLike, label: str = "") -> Line2D:
        """A curve, or with empty data its entry in a legend."""
        return Line2D(
            np.asarray(x, dtype=float),
            np.asarray(y, dtype=float),
            color=self.colour,
            marker=self.marker,
            markerfacecolor="#ffffff" if self.dashes else self.colour,
            linewidth=self.width,
            linestyle=(0, self.dashes) if self.dashes else "-",
            label=label,
        )


def looks(suite: Suite) -> dict[str, Look]:
    """Of every method name, by its place in the suite; the control is black.

    A control with matched widths has the colour and marker of its method, hollow, and dashes.
    """
    found: dict[str, Look] = {}
    place = 0
    for method in suite.methods:
        if method.name == suite.analysis.control:
            own = Look(CONTROL_COLOUR, "o", width=1.8)
        else:
            # 12 colours and 13 markers: no pair comes twice among the first 156 methods.
            own = Look(_COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)])
            place += 1
        found[method.name] = own
        for i, criterion in enumerate(method.matched):
            dashes = _DASHES[i % len(_DASHES)]
            found[matched_name(method, criterion)] = Look(own.colour, own.marker, dashes)
    return found


@contextmanager
def publication() -> Iterator[None]:
    """The style of all figures, whatever the user's own matplotlib settings are."""
    from matplotlib import RcParams, rcdefaults, rcParams

    assert isinstance(rcParams, RcParams)
    with rc_context():
        rcdefaults()
        with rc_context(fname=Path(__file__).parents[1] / "publication.mplstyle"):
            yield


def save(figure: Figure, data: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write NAME.pdf, .svg, .png and .csv without dates, and return the SVG's path.

    Call it inside `publication`, which fixes the ids that SVG would draw at random.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unstamped: Mapping[str, Mapping[str, str | None]] = {
        "pdf": {"CreationDate": None},
        "svg": {"Date": None},
        "png": {"Software": None},
    }
    for kind, metadata in unstamped.items():
        figure.savefig(folder / f"{name}.{kind}", metadata=dict(metadata))
    data.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    return folder / f"{name}.svg"


def title(problem: str, recovery: str, note: str = "") -> str:
    """Of a panel, on one line; `fit_titles` breaks it."""
    return f"{problem} · {'no recovery' if recovery == 'none' else recovery}{note}"


def fit_titles(figure: Figure, letters: int) -> None:
    """Put all titles on two lines if one is longer than so many letters."""
    texts = [ax.get_title(loc="left") for ax in figure.axes]
    if max(len(text) for text in texts) > letters:
        for ax, text in zip(figure.axes, texts, strict=True):
            ax.set_title(text.replace(" · ", "\n", 1))


def in_order(names: Sequence[str], order: Mapping[str, object]) -> list[str]:
    """The names that occur, in the order of the suite."""
    return [name for name in order if name in set(names)]
