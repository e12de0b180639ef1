"""What the words of a report mean: one source, for its page and for docs/glossary.md."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from suites.files import read_yaml

from ..formats import capital
from ..metric import TOP1, spoken

GLOSSARY: Mapping[str, str] = read_yaml(Path(__file__).parents[1] / "templates" / "glossary.yaml")


def glossary() -> dict[str, str]:
    """The entries, in the words of the metric that is spoken of."""
    of = spoken()
    words = {
        "Top-1 accuracy": capital(of.full),
        "accuracy": of.quality,
        "in points": f"in {of.points}",
        "image": of.sample,
    }
    worded = partial(re.compile("|".join(words)).sub, lambda found: words[found[0]])
    said = (term for term in GLOSSARY if term != "points" or of == TOP1)
    return {worded(term): worded(GLOSSARY[term]) for term in said}
