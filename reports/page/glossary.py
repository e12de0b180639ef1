"""What the words of a report mean: one source, for its page and for docs/glossary.md."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from markupsafe import Markup, escape

from suites.files import read_yaml
from suites.section import slug

from ..formats import capital
from ..metric import TOP1, spoken

GLOSSARY: Mapping[str, str] = read_yaml(Path(__file__).parents[1] / "templates" / "glossary.yaml")
USED_AS = {  # where the page's words are not those between the commas of a term
    "interval, all at once": ["intervals that hold", "all at once"],
    "interval, alone": ["interval"],
}


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


def place(term: str) -> str:
    """The name of a term's entry in an address."""
    return f"term-{slug(term)}"


def explainer() -> Callable[[str], Markup]:
    """A filter of one page, which links the first use of each term to its entry."""
    forms = {term: USED_AS.get(term, term.split(", ")) for term in glossary()}
    terms = {form.lower(): term for term, several in forms.items() for form in several}
    longest_first = "|".join(map(re.escape, sorted(terms, key=len, reverse=True)))
    use = re.compile(rf"(?<![\w~/-])({longest_first})s?(?![\w~/-])", re.IGNORECASE)
    seen = set[str]()

    def linked(found: re.Match[str]) -> str:
        term = terms[found[1].lower()]
        if term in seen:
            return found[0]
        seen.add(term)
        return f'<a class="term" href="#{place(term)}">{found[0]}</a>'

    def explained(text: str) -> Markup:
        return Markup(use.sub(linked, str(escape(text))))

    return explained
