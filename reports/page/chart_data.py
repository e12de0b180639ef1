"""What the first figure, its table and the interactive charts draw: one board of a page, as JSON.

Texts are made here, by the functions that make those of all tables; the script only places them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from markupsafe import Markup

DECIMALS = 4  # of what is drawn; what is read are the texts


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


@dataclass(frozen=True)
class View:
    """What one setting of all switches shows."""

    marks: Sequence[Mark]  # highest value first, those without one last
    shown: Sequence[str]  # names shown until the reader chooses others
    reference: Mark  # the dashed line

    @property
    def rows(self) -> list[Mark]:
        """The table, until the reader chooses others."""
        return [self.reference, *(one for one in self.marks if one.name in self.shown)]


@dataclass(frozen=True)
class Board:
    """All views of a page.

    Attributes:
        value: what is drawn, with its unit.
        legend: how it is drawn.
        heads: of the columns, each with what stands small below it.
        costs: of `Mark.costs`, in words.
        switches: those with several options are shown.
        views: by the place of each switch's option.
    """

    value: str
    legend: str
    heads: Sequence[tuple[str, str]]
    costs: Sequence[str]
    switches: Sequence[Switch]
    views: Mapping[tuple[int, ...], View]

    @property
    def first(self) -> View:
        """What is shown at first, and without a script: the first view that shows something."""
        return self.views[self._first]

    @property
    def _first(self) -> tuple[int, ...]:
        return next((key for key, view in self.views.items() if view.shown), next(iter(self.views)))

    @property
    def script(self) -> Markup:
        """JSON that stands safely inside a script element, whatever methods are called.

        >>> name = "</script><b>"
        >>> mark = Mark(name, 0.12345678, math.nan, math.nan, "", ["+0.12"])
        >>> board = Board("points", "", [], [], [], {(0,): View([mark], [name], mark)})
        >>> "<" in board.script, json.loads(board.script)["names"]
        (False, ['</script><b>'])
        >>> json.loads(board.script)["views"]["0"]["marks"]
        [[0, 0.1235, None, None, '', ['+0.12'], []]]
        """
        names = list(dict.fromkeys(one.name for view in self.views.values() for one in view.marks))
        places = {name: place for place, name in enumerate(names)}
        views = {
            _joined(key): {
                "marks": [[places[one.name], *_plain(one)] for one in view.marks],
                "shown": [places[name] for name in view.shown],
                "reference": [view.reference.name, *_plain(view.reference)],
            }
            for key, view in self.views.items()
        }
        content = {
            "value": self.value,
            "heads": self.heads,
            "costs": self.costs,
            "switches": [one._asdict() for one in self.switches],
            "names": names,
            "first": _joined(self._first),
            "views": views,
        }
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
        return Markup(text.translate({ord(one): f"\\u{ord(one):04x}" for one in "<>&"}))


def _joined(key: tuple[int, ...]) -> str:
    return ".".join(map(str, key))


def _plain(mark: Mark) -> list[Any]:
    numbers = [_rounded(one) for one in (mark.value, mark.low, mark.high)]
    return [*numbers, mark.tone, list(mark.texts), [_rounded(one) for one in mark.costs]]


def _rounded(value: float) -> float | None:
    """Short; of small numbers, as times are, the first digits."""
    if not math.isfinite(value):
        return None
    return round(value, DECIMALS) if abs(value) >= 1 else float(f"{value:.{DECIMALS}g}")
