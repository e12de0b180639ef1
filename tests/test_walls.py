"""The walls of the house, held by reading the source: who may import what, and what nobody does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy

ROOT = toy.CHECKOUT
PACKAGES = ("bench", "criteria", "suites", "reports")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# What each package may import of the project.
ALLOWED = {
    "criteria": set(),
    "suites": set(),
    "reports": {"suites"},
    "bench": {"criteria", "suites", "reports"},
}

# Heavy or guarded libraries, and the only places that may import them.
ONLY_IN = {
    "mlflow": ("bench/tracking/",),
    "matplotlib": ("reports/figures/",),
    "torchvision": ("bench/data/vision.py",),
    "ray": ("bench/executors/ray.py",),
    "pebble": ("bench/executors/local.py",),
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Absolute names of all modules that a file imports, wherever in it, types included."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield one.name, node
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield source, node
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module"):
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, node


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression; `?` stands for what is no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_there_is_something_to_read() -> None:
    assert len(MODULES) > 40
    assert {named(path).split("/")[0] for path in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_stay_within_the_walls(path: Path) -> None:
    package = named(path).split("/")[0]
    for name, node in imports(path):
        top = name.split(".")[0]
        if top in PACKAGES and top != package:
            assert top in ALLOWED[package], f"{named(path)}:{node.lineno} imports {name}"
        for library, places in ONLY_IN.items():
            if top == library:
                assert named(path).startswith(places), f"{named(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_nothing_is_loaded_that_could_run(path: Path) -> None:
    for name, node in imports(path):
        assert name.split(".")[0] not in ("dill", "cloudpickle", "joblib", "shelve", "marshal"), (
            name
        )
        if isinstance(node, ast.ImportFrom):
            assert name != "pickle", "import the module, so that this test sees what is used"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and dotted(node).startswith("pickle."):
            assert dotted(node) == "pickle.UnpicklingError", f"{named(path)}:{node.lineno}"
    for call in calls(path):
        where, name = f"{named(path)}:{call.lineno}", dotted(call.func)
        if name == "torch.load":
            assert is_constant(keyword(call, "weights_only"), True), where
        if name in ("np.load", "numpy.load"):
            assert is_constant(keyword(call, "allow_pickle"), False), where
        if name.startswith("yaml.") and "load" in name:
            assert name == "yaml.safe_load" or loader(path, call) is not None, where
        assert not is_constant(keyword(call, "allow_pickle"), True), where
        assert not is_constant(keyword(call, "shell"), True), where
        assert name not in ("eval", "exec", "os.system", "torch.hub.load"), where


def loader(path: Path, call: ast.Call) -> str | None:
    """The Loader of a `yaml.load`, where that is SafeLoader or a class made of it in this file."""
    given = keyword(call, "Loader")
    if dotted(call.func) != "yaml.load" or given is None:
        return None
    safe = {"yaml.SafeLoader", "yaml.CSafeLoader"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef) and {dotted(base) for base in node.bases} <= safe:
            safe.add(node.name)
    return dotted(given) if dotted(given) in safe else None


def test_the_readers_of_this_test_see_what_they_should(tmp_path: Path) -> None:
    one = tmp_path / "one.py"
    one.write_text(
        "import yaml\nclass L(yaml.Loader): ...\nclass S(yaml.SafeLoader): ...\n"
        "yaml.load('', Loader=L)\nyaml.load('', Loader=S)\nyaml.load('')\n"
    )
    loads = [call for call in calls(one) if dotted(call.func) == "yaml.load"]
    assert [loader(one, call) for call in loads] == [None, "S", None]
    relative = dict.fromkeys(name for name, _ in imports(ROOT / "bench/executors/local.py"))
    assert "bench.plan.jobs" in relative
    assert "pebble" in relative


def test_suites_know_nothing_of_torch() -> None:
    for path in MODULES:
        if named(path).startswith("suites/"):
            assert not {"torch", "numpy", "pandas"} & {
                one.split(".")[0] for one, _ in imports(path)
            }


def test_records_can_be_read_without_the_engine() -> None:
    """`reports.records` is what every process shares: no torch, and pandas only for a frame."""
    code = "import sys, reports.records; print([m for m in ('torch','pandas') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=toy.environment(),
        check=True,
        timeout=toy.PATIENCE,
    )
    assert done.stdout.strip() == "[]"


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
