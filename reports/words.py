"""Words that templates/*.yaml keep: Jinja2 texts over what the numbers' module knows."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from suites.files import read_yaml

Texts = dict[str, dict[str, Template]]  # by what is told about, and part (title, caption, ...)


def read_texts(file: str, filters: Iterable[Callable[..., str]], **known: Any) -> Texts:
    """The texts of a file, which may use these filters, and names that are always known."""
    environment = Environment(undefined=StrictUndefined, autoescape=False)
    environment.filters |= {one.__name__: one for one in filters}
    environment.globals |= known
    return {
        name: {part: environment.from_string(text) for part, text in parts.items()}
        for name, parts in read_yaml(Path(__file__).parent / "templates" / file).items()
    }


def rendered(text: Template, **known: Any) -> str:
    """The words on one line: runs of spaces and line breaks become one space."""
    return re.sub("[ \\n]+", " ", text.render(known)).strip()
