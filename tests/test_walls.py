"""The walls of the house, held by reading the source: who may import what, and what nobody does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import import_graph
import pytest
import toy
from import_graph import PACKAGES, circles, dotted, graph, imports, module_imports, room, tree

ROOT = toy.CHECKOUT
FILES = import_graph.modules(ROOT)
MODULES = list(FILES.values())
IMPORTS = module_imports(ROOT, FILES)

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
}

# Rooms of each package, top to bottom: each imports only what stands below it. Rooms of one line
# know nothing of each other. A package's own `__init__.py` is its front door, above all rooms.
LADDER = {
    "bench": """
        command
        run
        executors
        conformance
        steps
        plan
        models  training  tracking
        data
        tasks
        pruning
        deployed
        export
        store
        errors  terminal  seeds
    """,
    "criteria": """
        plugin  score
        saliency  selectors  preparations  procedures  recoveries
        families
        registry  phases
        catalog
        gather  selector
        criterion  training
        reduce
        evidence
        network
        options
        source
        errors  lazy
    """,
    "suites": """
        expand
        fidelity
        schema
        problem  method
        recipe  protocol
        overrides
        section
        files
        faults
    """,
    "reports": """
        build
        page  paper
        claims  figures
        analysis
        statistics
        declared
        chance
        words
        records  formats
        metric
        seal
    """,
}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_there_is_something_to_read() -> None:
    assert len(MODULES) > 40
    assert {named(path).split("/")[0] for path in MODULES} == set(PACKAGES)


def test_imports_stay_within_the_walls() -> None:
    for path in MODULES:
        package = named(path).split("/")[0]
        for name, node in imports(ROOT, path):
            top = name.split(".")[0]
            if top in PACKAGES and top != package:
                assert top in ALLOWED[package], f"{named(path)}:{node.lineno} imports {name}"
            for library, places in ONLY_IN.items():
                if top == library:
                    assert named(path).startswith(places), f"{named(path)} imports {name}"


def heights(package: str) -> dict[str, int]:
    """The height of every room of a package's ladder, the front door's the largest."""
    lines = LADDER[package].split("\n")
    ladder = [[f"{package}.{name}" for name in line.split()] for line in reversed(lines)]
    ladder = [line for line in [*ladder, [package]] if line]
    return {name: height for height, line in enumerate(ladder) for name in line}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_ladder_names_every_room(package: str) -> None:
    rooms = {room(name) for name in FILES if name.split(".")[0] == package}
    assert set(heights(package)) == rooms


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_import_only_what_is_below_them(package: str) -> None:
    height = heights(package)
    upward = [
        f"{named(FILES[importer])}:{line} imports {imported}"
        for importer, imported, line in IMPORTS
        if (tail := room(importer)) != (head := room(imported))
        and tail in height
        and head in height
        and height[tail] <= height[head]
    ]
    assert not upward, "\n".join(["not down the ladder:", *upward])


def test_modules_import_in_no_circles() -> None:
    """Nor by imports in functions, or of types only."""
    found = circles(graph(FILES, ((one.importer, one.imported) for one in IMPORTS)))
    assert not found, "\n".join(["modules that import each other:", *map(", ".join, found)])


def test_the_top_of_the_engine_fits_a_glance() -> None:
    inside = [path for path in (ROOT / "bench").iterdir() if path.name != "__pycache__"]
    assert len([path for path in inside if path.is_dir()]) <= 15
    assert len([path for path in inside if path.is_file()]) <= 5


def test_heavy_libraries_are_imported_where_the_table_says() -> None:
    for library, places in ONLY_IN.items():
        for place in places:
            paths = [path for path in MODULES if named(path).startswith(place)]
            found = {name.split(".")[0] for path in paths for name, _ in imports(ROOT, path)}
            assert library in found, f"{place} does not import {library}"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_loaded_that_could_run(package: str) -> None:
    for path in (one for one in MODULES if named(one).startswith(f"{package}/")):
        runs_nothing_it_loads(path)


def runs_nothing_it_loads(path: Path) -> None:
    unsafe = ("dill", "cloudpickle", "joblib", "shelve", "marshal")
    for name, node in imports(ROOT, path):
        assert name.split(".")[0] not in unsafe, f"{named(path)} imports {name}"
        if isinstance(node, ast.ImportFrom):  # the module, so that this test sees what is used
            assert name != "pickle", f"{named(path)} imports from pickle"
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
    relative = dict.fromkeys(name for name, _ in imports(ROOT, ROOT / "bench/executors/pool.py"))
    assert "bench.plan.jobs" in relative
    assert "multiprocessing.connection" in relative


def test_suites_know_nothing_of_torch() -> None:
    for path in MODULES:
        if named(path).startswith("suites/"):
            assert not {"torch", "numpy", "pandas"} & {
                one.split(".")[0] for one, _ in imports(ROOT, path)
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


LISTS = """
import sys
from rich.console import Console
from bench.command.listing import listing
from bench.plan.plan import make_plan
from suites import load_suite

for what in ("criteria", "preparations", "procedures", "recoveries", "models", "datasets"):
    listing(Console(file=sys.stderr), what, [])
assert len(make_plan(load_suite("quickstart")).trials) > 100
assert not {"torch", "torch_pruning"} & set(sys.modules), "torch is loaded"
from criteria.lazy import torch
assert torch.ones(2).sum() == 2 and "torch" in sys.modules
"""


def test_lists_and_plans_load_no_torch() -> None:
    """Its import takes two seconds; `criteria.lazy` says how that is done."""
    subprocess.run(
        [sys.executable, "-c", LISTS], env=toy.environment(), check=True, timeout=toy.PATIENCE
    )


def test_no_test_imports_a_test() -> None:
    """What tests share lies in modules of its own, directly under `tests/`."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for name, _ in imports(ROOT, path):
            shared = not name.split(".")[-1].startswith("test_")
            assert shared or name.split(".")[0] in PACKAGES, f"{named(path)} imports {name}"


def test_folders_of_tests_never_stand_for_the_packages() -> None:
    code = "import " + ", ".join(PACKAGES) + "; print(*(one.__file__ for one in (%s)))"
    done = subprocess.run(
        [sys.executable, "-c", code % ", ".join(PACKAGES)],
        capture_output=True,
        text=True,
        cwd=ROOT / "tests",
        env=toy.environment(),
        check=True,
        timeout=toy.PATIENCE,
    )
    assert done.stdout.split() == [str(ROOT / package / "__init__.py") for package in PACKAGES]


def test_nothing_asks_which_task_it_is() -> None:
    """Tasks are known by what they do; only a default is named outside their room."""
    names, modules = {"classification", "language-model", "segmentation"}, "bench.tasks."
    for path in (one for one in MODULES if "bench/tasks/" not in named(one)):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Compare | ast.Match | ast.MatchValue | ast.Dict):
                inside = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)}
                assert not names & inside, f"{named(path)} asks for a task by name"
        others = {"known", "logits", "task"}
        for name, _ in imports(ROOT, path):
            own = name.removeprefix(modules).split(".")[0]
            assert not name.startswith(modules) or own in others, f"{named(path)} imports {name}"
