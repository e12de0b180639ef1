"""The code behind a result: the files that it is made of, and a digest of what they compute.

A digest is the same on every version of Python, for every wording of docstrings, order of imports,
layout and place of a file. It is another where code is another that can change a number. Nothing
but the standard library is imported, so that any Python can recompute it, without torch.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).resolve().parent
_ENGINE = ("bench", "suites", "reports")  # ENGINE_VERSION speaks for them
_IMPORT = (ast.Import, ast.ImportFrom)

# They name things, word faults, or measure time and memory; they decide no number.
_ASIDE = ("catalog", "registry", "phases", "plugin", "errors", "lazy", "source", "evidence/meter")
ASIDE = frozenset(PACKAGE / f"{one}.py" for one in _ASIDE)


def hash_of(files: Iterable[Path], *more: str) -> str:
    """SHA-256 of the files' code, in whatever order they come, and of what else is given."""
    digests = sorted(code_digest(file) for file in files)
    return hashlib.sha256(json.dumps([digests, more]).encode()).hexdigest()


def closure(files: Iterable[Path]) -> set[Path]:
    """These files and all that they import of their own package, this one, or a folder of a user's.

    Installed packages are left out, and so is what stands `ASIDE`.
    """
    ahead, found = [file.resolve() for file in files], set[Path]()
    while ahead:
        file = ahead.pop()
        if file not in found and file not in ASIDE:
            found.add(file)
            ahead += _imported(file)
    return found


@cache
def code_digest(file: Path) -> str:
    """SHA-256 of a file's code, each name that it imports replaced by what that name stands for."""
    return _digest(file, {one: _meaning(file, one) for one in _imports(file)})


@cache
def _own_digest(file: Path) -> str:
    """SHA-256 of a file's code alone; our modules have no name in it, as files may be renamed."""
    meanings: dict[Import, Any] = {}
    for one in _imports(file):
        if _is_module(file, one):
            meanings[one] = "a module"
        elif _locate(file, one.module) is None:
            meanings[one] = _meaning(file, one)
    return _digest(file, meanings)


def _digest(file: Path, meanings: dict[Import, Any]) -> str:
    names: dict[Any, Any] = {}
    for one, meaning in meanings.items():
        names.setdefault(one.bound, []).append(meaning)
    names = {name: sorted(several, key=str) for name, several in names.items()}
    code = [_plain(_tree(file), names | meanings), names.get("*")]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


# --- code as plain lists --------------------------------------------------------------------------


def _plain(node: Any, names: dict[Any, Any]) -> Any:
    """A syntax tree as lists, without the fields that only some versions of Python have."""
    match node:
        case ast.Constant(value=value):
            if type(value) is int:
                return ["Constant", "int", hex(value)]  # long decimals are refused
            return ["Constant", type(value).__name__, value if type(value) is str else repr(value)]
        case ast.Module():
            return _plain(_with_a_place(node), names)
        case ast.Import() | ast.ImportFrom():
            bound = [[one.bound, names.get(one)] for one in _names(node)]
            return ["Import", *sorted(bound, key=str)]
        case ast.Name(id=name) if name in names:
            return ["Imported", names[name]]
        case ast.JoinedStr(values=values):
            return ["JoinedStr", *_joined(values, names)]
        case ast.AST():
            fields = [[field, _plain(value, names)] for field, value in ast.iter_fields(node)]
            return [type(node).__name__, *(one for one in fields if not _left_out(*one))]
        case list():
            return [_plain(one, names) for one in node]
    return node


def _left_out(field: str, value: Any) -> bool:
    nothing = value in (None, []) or (field == "format_spec" and value == ["JoinedStr"])
    return nothing or field in ("kind", "type_comment")


def _joined(values: list[ast.expr], names: dict[Any, Any]) -> list[Any]:
    """Pieces of an f-string; Python 3.12 cuts its text elsewhere than others do."""
    pieces: list[Any] = [""]
    for one in values:
        if isinstance(one, ast.Constant):
            pieces[-1] += one.value
        else:
            pieces += [_plain(one, names), ""]
    return [one for one in pieces if one]


class _Prose(ast.NodeTransformer):
    """Takes out what decides no number: prose, and what only type checkers read."""

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        return node.orelse if _name(node.test) == "TYPE_CHECKING" else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = node.value.value if isinstance(node.value, ast.Constant) else None
        return None if isinstance(text, str) else self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        for one in node.decorator_list:
            if isinstance(one, ast.Call) and _name(one.func) in ("register", "register_phase"):
                one.keywords = [k for k in one.keywords if k.arg not in ("cite", "faithful")]
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _name(node.func) == "Field":
            node.keywords = [one for one in node.keywords if one.arg != "description"]
        return self.generic_visit(node)


def _bound(module: ast.Module) -> Iterator[str]:
    """Names that a module gives a meaning, as often as it does, inside functions too."""
    for node in ast.walk(module):
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from (one.bound for one in _names(node))
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name


def _with_a_place(module: ast.Module) -> list[ast.stmt]:
    """A module without the imports whose place and order are no matter.

    Such an import stands at the top level, and nothing else there gives its name another meaning.
    """
    often = {name for name, times in Counter(_bound(module)).items() if times > 1}
    return [
        one
        for one in module.body
        if not isinstance(one, _IMPORT) or often & {name.bound for name in _names(one)}
    ]


def _name(node: ast.expr) -> str:
    """The last part of a dotted name; nothing where it is none."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@cache
def _tree(file: Path) -> ast.Module:
    """What a file says, to Python; of one that is no Python, and so never runs, its bytes."""
    content = file.read_bytes()
    try:
        tree: ast.Module = _Prose().visit(ast.parse(content))
    except (SyntaxError, ValueError):
        return ast.Module([ast.Expr(ast.Constant(content))], [])
    return tree


# --- imports --------------------------------------------------------------------------------------


class Import(NamedTuple):
    """One name that a file imports."""

    bound: str  # what the file calls it
    module: str  # as written, with the dots of a relative import
    name: str | None  # of what is taken from the module; None where the module itself is meant


class Reached(NamedTuple):
    """A file that an import leads to, and what of it is meant; nothing where it is all."""

    file: Path
    name: str


@cache
def _imports(file: Path) -> list[Import]:
    """All of a file, inside functions too; what is for type checkers alone is left out."""
    nodes = ast.walk(_tree(file))
    return [one for node in nodes if isinstance(node, _IMPORT) for one in _names(node)]


def _names(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    """What one statement imports."""
    for one in node.names:
        if isinstance(node, ast.Import):
            yield Import(one.asname or one.name.split(".")[0], one.name, None)
        else:
            yield Import(one.asname or one.name, "." * node.level + (node.module or ""), one.name)


@cache
def _imported(file: Path) -> set[Path]:
    """Files that run when this one is imported and used."""
    packages = {folder / "__init__.py" for folder in _packages(file)}
    found = {one for one in packages if not _only_re_exports(one)}
    return found.union(*({to.file for to in _reached(file, one)} for one in _imports(file)))


def _reached(file: Path, one: Import) -> set[Reached]:
    """What an import leads to: of a package what is taken of it, of a module imported whole all."""
    place = _locate(file, one.module)
    if place is None:
        return set()
    if one.name:
        return set(_whole(place) if one.name == "*" else _follow(place, one.name))
    parts = one.module.split(".")
    above = parts[:-1] if one.bound == parts[0] else []  # `import a.b` gives all of a as well
    over = (_locate(file, ".".join(parts[: at + 1])) for at in range(len(above)))
    return {to for each in (place, *over) if each is not None for to in _whole(each)}


def _whole(place: Path) -> Iterator[Reached]:
    """A module, or what a package's own file says."""
    file = place if place.is_file() else place / "__init__.py"
    if file.is_file():
        yield Reached(file, "")


def _follow(place: Path, name: str) -> Iterator[Reached]:
    """Go from a module, or a package's folder, to the files that define a name of it."""
    if place.is_file():
        yield Reached(place, name)
        return
    init = place / "__init__.py"
    taken = _imports(init) if init.is_file() else []
    if init.is_file() and not _only_re_exports(init):
        yield Reached(init, name)
    own = [one for one in taken if one.bound == name]
    for one in own or [star for star in taken if star.bound == "*"]:
        target = _locate(init, one.module)
        if target is not None and target != place:
            named = name if one.bound == "*" else one.name
            yield from _follow(target, named) if named else _whole(target)
    if (child := _child(place, name)) is not None:
        yield from _whole(child)


def _meaning(file: Path, one: Import) -> Any:
    """What an imported name stands for, in words that outlive a move of the file behind it."""
    if _locate(file, one.module) is None:
        return f"{one.module}.{one.name}" if one.name else one.module
    found = _reached(file, one)
    return sorted(["" if to.file in ASIDE else _own_digest(to.file), to.name] for to in found)


def _is_module(file: Path, one: Import) -> bool:
    """Whether a file of the closure is what this name is bound to."""
    place = _locate(file, one.module)
    if place is None or one.name is None:
        return place is not None
    return place.is_dir() and _child(place, one.name) is not None


@cache
def _only_re_exports(init: Path) -> bool:
    """Whether one of our packages has nothing but docstring, imports and `__all__` of its own.

    A user's may import for the sake of what that does.
    """
    imports = _IMPORT if PACKAGE in init.parents else ()
    return all(
        isinstance(one, imports)
        or (isinstance(one, ast.Assign) and _name(one.targets[0]) == "__all__")
        for one in _tree(init).body
    )


# --- where modules lie ----------------------------------------------------------------------------


@cache
def _locate(file: Path, module: str) -> Path | None:
    """The file of a module, or the folder of a package; None where its code does not count."""
    name = module.lstrip(".")
    level = len(module) - len(name)
    parts = name.split(".") if name else []
    if level > len(file.parents):
        return None
    place = file.parents[level - 1] if level else _home(file, parts[0])
    for part in parts:
        place = None if place is None else _child(place, part)
    return place


def _child(folder: Path, name: str) -> Path | None:
    package, module = folder / name, folder / f"{name}.py"
    if (package / "__init__.py").is_file():
        return package
    return module if module.is_file() else package if package.is_dir() else None


def _packages(file: Path) -> list[Path]:
    """Folders of the packages that a file is in, innermost first."""
    return list(takewhile(lambda one: (one / "__init__.py").is_file(), file.parents))


def _home(file: Path, top: str) -> Path | None:
    """The folder that holds a top-level module; None for installed ones and for the engine."""
    packages = _packages(file)
    if packages and packages[-1].name == top:
        return packages[-1].parent
    if top == PACKAGE.name:
        return PACKAGE.parent
    if top in sys.stdlib_module_names or top in _ENGINE or PACKAGE in packages:
        return None
    return _users_folder(top, packages[-1].parent if packages else file.parent)


@cache
def _users_folder(top: str, beside: Path) -> Path | None:
    """The folder of a module that is neither ours nor installed: beside the file or on the path."""
    try:
        spec = find_spec(top)
    except ValueError:  # a module that was made by hand
        spec = None
    spec = spec or PathFinder.find_spec(top, [str(beside)])
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    place = Path(places[0]).resolve() if places and places[0] else None
    if place is None or {"site-packages", "dist-packages"} & set(place.parts):
        return None
    return place.parent
