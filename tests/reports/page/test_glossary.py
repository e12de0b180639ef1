"""One glossary, on the page and in the docs. `python tests/reports/page/test_glossary.py` writes
the docs' anew."""

from __future__ import annotations

import re
from pathlib import Path

from synthetic import make_suite, plan, synthetic_records

from reports.analysis.analysis import analyse
from reports.page.glossary import GLOSSARY
from reports.page.page import render

PAGE = Path(__file__).parents[3] / "docs" / "glossary.md"
HEAD = """# Glossary

What the words of a [report](report.md) mean. The page of every report ends with the same list.

| term | meaning |
|---|---|
"""


def written() -> str:
    return HEAD + "".join(f"| **{term}** | {means} |\n" for term, means in GLOSSARY.items())


def test_the_docs_have_the_glossary_of_the_page() -> None:
    assert PAGE.read_text(encoding="utf-8") == written(), "write it: python " + __file__


def test_terms_stand_in_order() -> None:
    assert list(GLOSSARY) == sorted(GLOSSARY, key=str.lower)


def test_every_link_of_a_page_has_its_place() -> None:
    suite = make_suite()
    page = render(analyse(suite, synthetic_records(suite, plan(suite)), plan(suite)), [], {})
    for one in re.findall(r'href="#([^"]+)"', page):
        assert page.count(f'id="{one}"') == 1, one


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
