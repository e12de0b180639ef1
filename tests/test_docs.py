"""The pages: links lead somewhere, code is of this project, commands are those there are."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy
import typer
from import_graph import PACKAGES

from bench.command import cli

ROOT = toy.CHECKOUT


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


PAGES = [
    path for name in ("README.md", "CONTRIBUTING.md") if (path := ROOT / name).exists()
] + sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\[[^\]\n]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]\n]+\]:\s*(\S+)", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    for inline, reference in LINK.findall(text):
        yield inline or reference


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#{1,6}\s+(.*?)\s*#*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        target, _, anchor = link.partition("#")
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{named(page)}: {link}"
        assert found.is_relative_to(ROOT), f"{named(page)}: {link} leads out of the project"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), f"{named(page)}: {link}"


def test_intervals_of_the_readme_are_those_of_the_results() -> None:
    """Typed by hand, each stands in a generated page: an answer that changes leaves none behind."""
    told = re.findall(r"[+−]?\d\S* \[\S+ \S+\]", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(told) > 10
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert [one for one in told if one not in results] == []


PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (?:\$ )?bench ((?:.*\\\n)*.*)$", re.MULTILINE)


def blocks(page: Path) -> list[str]:
    """The Python in a page; parts of a class are shown without it."""
    return [textwrap.dedent(block) for block in PYTHON.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=named)
def test_python_compiles_and_imports_what_there_is(page: Path) -> None:
    for block in blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in PACKAGES:
                module = importlib.import_module(str(node.module))
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert not missing, f"{node.module} has no {', '.join(missing)}"


def commands(page: Path) -> list[list[str]]:
    """Words after `bench` of the commands that stand on lines of their own."""
    lines = COMMAND.findall(page.read_text(encoding="utf-8"))
    return [shlex.split(line.replace("\\\n", " "), comments=True) for line in lines]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=named)
def test_commands_parse(page: Path) -> None:
    verbs = typer.main.get_group(cli.app).commands
    for verb, *arguments in commands(page):
        verbs[verb].make_context(f"bench {verb}", arguments)
