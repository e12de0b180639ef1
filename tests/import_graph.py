"""Who imports whom, read from the source: for the tests of the walls and of the ladder."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import networkx as nx

PACKAGES = ("bench", "criteria", "suites", "reports")


class Import(NamedTuple):
    """One module imported by another: dotted names, and the importing file's line."""

    importer: str
    imported: str
    line: int


def tree(path: Path) -> ast.Module:
    return _parsed(path.read_text(encoding="utf-8"), str(path))


@cache
def _parsed(source: str, name: str) -> ast.Module:
    return ast.parse(source, name)


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression; `?` stands for what is no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def modules(root: Path, packages: Iterable[str] = PACKAGES) -> dict[str, Path]:
    """Files of the packages by the name under which they are imported."""
    files: dict[str, Path] = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imports(root: Path, path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Absolute names of all that a file imports, wherever in it, types included.

    `from a import b` gives both `a` and `a.b`, which is a module or a name in one.
    """
    package = list(path.relative_to(root).parent.parts)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            yield source, node
            yield from ((f"{source}.{alias.name}", node) for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module"):
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, node


def module_imports(root: Path, files: Mapping[str, Path]) -> list[Import]:
    """Imports between the given modules, each pair once.

    `from a import b` is an import of the module `a.b` where there is one, of `a` otherwise.
    """
    first_lines: dict[tuple[str, str], int] = {}
    for importer, path in files.items():
        by_statement: dict[ast.AST, list[str]] = {}
        for name, node in imports(root, path):
            by_statement.setdefault(node, []).append(name)
        for node, names in by_statement.items():
            for imported in _reached(node, names, files):
                if imported != importer:
                    first_lines.setdefault((importer, imported), node.lineno)
    return [Import(*pair, line) for pair, line in sorted(first_lines.items())]


def _reached(node: ast.AST, names: list[str], files: Mapping[str, Path]) -> set[str]:
    if not isinstance(node, ast.ImportFrom):
        return {name for name in names if name in files}
    source, *members = names
    return {member if member in files else source for member in members} & set(files)


def room(module: str) -> str:
    """The room a module lies in: a folder or a file of its package's top, by name.

    A package's own `__init__` is its front door, a room of the package's name.
    """
    return ".".join(module.split(".")[:2])


def graph(nodes: Iterable[str], arrows: Iterable[tuple[str, str]]) -> nx.DiGraph:
    """What reaches what; an arrow from a node to itself says nothing and is left out."""
    drawn = nx.DiGraph()
    drawn.add_nodes_from(nodes)
    drawn.add_edges_from((tail, head) for tail, head in arrows if tail != head)
    return drawn


def circles(of: nx.DiGraph) -> list[list[str]]:
    """Nodes that reach one another, knot by knot."""
    return sorted(sorted(knot) for knot in nx.strongly_connected_components(of) if len(knot) > 1)


def floors(of: nx.DiGraph) -> int:
    """How many nodes the longest way down passes, a knot of circles being one."""
    return nx.dag_longest_path_length(nx.condensation(of)) + 1
