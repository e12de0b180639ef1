"""Words that templates keep: Jinja2 texts over what the numbers' module knows."""

import csv
import re
from collections.abc import Callable
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from suites.files import read_yaml

from . import formats
from .metric import spoken
from .records import WORDS

Filter = Callable[..., Any]
ALWAYS: tuple[Filter, ...] = (
    *(formats.after, formats.capital, formats.confidence, formats.counted, formats.few),
    *(formats.interval, formats.p_value, formats.percent, formats.points),
    formats.shown,
)


def templates(*filters: Filter, **own: Any) -> Environment:
    """The files of templates/; a name that is unknown is an error.

    `filters`: functions that they may use, beside `ALWAYS`, each under its own name. `own`: what
    else Jinja2 is told, such as marks and what is escaped.
    """
    environment = Environment(
        loader=PackageLoader("reports"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **own,
    )
    environment.globals |= {"spoken": spoken, "WORDS": WORDS}
    environment.filters |= {one.__name__: one for one in (*ALWAYS, *filters)}
    return environment


class Words:
    """The texts of a YAML file of templates/, by what is told about and by part; read when used.

    What stands under `alike` is said by several of them: filters of the others. `filters`: as of
    `templates`. `known`: names that its texts always know.
    """

    def __init__(self, file: str, *filters: Filter, **known: Any) -> None:
        self._file, self._filters, self._known = file, filters, known

    @cached_property
    def texts(self) -> dict[str, dict[str, Template]]:
        environment = templates(*self._filters)
        environment.globals |= self._known
        texts = read_yaml(Path(__file__).parent / "templates" / self._file)
        alike = texts.get("alike", ())
        environment.filters |= {part: partial(self, "alike", part) for part in alike}
        return {
            name: {part: environment.from_string(text) for part, text in parts.items()}
            for name, parts in texts.items()
        }

    def __call__(self, about: str, part: str, it: Any = None, /, **known: Any) -> str:
        """A text, of `it`, on one line: runs of spaces and line breaks become one space."""
        text = self.texts[about][part].render(known, it=it)
        return re.sub("[ \\n]+", " ", text).strip()


@cache
def titles() -> dict[str, str]:
    """The criteria of this project, and methods of its suites, as papers write them."""
    with Path(__file__).with_name("names.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["title"] for row in csv.DictReader(file)}
