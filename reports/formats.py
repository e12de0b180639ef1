"""A table as it is set, its Markdown beside the page, and numbers as people and LaTeX read them."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from numbers import Number
from pathlib import Path
from typing import Any, Literal, NamedTuple

from suites.files import read_yaml

from .metric import spoken

Mark = Literal["", "best", "near"]
NEAR = "†"  # not shown to differ from the best
_MARKDOWN: Mapping[Mark, str] = {"": "{}", "best": "**{}**", "near": f"{{}} {NEAR}"}
LEAST = 1e-3  # what is smaller is not worth its digits
MOST = 3  # names that a sentence bears


class Cell(NamedTuple):
    """A text, and its number for sorting where it stands for one."""

    text: str
    value: float | None = None
    mark: Mark = ""


class Column(NamedTuple):
    head: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its title, a whole caption, and the name of its files."""

    name: str
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    @property
    def markdown(self) -> str:
        """A GitHub table under its caption; the best is bold."""
        lines = [self.caption + ".", "", markdown_row(column.head for column in self.columns)]
        lines.append("|" + "|".join("---:" if one.numeric else "---" for one in self.columns) + "|")
        for row in self.rows:
            lines.append(markdown_row(_MARKDOWN[cell.mark].format(cell.text) for cell in row))
        return "\n".join(lines) + "\n"


def markdown_row(texts: Iterable[str]) -> str:
    """A row of a Markdown table, in which nothing is taken for HTML."""
    plain = (text.replace("|", r"\|").replace("<", "&lt;") for text in texts)
    return f"| {' | '.join(plain)} |"


@cache
def _marks() -> dict[int, str]:
    return str.maketrans(read_yaml(Path(__file__).parent / "templates" / "tex.yaml"))


def tex(text: str) -> str:
    r"""A text in LaTeX: none of its characters is read as a command.

    >>> print(tex("50 % of {a_b}"))
    50 \% of \{a\_b\}
    """
    return text.translate(_marks())


def absent(value: Any) -> bool:
    """Whether a table has no number there: None, NaN or pandas' NA."""
    return not isinstance(value, Number) or value != value


def points(value: float) -> str:
    """Signed, with the metric's decimals and a true minus; a dash where there is no number."""
    if absent(value):
        return "–"
    text = f"{value:+.{spoken().digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]


def shown(value: float) -> str:
    """A value of the metric, with its decimals and a true minus; a dash where there is none."""
    return "–" if absent(value) else f"{value:.{spoken().digits}f}".replace("-", "−")


def interval(low: float, high: float) -> str:
    """`[−0.10, +0.30]`; a dash where an end is unknown."""
    return f"[{_end(low)}, {_end(high)}]" if isfinite(low) and isfinite(high) else "–"


def _end(value: float) -> str:
    """As `points`, but with one digit where rounding would leave none: its sign decides."""
    hidden = 1e-4 < abs(value) < 0.5 * 10 ** -spoken().digits
    return f"{value:+.1g}".replace("-", "−") if hidden else points(value)


def spanned(value: float, low: float, high: float) -> str:
    """`+0.10 [−0.10, +0.30]`; without an interval the number alone."""
    return f"{points(value)} {interval(low, high)}".removesuffix(" –")


def counts(row: Mapping[Any, Any]) -> str:
    """`wins/ties/losses` of a row; a dash where nothing was compared."""
    return "–" if absent(row["wins"]) else f"{row['wins']}/{row['ties']}/{row['losses']}"


def p_value(value: float) -> str:
    """Three significant digits; a dash where there is no p."""
    return "–" if absent(value) else f"{value:.3g}"


def number(value: Any, digits: int = 3) -> Cell:
    """So many significant digits, without an exponent."""
    if absent(value):
        return Cell("–")
    if 0 < value < LEAST:
        return Cell(f"<{LEAST:g}", float(value))
    shown = float(f"{float(value):.{digits}g}") + 0.0  # no -0
    grouped = f"{shown:,.0f}".replace(",", "\N{NO-BREAK SPACE}")
    text = grouped if abs(shown) >= 1000 else f"{shown:g}"
    return Cell(text.replace("-", "−"), float(value))


def whole(value: Any) -> Cell:
    """A whole number as it is; a dash where there is none."""
    return Cell("–") if absent(value) else Cell(str(value), float(value))


def signed(value: float) -> Cell:
    """A cell of `points`."""
    return Cell(points(value), None if absent(value) else float(value))


def counted(n: float, what: str) -> str:
    """`1 base`, `3 bases`, `2 recoveries`, `0.5 points`."""
    several = f"{what.removesuffix('y')}ies" if what.endswith("y") else f"{what}s"
    return f"1 {what}" if n == 1 else f"{n:.15g} {several}"


def few(names: Sequence[str], before: str = ", ") -> str:
    """As many as a sentence bears, and how many more, behind a comma or what else stands before."""
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f"{before}and {more} more" if more > 0 else "")


def in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
    """The names that occur, in the order of the suite."""
    there = set(names)
    return [name for name in order if name in there]


def ranged(numbers: Collection[int], what: str) -> str:
    """`3 bases`, or `3 to 5 bases` where there are several numbers."""
    low, high = min(numbers), max(numbers)
    return counted(high, what) if low == high else f"{low} to {counted(high, what)}"


def percent(share: float) -> str:
    """`12.5 %` of a share of 0.125."""
    return f"{100 * share:g} %"


def confidence(alpha: float) -> str:
    """`95 %` of a level of 0.05."""
    return percent(1 - alpha)


def capital(text: str) -> str:
    """With a capital at the beginning, and the rest as it is; mIoU has one of its own."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def after(recovery: str) -> str:
    """`after finetune-short`, or `without recovery`."""
    return "without recovery" if recovery == "none" else f"after {in_words(recovery)}"


def in_words(recovery: str, form: str = r"\1 (tuned alike, \2 settings)") -> str:
    """A recovery, and whether it was tuned; `form` is of its name and of its number of settings.

    >>> in_words("finetune-short-tuned8")
    'finetune-short (tuned alike, 8 settings)'
    """
    return re.sub(r"^(.+)-tuned(\d+)$", form, recovery)
