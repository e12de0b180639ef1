"""The digest behind every key: blind to prose and place, awake to whatever can change a number."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import forget, forgetting

from criteria import criteria, load_plugin, source
from criteria.registry import source_files, source_hash
from criteria.source import ASIDE, PACKAGE, closure, code_digest, hash_of

PLUGIN = '''"""What it is."""

import math
from math import floor as rounded

from criteria import Criterion, Need, MemberOptions, register
from pydantic import Field

from helper import doubled


class MineOptions(MemberOptions):
    """What is what."""

    power: float = Field(default=2, gt=0, description="of each weight")


@register("mine", cite="who", faithful="how", needs=Need.GRADIENTS)
class Mine(Criterion):
    """Sum of the weights."""

    options_type = MineOptions

    def observe(self, batch):
        """Called for each batch."""
        for member in self.members:  # all of them
            values = member.view(batch.weights).sum(1) + rounded(math.pi)
            self.add(member, doubled(values))
'''
HELPER = "from deeper import factor\n\n\ndef doubled(values):\n    return values * factor()\n"
DEEPER = "def factor():\n    return 2\n"

SAME = {
    "a docstring": ('"""Sum of the weights."""', '"""Weights, added up."""'),
    "no docstring": ('        """Called for each batch."""\n', ""),
    "the module's docstring": ('"""What it is."""', '"""What else."""'),
    "a comment": ("  # all of them", "  # each"),
    "a description": ("of each weight", "to which each is raised"),
    "no description": (', description="of each weight"', ""),
    "cite": ('cite="who"', 'cite="who else"'),
    "faithful": ('faithful="how"', 'faithful="how else"'),
    "layout": (
        "values = member.view(batch.weights).sum(1) + rounded(math.pi)",
        "values = (\n                member.view(batch.weights).sum(1)\n"
        "                + rounded(math.pi)\n            )",
    ),
    "order of imports": (
        "import math\nfrom math import floor as rounded\n",
        "from math import floor as rounded\nimport math\n",
    ),
    "an import more": ("import math\n", "import math\nimport json\n"),
    "for type checkers": (
        "import math\n",
        "import math\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import json\n",
    ),
    "the name of an import": ("floor as rounded", "floor as lower"),
    "quotes": ('@register("mine"', "@register('mine'"),
}
ANOTHER = {
    "an operator": ("sum(1) + ", "sum(1) - "),
    "a constant": ("sum(1)", "sum(2)"),
    "a constant's type": ("sum(1)", "sum(1.0)"),
    "a function": (".sum(1)", ".mean(1)"),
    "a default": ("default=2", "default=3"),
    "a limit": ("gt=0", "ge=0"),
    "needs": ("Need.GRADIENTS", "Need.WEIGHTS"),
    "a type": ("power: float", "power: int"),
    "what a name stands for": ("floor as rounded", "ceil as rounded"),
    "a statement": ("values = member", "self.batches = 1\n            values = member"),
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    with forgetting():
        yield


def digest(folder: Path, **changed: str) -> str:
    """Of a plugin with a helper that has a helper, in a folder of their own."""
    place = folder / str(len(list(folder.iterdir())))
    return hash_of(closure([written(place, **changed)]))


def written(place: Path, **changed: str) -> Path:
    place.mkdir(exist_ok=True)
    for name, text in ({"plugin": PLUGIN, "helper": HELPER, "deeper": DEEPER} | changed).items():
        (place / f"{name}.py").write_text(text)
    return place / "plugin.py"


def replaced(change: tuple[str, str]) -> str:
    assert PLUGIN.count(change[0]) == 1, change[0]
    text = PLUGIN.replace(*change)
    return text.replace("rounded(math", "lower(math") if "lower" in change[1] else text


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_prose_and_layout_do_not_count(tmp_path: Path, change: tuple[str, str]) -> None:
    assert digest(tmp_path, plugin=replaced(change)) == digest(tmp_path)


@pytest.mark.parametrize("change", ANOTHER.values(), ids=ANOTHER)
def test_whatever_can_change_a_number_counts(tmp_path: Path, change: tuple[str, str]) -> None:
    assert digest(tmp_path, plugin=replaced(change)) != digest(tmp_path)


def test_a_helper_and_its_helper_count(tmp_path: Path) -> None:
    first = digest(tmp_path)
    assert digest(tmp_path, helper=HELPER.replace("*", "/")) != first
    assert digest(tmp_path, deeper=DEEPER.replace("2", "3")) != first
    assert digest(tmp_path, deeper="# more\n" + DEEPER, helper='"""x"""\n' + HELPER) == first


def test_a_file_may_be_moved_and_renamed(tmp_path: Path) -> None:
    first = digest(tmp_path)
    moved = written(tmp_path / "elsewhere").rename(tmp_path / "elsewhere" / "z.py")
    assert hash_of(closure([moved])) == first
    renamed = {
        "plugin": PLUGIN.replace("from helper", "from a_helper"),
        "a_helper": HELPER.replace("deeper", "zzz"),
        "zzz": DEEPER,
    }
    assert digest(tmp_path, **renamed) == first


@pytest.mark.parametrize("unparsed", [True, False])
@given(path=st.sampled_from(sorted(PACKAGE.rglob("*.py"))))
@settings(max_examples=25, deadline=None)
def test_every_file_of_ours_may_be_laid_out_anew(unparsed: bool, path: Path) -> None:
    """As `ast.unparse` writes it, or with a comment on every line that can bear one."""
    tree = ast.parse(path.read_bytes())
    text = ast.unparse(tree) if unparsed else "# first\n" + path.read_text() + "\n# last\n"
    again = ast.parse(text)
    assert source._plain(source._Prose().visit(again), {}) == source._plain(source._tree(path), {})


NUMBERS = st.one_of(st.integers(0, 9), st.floats(0, 9, width=16), st.booleans())


@given(st.tuples(NUMBERS, NUMBERS), st.sampled_from(["+", "-", "*", "/", "**"]))
@settings(max_examples=50, deadline=None)
def test_two_formulas_share_a_digest_only_if_they_are_one(
    numbers: tuple[Any, Any], operator: str
) -> None:
    def plain(text: str) -> Any:
        return source._plain(ast.parse(text), {})

    one, two = (f"x {operator} {number!r}" for number in numbers)
    assert (plain(one) == plain(two)) == (repr(numbers[0]) == repr(numbers[1]))
    assert plain(one) == plain(f"(x{operator}\n({numbers[0]!r}))  # the same")


DIFFERENT = [
    ("return", "return None"),
    ("return", 'return f""'),
    ("x = 1", "x = True"),
    ("x = 1", "x: int = 1"),
    ("x = 0.0", "x = -0.0"),
    ('x = "1"', 'x = b"1"'),
    ('x = f"{y}"', 'x = f"{y!r}"'),
    ('x = f"{y}"', 'x = f"{y:.1f}"'),
    ('x = f"{y}"', 'x = "{y}"'),
    ("x = [*y]", "x = [y]"),
    ("x = {**y}", "x = {y}"),
    ("def g(a, *, b): ...", "def g(a, b): ..."),
    ("def g(a, b=1): ...", "def g(a, *, b=1): ..."),
    ("def g(a): ...", "async def g(a): ..."),
    ("x < y < z", "x < y <= z"),
    ("if x: y = 1", "while x: y = 1"),
    ("global x", "nonlocal x"),
]


@pytest.mark.parametrize("pair", DIFFERENT, ids=lambda pair: " / ".join(pair))
def test_different_code_has_different_digests(tmp_path: Path, pair: tuple[str, str]) -> None:
    texts = ("def f():\n    " + one + "\n" for one in pair)
    assert len({digest(tmp_path, plugin=text) for text in texts}) == 2


# --- what is followed -----------------------------------------------------------------------------

FOLLOWED = {
    "from ..x import y": "from ..maths import f\n",
    "from . import x": "from .. import maths\nf = maths.f\n",
    "from . import x as z": "from .. import maths as z\nf = z.f\n",
    "from ..room import module": "from ..room import maths\nf = maths.f\n",
    "from ..room import name": "from ..room import f\n",
    "an attribute of a room": "from .. import room\ng = room.f(1)\n",
    "import a.b": "import pkg.maths\ng = pkg.maths.f(1)\n",
    "import a.b as c": "import pkg.maths as m\ng = m.f(1)\n",
    "a re-export by its place": "import pkg.room\ng = pkg.room.f(1)\n",
    "absolute": "from pkg.maths import f\n",
    "everything": "from ..maths import *\n",
    "in a function": "def g():\n    from ..maths import f\n    return f(1)\n",
}


def package(folder: Path, code: str, **more: str) -> Path:
    """A package with a room that re-exports, and a plugin in another room of it."""
    files = {
        "__init__": "",
        "room/__init__": "from ..maths import f\nfrom .unused import g\n__all__ = ['f', 'g']\n",
        "room/unused": "def g(x):\n    return x\n",
        "maths": "def f(x):\n    return x + 1\n",
        "room/maths": "def f(x):\n    return x + 1\n",
        "plugins/__init__": "",
        "plugins/plugin": code,
    }
    for name, text in (files | more).items():
        path = folder / "pkg" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    forget()
    return folder / "pkg" / "plugins" / "plugin.py"


@pytest.mark.parametrize("code", FOLLOWED.values(), ids=FOLLOWED)
def test_every_way_of_importing_is_followed(tmp_path: Path, code: str) -> None:
    found = closure([package(tmp_path, code)])
    assert {one.name for one in found} >= {"plugin.py", "maths.py"}
    minus = "def f(x):\n    return x - 1\n"
    changed = closure([package(tmp_path, code, **{"maths": minus, "room/maths": minus})])
    assert hash_of(changed) != hash_of(closure([package(tmp_path, code)]))


SWAPPED = {
    "branches of a try": (
        "try:\n    from ..maths import f\nexcept ImportError:\n    from ..other import f\n",
        "try:\n    from ..other import f\nexcept ImportError:\n    from ..maths import f\n",
    ),
    "functions": (
        "def g():\n    from ..maths import f\n    return f(1)\n\n\n"
        "def h():\n    from ..other import f\n    return -f(1)\n",
        "def g():\n    from ..other import f\n    return f(1)\n\n\n"
        "def h():\n    from ..maths import f\n    return -f(1)\n",
    ),
    "the last import wins": (
        "from ..maths import f\nfrom ..other import f\n",
        "from ..other import f\nfrom ..maths import f\n",
    ),
    "a function of that name": (
        "from ..maths import f\n\n\ndef f(x):\n    return x\n",
        "def f(x):\n    return x\n\n\nfrom ..maths import f\n",
    ),
    "helpers of equal text": (
        "from ..floors import f\nfrom ..ceils import f as g\ny = f(1.5) - 2 * g(1.5)\n",
        "from ..ceils import f\nfrom ..floors import f as g\ny = f(1.5) - 2 * g(1.5)\n",
    ),
}


@pytest.mark.parametrize("codes", SWAPPED.values(), ids=SWAPPED)
def test_the_place_of_an_import_counts_where_it_can_matter(
    tmp_path: Path, codes: tuple[str, str]
) -> None:
    more = {
        "other": "def f(x):\n    return x / 2\n",
        "floors": "from math import floor as r\n\n\ndef f(x):\n    return r(x)\n",
        "ceils": "from math import ceil as r\n\n\ndef f(x):\n    return r(x)\n",
    }
    one, other = (hash_of(closure([package(tmp_path, code, **more)])) for code in codes)
    assert one != other


@pytest.mark.parametrize(
    "star", ["from .a import *\n", "from . import patches\nfrom .a import f\n"]
)
def test_whatever_a_users_package_imports_counts(tmp_path: Path, star: str) -> None:
    def digest(a: str, patches: str = "") -> str:
        files = {"room/__init__": star, "room/a": a, "room/patches": patches}
        return hash_of(closure([package(tmp_path, "from ..room import f\n", **files)]))

    plain = digest("def f(x):\n    return x\n")
    assert digest("def f(x):\n    return -x\n") != plain
    assert (digest("def f(x):\n    return x\n", "y = 1\n") != plain) == ("patches" in star)


def test_a_helper_that_is_no_python_counts_as_it_is(tmp_path: Path) -> None:
    code = "def g():\n    from ..maths import f\n    return f(1)\n"
    first, second = (
        hash_of(closure([package(tmp_path, code, maths=text)])) for text in ("x = =", "x = = =")
    )
    assert first != second


def test_a_package_that_does_more_than_re_export_counts(tmp_path: Path) -> None:
    seeded = {"__init__": "import torch\ntorch.manual_seed(1)\n"}
    assert "__init__.py" not in {one.name for one in closure([package(tmp_path, "x = 1\n")])}
    assert "__init__.py" in {one.name for one in closure([package(tmp_path, "x = 1\n", **seeded)])}


def test_which_of_two_functions_of_one_name_is_taken_counts(tmp_path: Path) -> None:
    """Both files are in the closure either way."""
    other = {"other": "def f(x):\n    return x / 2\n"}
    code = "from {} import f\nfrom {} import f as g\n\n\ndef h(x):\n    return f(x)\n"
    one, two = (code.format(*names) for names in (("..maths", "..other"), ("..other", "..maths")))
    first = hash_of(closure([package(tmp_path, one, **other)]))
    assert hash_of(closure([package(tmp_path, two, **other)])) != first


def test_what_is_installed_or_of_the_engine_is_left_out(tmp_path: Path) -> None:
    code = "import json\nimport torch\nimport pydantic\nimport bench.errors\nimport suites\n"
    assert {one.name for one in closure([package(tmp_path, code)])} == {"plugin.py"}


def test_an_installed_plugin_is_followed_within_its_own_package(tmp_path: Path) -> None:
    installed = tmp_path / "site-packages"
    plugin = package(installed, "from pkg.maths import f\nimport neighbour\n")
    (installed / "neighbour.py").write_text("x = 1\n")
    assert {one.name for one in closure([plugin])} == {"plugin.py", "maths.py"}


def test_a_plugin_takes_of_ours_what_it_names(tmp_path: Path) -> None:
    named = "from criteria import Criterion\nfrom criteria.saliency.snip import Snip\n"
    plugin = package(tmp_path, named)
    files = closure([plugin])
    assert PACKAGE / "criterion.py" in files
    assert PACKAGE / "saliency" / "snip.py" in files
    assert PACKAGE / "saliency" / "taylor.py" not in files
    assert PACKAGE / "__init__.py" not in files


def test_of_what_is_imported_whole_all_counts(tmp_path: Path) -> None:
    plugin = package(tmp_path, "import criteria.saliency.snip\nx = criteria.Criterion\n")
    files = closure([plugin])
    assert {PACKAGE / "saliency" / "snip.py", PACKAGE / "__init__.py"} <= files
    assert {PACKAGE / "criterion.py", PACKAGE / "score.py"} <= files


# --- criteria of ours -----------------------------------------------------------------------------


def test_rooms_only_re_export() -> None:
    for init in PACKAGE.rglob("__init__.py"):
        assert source._only_re_exports(init), init


def test_what_stands_aside_is_there() -> None:
    assert all(one.is_file() for one in ASIDE)


def test_no_criterion_stands_on_what_decides_no_number() -> None:
    ours = [entry for entry in criteria() if PACKAGE in entry.file.parents]  # not other tests'
    assert len(ours) > 40
    for entry in ours:
        files = source_files(entry.name)
        assert not files & ASIDE
        assert PACKAGE / "criterion.py" in files
        assert all(PACKAGE in one.parents for one in files)
        assert not any("import time" in one.read_text() for one in files)


# --- plugins, loaded ------------------------------------------------------------------------------


def test_a_plugin_imports_what_lies_beside_it(tmp_path: Path) -> None:
    load_plugin(written(tmp_path))
    names = {one.name for one in source_files("mine")}
    assert {"plugin.py", "helper.py", "deeper.py", "gather.py"} <= names
    before = source_hash("mine", {})
    written(tmp_path, deeper=DEEPER.replace("2", "3"))
    forget()
    assert source_hash("mine", {}) != before


def test_a_helper_shadows_nothing_installed(tmp_path: Path) -> None:
    broken = {"json": "raise RuntimeError\n", "pydantic": "raise RuntimeError\n"}
    load_plugin(written(tmp_path, **broken))
    assert not {"json.py", "pydantic.py"} & {one.name for one in source_files("mine")}


# --- other Pythons --------------------------------------------------------------------------------

SYNTAX = """
def f(x, *, y=None, **z):
    a = f"{x:>{y}} {x!r:.2f}" "more" f" {x + 1}"
    b = f"{x:}" f"" "" f"{y}{y}"
    c = f"{{}} {x['a']}" + rb"\\x00" .decode() + u"u"
    match x:
        case {"a": [1, None, *rest], **others} if (n := len(rest)) > 1:
            return -1e400, 1_000, 0x10, 2j, ..., n
        case None | True:
            return [*z, {**z}, lambda q, /: q @ x]
    async def g() -> "int":
        async with x as (p, q):
            yield p[1:2, ::3]
    return a, b, c, g
"""
LOAD = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("source", sys.argv[1])
sys.modules["source"] = source = importlib.util.module_from_spec(spec)
spec.loader.exec_module(source)
for file in sys.argv[2:]:
    print(source.hash_of(source.closure([Path(file)])))
"""


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_python_finds_the_same_digests(version: str, tmp_path: Path) -> None:
    """Without torch: `criteria/source.py` stands on the standard library alone."""
    python = shutil.which(f"python{version}")
    ask: Callable[..., Any] = subprocess.run
    if python is None or ask([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"there is no Python {version} here")
    syntax = tmp_path / "syntax.py"
    syntax.write_text(SYNTAX)
    files = [syntax, *sorted(PACKAGE.rglob("*.py"))]
    done = ask(
        [python, "-I", "-c", LOAD, str(PACKAGE / "source.py"), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=toy.PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [hash_of(closure([file])) for file in files]
    assert len({code_digest(file) for file in files}) > 60
