"""What the first figure, its table and the interactive charts draw: one board of a page, as JSON.

Texts are made here, by the functions that make those of all tables; the script only places them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

APART = "|"  # between the names of options in the key of a view


class Mark(NamedTuple):
    """A row of the table, and where it is drawn; NaN is not drawn."""

    name: str
    value: float
    low: float
    high: float
    tone: str  # `better`, `worse`, `control` or empty: how the mark looks
    texts: Sequence[str]  # one a head
    costs: Sequence[float] = ()  # one a cost of the board


class Switch(NamedTuple):
    """A choice; an option is its name in the page's address, and its words."""

    key: str
    label: str
    options: Sequence[tuple[str, str]]


class View(NamedTuple):
    """What one setting of all switches shows."""

    marks: Sequence[Mark]  # highest value first, those without one last
    shown: Sequence[str]  # names shown until the reader chooses others
    reference: Mark  # the dashed line
    over: str = ""  # what to say in place of the problem: of how many, or that nothing is tested

    @property
    def rows(self) -> list[Mark]:
        """The table, until the reader chooses others."""
        return [self.reference, *(one for one in self.marks if one.name in self.shown)]


class Board(NamedTuple):
    """All views of a page."""

    value: str  # what is drawn, with its unit
    legend: str  # how it is drawn, but for the dashed line
    heads: Sequence[tuple[str, str]]  # of the columns, each with what stands small below it
    costs: Sequence[str]  # of `Mark.costs`, in words
    switches: Sequence[Switch]  # those with several options are shown
    views: Mapping[tuple[str, ...], View]  # by the name of each switch's option

    @property
    def start(self) -> tuple[str, ...]:
        """What is shown at first: the first view that shows something."""
        return next((key for key, view in self.views.items() if view.shown), next(iter(self.views)))

    @property
    def first(self) -> View:
        return self.views[self.start]

    @property
    def script(self) -> Markup:
        """JSON that stands safely inside a script element, whatever methods are called."""
        names = list(dict.fromkeys(one.name for view in self.views.values() for one in view.marks))
        places = {name: place for place, name in enumerate(names)}
        views = {
            APART.join(key): {
                "marks": [[places[one.name], *_plain(one)] for one in view.marks],
                "shown": [places[name] for name in view.shown],
                "over": view.over,
                "reference": [view.reference.name, *_plain(view.reference)],
            }
            for key, view in self.views.items()
        }
        content = {name: getattr(self, name) for name in ("value", "heads", "costs", "start")}
        content["switches"] = [one._asdict() for one in self.switches]
        content |= {"names": names, "views": views}
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
        return Markup(text.translate({ord(one): f"\\u{ord(one):04x}" for one in "<>&"}))


def _plain(mark: Mark) -> list[Any]:
    """Without the name; numbers as fine as a picture needs, for what is read are the texts."""
    value, low, high, *costs = (
        float(f"{one:.5g}") if math.isfinite(one) else None
        for one in (mark.value, mark.low, mark.high, *mark.costs)
    )
    return [value, low, high, mark.tone, mark.texts, costs]
