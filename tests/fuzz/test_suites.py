"""Suite files and `--set` as nobody would write them: a suite, or one message, at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import toy
import yaml
from fuzzing import MANY, answered, anything, fuzz, places, put, strange, text
from hypothesis import strategies as st

from bench.plan.plan import make_plan
from suites import library, load_suite
from suites.schema import AnySuite

SMALL = 300  # trials that are planned; how long more of them take is measured elsewhere
BOMB = "".join(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]\n" for at in range(1, 12))
MERGES = "".join(
    f"m{at}: &m{at}\n  k{at}: 1\n  <<: [{', '.join([f'*m{at - 1}'] * 10)}]\n" for at in range(1, 12)
)
BOMBS = [
    "a0: &a0 x\n" + BOMB,
    "m0: &m0 {a: 1}\n" + MERGES,
    "x: " + "[" * 5000,
    "x: &x [*x]",
    "x: " + "9" * 5000,
    "x: " + ":".join(["59"] * 4000),
    "x: !!int ''",
    "x: !!float ''",
    "x: !!timestamp x",
    "x: !!binary ':'",
    "x: !!bool x",
    "x: !!omap [a]",
    "x: 2020-13-45",
    "? [a, {b: c}]\n: d",
    "x: " + "a" * 250_000,
    "".join(f"k{at}: 0\n" for at in range(60_000)),
]


class _Dumper(yaml.SafeDumper):
    """Writes numbers of any length, and nothing as an alias unless the test says so."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    int, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:int", hex(value))
)
_Dumper.add_multi_representer(tuple, lambda dumper, value: dumper.represent_list(value))


@cache
def whole() -> list[Any]:
    """The library's suites, and the toy."""
    return [toy.content(), *(yaml.safe_load(path.read_text()) for path in library().values())]


@st.composite
def suite_files(draw: st.DrawFn) -> bytes:
    """A suite of the library with some places changed, taken out or added; or its text torn."""
    content = copy.deepcopy(draw(st.sampled_from(whole())))
    content["suite"] = "mine"
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(list(places(content))))
        if draw(st.booleans()):
            place = (*place[:-1], draw(text))
        value = draw(anything | strange)
        put(content, place, value, remove=draw(st.integers(0, 4)) == 0)
    written = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=draw(st.booleans()))
    how = draw(st.integers(0, 9))
    if how == 0:
        at = draw(st.integers(0, len(written)))
        written = written[:at] + draw(text) + written[at + draw(st.integers(0, 9)) :]
    if how == 1:
        written = draw(st.sampled_from(BOMBS)) + "\n" + written
    return written.encode(errors="surrogatepass")


def plan_of(suite: AnySuite) -> None:
    if suite.size <= SMALL:
        make_plan(suite)  # type: ignore[arg-type]


def check_file(folder: Path, written: bytes) -> None:
    path = folder / "mine.yaml"
    path.write_bytes(written)
    suite = answered(lambda: load_suite(str(path)))
    if suite is not None:
        answered(lambda: plan_of(suite))


KEYS = [
    "bases", "repeats", "first_base", "models", "methods", "methods.*", "methods.0.criterion",
    "methods.*.iterative.steps", "methods.3.options", "budgets", "budgets.macs", "recoveries",
    "recoveries.0", "recipes.short.epochs", "recipes.mine", "datasets.0.train_images", "datasets",
    "datasets.0.root", "models.0.checkpoint", "models.0.options.width", "calibration.images",
    "measure.batch", "selection.by_budget", "selection.scope", "selection.layers",
    "analysis.looks", "analysis.control", "scales.smoke", "description", "suite", "kind", "keep",
]  # fmt: skip


@st.composite
def overrides(draw: st.DrawFn) -> list[str]:
    given = []
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(KEYS) | text | st.lists(text, max_size=4).map(".".join))
        value = draw(
            text | st.sampled_from(BOMBS) | anything.map(lambda one: yaml.dump(one, Dumper=_Dumper))
        )
        given.append(key + draw(st.sampled_from(["=", "=", "=", "", "=="])) + value)
    return given


def check_overrides(folder: Path, given: list[str]) -> None:
    suite = answered(lambda: load_suite("quickstart", given))
    if suite is not None:
        answered(lambda: plan_of(suite))


Check = Callable[[Path, Any], None]
KINDS: dict[str, tuple[Check, st.SearchStrategy[Any]]] = {
    "files": (check_file, suite_files()),
    "--set": (check_overrides, overrides()),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_few(tmp_path: Path, kind: str) -> None:
    check, inputs = KINDS[kind]
    fuzz(lambda given: check(tmp_path, given), inputs, 30)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", list(KINDS))
def test_many(tmp_path: Path, kind: str) -> None:
    check, inputs = KINDS[kind]
    fuzz(lambda given: check(tmp_path, given), inputs, MANY // 4)


@pytest.mark.parametrize("bomb", range(len(BOMBS)))
def test_bombs(tmp_path: Path, bomb: int) -> None:
    check_file(tmp_path, BOMBS[bomb].encode())
