"""A figure with its numbers and its words, and how it is written: four files, without dates."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from .style import publication

_GAP = 0.08  # inches between the titles of two panels
# Within it a figure without a layout engine stays without: saving would give it one.
_NO_ENGINE: Any = {"figure.constrained_layout.use": False}


class Plot(NamedTuple):
    """A figure before it is written."""

    name: str
    figure: Figure
    data: pd.DataFrame  # exactly what is drawn
    title: str
    caption: str  # says n, and what the spread means
    alt: str


class Drawing(NamedTuple):
    """A figure on disk and what the page says about it."""

    name: str
    svg: Path
    title: str
    caption: str
    alt: str
    inches: float  # wide, in print


def write(plot: Plot, folder: Path) -> Drawing:
    """Write NAME.pdf, .svg, .png and .csv, the same bytes for the same plot, in any process."""
    folder.mkdir(parents=True, exist_ok=True)
    stamps = {"pdf": "CreationDate", "svg": "Date", "png": "Software"}  # which are left out
    with publication():
        for text in plot.figure.findobj(Text):  # for ligatures PDF needs a second font
            text.set_fontfeatures(("-liga",))
        settle(plot.figure)
        with rc_context(_NO_ENGINE):
            for kind, stamp in stamps.items():
                plot.figure.savefig(folder / f"{plot.name}.{kind}", metadata={stamp: None})
    plot.data.to_csv(folder / f"{plot.name}.csv", index=False, lineterminator="\n")
    alt = f"{plot.alt} The numbers are in figures/{plot.name}.csv."
    svg, inches = folder / f"{plot.name}.svg", plot.figure.get_figwidth()
    return Drawing(plot.name, svg, plot.title, plot.caption, alt, round(inches, 2))


def settle(figure: Figure) -> None:
    """Fit the titles over their panels, then fix the layout. A fixed layout keeps what was placed
    by hand where it is, and is computed once, not a format."""
    if (engine := figure.get_layout_engine()) is None:
        return
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        engine.execute(figure)  # titles that are too long yet may leave panels no room
    if fit_titles(figure):
        engine.execute(figure)
    with rc_context(_NO_ENGINE):  # an engine named "none" would still be asked at every saving
        figure.set_layout_engine(None)
    for ax in figure.axes:  # sums end otherwise from Python 3.12 on, and names of clips show it
        ax.set_position(Bbox(ax.get_position().get_points().round(9)))


def fit_titles(figure: Figure) -> bool:
    """Break all titles that have a ` · ` if one is too wide, then shrink all until each fits.
    Returns whether any changed."""
    if not (titled := [ax for ax in figure.axes if ax.get_title(loc="left")]):
        return False
    renderer = FigureCanvasAgg(figure).get_renderer()  # what text is measured with

    def excess() -> float:
        return max(_titled(ax).get_window_extent(renderer).width / room[ax] for ax in titled)

    # Pixels from the left edge of a panel to the next panel of its row, or to the figure's end.
    places = {ax: (ax.get_position().y1, float(ax.get_window_extent().x0)) for ax in figure.axes}
    room = dict[Axes, float]()
    for ax, (top, left) in places.items():
        rest = [x for y, x in places.values() if abs(y - top) < 0.01 and x > left]
        room[ax] = min([*rest, figure.bbox.x1]) - left - _GAP * figure.dpi
    changed = excess() > 1
    if changed:
        for ax in titled:
            text = _titled(ax)
            text.set_text(text.get_text().replace(" · ", "\n"))
    if (ratio := excess()) > 1:
        for ax in titled:
            text = _titled(ax)
            text.set_fontsize(float(text.get_fontsize()) / ratio)
    return changed


def _titled(ax: Axes) -> Text:
    """The artist of a left title, which matplotlib keeps to itself."""
    said = ax.get_title(loc="left")
    texts = (one for one in ax.get_children() if isinstance(one, Text))
    return next(one for one in texts if one.get_text() == said)
