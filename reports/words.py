"""Words that templates keep: Jinja2 texts over what the numbers' module knows."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from suites.files import read_yaml

Filters = Iterable[Callable[..., Any]]
Texts = dict[str, dict[str, Template]]  # by what is told about, and part (title, caption, ...)


def templates(filters: Filters, **own: Any) -> Environment:
    """The files of templates/, which may use these filters; a name that is unknown is an error.

    Args:
        filters: functions, each under its own name.
        own: what else Jinja2 is told, such as marks and what is escaped.
    """
    environment = Environment(
        loader=PackageLoader("reports"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **own,
    )
    environment.filters |= {one.__name__: one for one in filters}
    return environment


def read_texts(file: str, filters: Filters, **known: Any) -> Texts:
    """The texts of a YAML file, which may use these filters, and names that are always known."""
    environment = templates(filters)
    environment.globals |= known
    return {
        name: {part: environment.from_string(text) for part, text in parts.items()}
        for name, parts in read_yaml(Path(__file__).parent / "templates" / file).items()
    }


def rendered(text: Template, **known: Any) -> str:
    """The words on one line: runs of spaces and line breaks become one space."""
    return re.sub("[ \\n]+", " ", text.render(known)).strip()
