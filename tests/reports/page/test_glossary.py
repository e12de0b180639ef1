"""One glossary, on the page and in the docs. `python tests/reports/page/test_glossary.py` writes
the docs' anew."""

from __future__ import annotations

import re
from pathlib import Path

from synthetic import make_suite, plan, synthetic_records

from reports.analysis.analysis import analyse
from reports.page.glossary import GLOSSARY, explainer, place
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


def test_the_first_use_of_a_term_links_to_its_entry_and_no_other() -> None:
    explained = explainer()
    first = str(explained("Of 2 Bases, base-line, l1~base and <b>: MACs kept."))
    assert first == (
        'Of 2 <a class="term" href="#term-base">Bases</a>, base-line, l1~base and &lt;b&gt;: '
        '<a class="term" href="#term-macs-kept">MACs kept</a>.'
    )
    assert str(explained("A base")) == "A base"
    assert 'href="#term-base-sd">base SD</a>' in explained("base SD")  # the longest is meant
    assert 'href="#term-interval-all-at-once">intervals that hold</a>' in explained(
        "intervals that hold for all 3 comparisons at once"
    )


def test_every_link_of_a_page_has_its_place() -> None:
    suite = make_suite()
    page = render(analyse(suite, synthetic_records(suite, plan(suite)), plan(suite)), [], {})
    links = re.findall(r'class="term" href="#([^"]+)"', page)
    assert len(links) == len(set(links)) > 8
    assert set(links) < {place(term) for term in GLOSSARY}
    for one in re.findall(r'href="#([^"]+)"', page):
        assert page.count(f'id="{one}"') == 1, one
    answer, head = page.split("<form")[0], page.split("<thead>")[1].split("</thead>")[0]
    assert 'href="#term-problem"' in answer
    assert 'href="#term-macs-kept"' in head


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
