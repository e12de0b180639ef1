"""Words of rendered pages: short sentences, terms of the field, numbers as people write them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import crossed
import figure_records
import pytest
from synthetic import failed, make_suite, plan, record, synthetic_records, tiny, told_apart

from reports.build import build_report
from reports.page.glossary import GLOSSARY
from reports.records import Record
from suites import load_suite
from suites.schema import Suite

DOCS = Path(__file__).parents[3] / "docs"
LONGEST = 25  # words of a sentence
SENTENCES = ("p", "li", "figcaption", "caption")  # what holds sentences; lists of settings do not
BLOCKS = (*SENTENCES, "dt", "dd", "summary", "h1", "h2", "h3", "th", "td")
FORBIDDEN = {
    "retained top-1": "accuracy change",
    "told apart": "shown to differ",
    "told from": "shown to differ from",
    "can be told": "can be shown",
    "knob": "threshold",
    "area under": "mean over budgets, weighted by log compression",
    "area over": "mean over budgets, weighted by log compression",
    "without width": "spread unknown",
    "different values": "what they are",
    " a problem;": "per problem",
    "bases a problem": "bases per problem",
    "held against": "compared with",
}
PLURALS = (
    *("bases", "budgets", "datasets", "models", "problems", "repeats", "recoveries", "trials"),
    *("methods", "images", "pairs", "comparisons", "networks", "epochs", "settings", "others"),
)
WRONG = [
    re.compile(rf"(?<![\d.,×])\b1 (?:{'|'.join(PLURALS)})\b"),
    re.compile(r"(?<![\w.])[-−]0(?:\.0*)?(?![\d.])"),
    re.compile(r"\S  +\S"),
    re.compile(r"\b(?:nan|None|NaN|inf)\b"),
    re.compile(r"\.\.(?!\.)|,\.|;\.|:\."),
]  # fmt: skip


class Page(HTMLParser):
    """The texts of a page by the element that holds them, without scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []
        self.attributes: list[str] = []
        self._open: list[list[str]] = []
        self._silent = 0
        self._settings = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.attributes += [
            given[one] or "" for one in ("alt", "aria-label", "title") if one in given
        ]
        if tag in ("script", "style", "svg", "template"):
            self._silent += 1
        if tag in BLOCKS:
            settings = tag == "li" and self._settings
            self._open.append(["settings" if settings else tag, ""])
        if tag == "ul":
            self._settings = int(given.get("class") == "settings")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "svg", "template"):
            self._silent -= 1
        if self._open and self._open[-1][0] in (tag, "settings" if tag == "li" else tag):
            self.texts.append(tuple(self._open.pop()))  # type: ignore[arg-type]
        if tag == "ul":
            self._settings = 0

    def handle_data(self, data: str) -> None:
        if self._open and not self._silent:
            self._open[-1][1] += data


def plain(text: str) -> str:
    return " ".join(html.unescape(text).replace("\N{NO-BREAK SPACE}", " ").split())


def sentences(text: str) -> list[str]:
    """Split after a full stop, unless it is that of an abbreviation."""
    return re.split(r"(?<=[.!?])(?<!e\.g\.)(?<!et al\.)\s+", plain(text))


def words(sentence: str) -> int:
    """Numbers, signs, and what stands in brackets as a label are no words."""
    return sum(any(letter.isalpha() for letter in one) for one in sentence.split())


def too_long(page: Page) -> Iterator[str]:
    for kind, text in page.texts:
        if kind in SENTENCES:
            yield from (one for one in sentences(text) if words(one) > LONGEST)


def wrong(texts: list[str]) -> Iterator[str]:
    for text in texts:
        for phrase, better in FORBIDDEN.items():
            if phrase in f" {text.lower()} ":
                yield f"{phrase} (say: {better}): {text}"
        yield from (f"{found.group()!r}: {text}" for one in WRONG if (found := one.search(text)))


def comparison(**changes: Any) -> tuple[Suite, list[Record]]:
    suite = make_suite(**changes)
    return suite, synthetic_records(suite, plan(suite))


def one_of_each() -> tuple[Suite, list[Record]]:
    suite = make_suite(
        models=["resnet20"],
        methods=["l1", "random"],
        budgets={"macs": [0.5]},
        recoveries=["none"],
        bases=1,
    )
    return suite, [record(one, 0.8) for one in plan(suite)]


def poor() -> tuple[Suite, list[Record]]:
    """Little that went right: failures, gaps, constant scores, networks that guess."""
    suite = make_suite(
        bases=2,
        repeats=2,
        scales={"smoke": {"bases": 2}},
        at_scale="smoke",
        analysis={"control": "l1", "failures": "drop"},
    )
    found = [
        failed(one, "out of memory") if one.method == "lamp" else record(one, 0.12, 0.13)
        for one in plan(suite)[::3]
    ]
    changes = {"classes": 10, "constant": ["conv1"]}
    return suite, [
        one.model_copy(update={"measurements": one.measurements.model_copy(update=changes)})
        if one.measurements
        else one
        for one in found
    ]


def selectors() -> tuple[Suite, list[Record]]:
    suite = make_suite(
        methods=["l1", {"criterion": "rgd", "matched": ["l1"]}],
        budgets={"threshold": [0.75, 0.7]},
        analysis={"control": "l1~rgd"},
    )
    suite = suite.model_copy(update={"methods": suite.methods[1:]})
    labels = plan(suite)
    return suite, [record(one, 0.7 + 0.02 * one.base, macs=600_000) for one in labels]


def masks() -> tuple[Suite, list[Record]]:
    suite = make_suite(
        methods=["l1", "random", {"criterion": "snip", "scope": "2:4"}], budgets={"weights": [0.5]}
    )
    return suite, synthetic_records(suite, plan(suite))


def figures(**sizes: int) -> tuple[Suite, list[Record]]:
    suite = figure_records.make(**sizes)
    return suite, figure_records.records(suite)


def factors() -> tuple[Suite, list[Record]]:
    suite = crossed.make(["l2", "taylor", "oba"], crossed.SCHEDULES, models=["m1", "m2"])
    return suite, crossed.plausible(suite)[1:]


SUITES = {
    "usual": comparison,
    "unfinished": lambda: (lambda s, r: (s, r[:300]))(*comparison(bases=3)),
    "one of each": one_of_each,
    "poor": poor,
    "two bases": tiny,
    "told": told_apart,
    "masks": masks,
    "factors": factors,
    "many methods": lambda: figures(methods=45, budgets=1),
    "many figures": lambda: figures(methods=12, budgets=3, models=3, repeats=2),
}


MANY = {"many methods", "many figures"}
EACH = [pytest.param(one, marks=[pytest.mark.slow] * (one in MANY)) for one in SUITES]


@pytest.mark.parametrize("kind", EACH)
@pytest.mark.usefixtures("inkless")
def test_pages_are_written_in_short_sentences_of_the_fields_words(
    kind: str, tmp_path: Path
) -> None:
    suite, records = SUITES[kind]()
    page = build_report(suite, records, plan(suite), tmp_path, formats=["html"])
    read = Page(page.read_text(encoding="utf-8"))
    assert len(read.texts) > 50
    assert list(too_long(read)) == []
    assert list(wrong([plain(text) for _, text in read.texts] + read.attributes)) == []


def test_the_sentences_of_a_library_suites_methods_are_short(tmp_path: Path) -> None:
    for name in ("quickstart", "cifar10", "tpp-resnet56", "unstructured", "rewinding"):
        suite = load_suite(name)
        assert isinstance(suite, Suite)
        page = build_report(suite, [], plan(suite)[:5], tmp_path, formats=["html"])
        read = Page(page.read_text(encoding="utf-8"))
        own = {suite.description}
        assert [one for one in too_long(read) if one not in own] == [], name


def test_the_glossary_and_the_guide_are_written_so_too() -> None:
    texts = list(GLOSSARY.values())
    guide = (DOCS / "report.md").read_text(encoding="utf-8")
    guide = re.sub(r"```.*?```", "", guide, flags=re.DOTALL)
    parts = re.split(r"\n\s*\n|\n- |\n\| ", guide)
    texts += [one for one in parts if not one.startswith(("    ", "|", "#"))]
    texts = [plain(re.sub(r"[*`]|\]\([^)]*\)", "", one)) for one in texts]
    assert [one for text in texts for one in sentences(text) if words(one) > LONGEST] == []
    assert list(wrong(texts)) == []


def test_what_counts_as_a_fault() -> None:
    assert list(wrong(["−0.0 points"]))
    assert list(wrong(["1 budgets"]))
    assert list(wrong(["two  spaces"]))
    assert list(wrong(["They can be told apart"]))
    assert list(wrong(["11 budgets, −0.05 points, 2.1 models, n = 1 base."])) == []
    long = "word " * (LONGEST + 1)
    assert list(too_long(Page(f"<p>{long}.</p>")))
    assert list(too_long(Page(f"<p>{long[:-5]}. {long[:-5]}.</p>"))) == []
    assert list(too_long(Page(f'<ul class="settings"><li>{long}</li></ul>'))) == []
