"""Criteria by name: near matches, options, plugins, and the hash of the code behind a score."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from conftest import build, groups_of, images
from sources import forget, forgetting

from criteria import (
    Criterion,
    Need,
    OptionError,
    UnknownCriterion,
    criteria,
    find,
    load_plugin,
    register,
    score,
)
from criteria.gather import gather
from criteria.phases import PHASES
from criteria.registry import CATALOG, create, source_files, source_hash
from criteria.source import PACKAGE
from criteria.training import Kind

registry = importlib.import_module("criteria.registry")

PLUGIN = '''
from criteria import Criterion, register


@register("{name}", cite="mine", faithful="mine")
class Mine(Criterion):
    """Sum of the weights."""

    def observe(self, batch):
        for member in self.members:
            self.add(member, member.view(batch.weights).sum(1){more})
'''


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with forgetting():
        yield


def plugin(folder: Path, name: str = "mine", more: str = "", file: str = "plugin.py") -> Path:
    path = folder / file
    path.write_text(PLUGIN.format(name=name, more=more))
    return path


# --- names ----------------------------------------------------------------------------------------


def test_the_list_is_by_name_and_complete() -> None:
    names = [entry.name for entry in criteria()]
    assert names == sorted(set(names))
    assert {"random", "inverse", "l1", "l2", "taylor", "hessian_diag", "fpgm"} <= set(names)


@pytest.mark.parametrize("entry", criteria(), ids=lambda entry: entry.name)
def test_every_criterion_says_what_it_is_and_whence(entry: registry.Entry) -> None:
    assert entry.summary
    assert "\n" not in entry.summary
    assert entry.cite
    assert entry.faithful
    assert entry.structured or entry.unstructured
    assert isinstance(entry.type.needs, Need)
    assert CATALOG.options(entry.name, {}) == entry.type.options_type()


def test_how_faithful_is_said_of_all_of_ours_and_of_nobody_else() -> None:
    said = yaml.safe_load((PACKAGE / "faithful.yaml").read_text())
    kinds: tuple[Kind, ...] = ("preparation", "procedure", "recovery")
    ours = {"criterion": criteria()} | {kind: PHASES[kind].all() for kind in kinds}
    own = {
        kind: [one for one in all_ if PACKAGE in one.file.parents] for kind, all_ in ours.items()
    }
    assert {kind: {*notes} for kind, notes in said.items()} == {
        kind: {one.name for one in all_} for kind, all_ in own.items()
    }
    assert not [one.name for all_ in own.values() for one in all_ if one.note]


@pytest.mark.parametrize(
    ("alias", "name"),
    [("magnitude_l1", "l1"), ("taylor_fo", "taylor"), ("obd_diag", "hessian_diag")],
)
def test_aliases_find_the_same_criterion(alias: str, name: str) -> None:
    assert find(alias) is find(name)


@pytest.mark.parametrize(("wrong", "near"), [("tailor", "taylor"), ("hesian_diag", "hessian_diag")])
def test_a_wrong_name_gets_near_matches_and_the_list(wrong: str, near: str) -> None:
    with pytest.raises(UnknownCriterion) as caught:
        find(wrong)
    message = str(caught.value)
    assert message.startswith(f"there is no criterion {wrong!r}. Did you mean ")
    assert near in message.split("?")[0]
    assert all(entry.name in message.split("There are: ")[1] for entry in criteria())


def test_a_name_like_none_gets_the_list_alone() -> None:
    with pytest.raises(UnknownCriterion, match=r"'zzzz'\. There are: .*bn_scale, "):
        find("zzzz")


# --- options --------------------------------------------------------------------------------------


def test_unknown_options_say_which_are_allowed() -> None:
    with pytest.raises(OptionError) as caught:
        CATALOG.options("taylor", {"varient": "signed"})
    message = str(caught.value)
    assert message.startswith("taylor: there is no option 'varient'. Did you mean variant?")
    assert message.endswith("It takes: reduction, normalizer, variant, bias")


def test_wrong_values_say_which_are_allowed() -> None:
    with pytest.raises(OptionError, match=r"option 'variant'.*'squared', 'absolute', 'signed'"):
        CATALOG.options("taylor", {"variant": "cubed"})
    with pytest.raises(OptionError, match="option 'bias' = 'yes'"):  # no conversions
        CATALOG.options("taylor", {"bias": "yes"})
    with pytest.raises(
        OptionError, match=r"random: there is no option 'reduction'.*It takes: no options"
    ):
        CATALOG.options("random", {"reduction": "sum"})


def test_the_public_call_passes_options_on() -> None:
    with pytest.raises(OptionError, match="'p'"):
        score(build("chain"), images(1), "l1", p=3)


# --- plugins --------------------------------------------------------------------------------------


def test_a_plugin_is_scored_like_any_other(tmp_path: Path) -> None:
    load_plugin(plugin(tmp_path))
    model = build("chain")
    (found,) = [one for one in score(model, images(1), "mine") if one.root == "3"]
    members = {
        "3": model[3].weight.flatten(1),
        "4": model[4].weight[:, None],
        "8": model[8].weight.T,
    }
    expected = sum(one.sum(1) for one in members.values())
    torch.testing.assert_close(found.values, expected.detach())
    (of_inverse,) = [
        one for one in score(model, images(1), "inverse", of="mine") if one.root == "3"
    ]
    assert torch.equal(of_inverse.values, -found.values)


def test_a_plugin_may_be_loaded_again(tmp_path: Path) -> None:
    path = plugin(tmp_path)
    load_plugin(path)
    load_plugin(path)
    assert [entry.name for entry in criteria()].count("mine") == 1


def test_a_plugin_cannot_take_a_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the name 'l1' is taken by .*magnitude\.py"):
        load_plugin(plugin(tmp_path, name="l1"))
    with pytest.raises(ValueError, match="the name 'magnitude_l1' is taken"):
        load_plugin(plugin(tmp_path, name="magnitude_l1"))
    load_plugin(plugin(tmp_path))
    with pytest.raises(ValueError, match=r"the name 'mine' is taken by .*plugin\.py"):
        load_plugin(plugin(tmp_path, file="other.py"))


def test_one_file_cannot_give_two_criteria_one_name() -> None:
    def define(name: str) -> None:
        @register(name, cite="x", faithful="x")
        class Scores(Criterion):
            """x"""

    with pytest.raises(ValueError, match="taken"):
        define("l2")
    assert find("l2").type.__name__ == "L2"


def test_a_plugin_that_is_not_there_or_registers_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownCriterion, match="there is no such file"):
        load_plugin(tmp_path / "missing.py")
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    with pytest.raises(UnknownCriterion, match="it registers no criterion"):
        load_plugin(empty)
    text = tmp_path / "notes.txt"
    text.write_text("x = 1\n")
    with pytest.raises(UnknownCriterion, match="not a Python file"):
        load_plugin(text)


# --- the hash of the code -------------------------------------------------------------------------


def hash_of(folder: Path, code: str) -> str:
    path = folder / "plugin.py"
    path.write_text(code)
    load_plugin(path)
    forget()
    return source_hash("mine", {})


def test_the_hash_follows_the_code_and_not_its_comments(tmp_path: Path) -> None:
    code = PLUGIN.format(name="mine", more="")
    first = hash_of(tmp_path, code)
    assert hash_of(tmp_path, code) == first
    assert hash_of(tmp_path, "# a comment\n" + code.replace("\n\n", "\n\n\n")) == first
    assert hash_of(tmp_path, PLUGIN.format(name="mine", more=" * 2")) != first


def test_the_hash_does_not_depend_on_where_the_file_lies(tmp_path: Path) -> None:
    code = PLUGIN.format(name="mine", more="")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = hash_of(tmp_path / "a", code)
    registry.CATALOG.by_name.pop("mine")
    assert hash_of(tmp_path / "b", code) == first


def test_the_hash_of_inverse_follows_its_inner_criterion(tmp_path: Path) -> None:
    assert source_hash("inverse", {"of": "l1"}) != source_hash("inverse", {"of": "taylor"})
    first = hash_of(tmp_path, PLUGIN.format(name="mine", more=""))
    inverse = source_hash("inverse", {"of": "mine"})
    assert hash_of(tmp_path, PLUGIN.format(name="mine", more=" * 2")) != first
    assert source_hash("inverse", {"of": "mine"}) != inverse


def test_the_hash_of_inverse_follows_its_default_criterion(tmp_path: Path) -> None:
    """`of` may be left out; the criterion that then scores counts all the same."""
    assert source_hash("inverse", {}) == source_hash("inverse", {"of": "l1"})


def test_criteria_in_different_files_have_different_hashes() -> None:
    assert source_hash("taylor", {}) != source_hash("fpgm", {})


def test_the_hash_covers_what_turns_evidence_into_scores() -> None:
    names = {file.name for file in source_files("lamp")}
    assert {"magnitude.py", "criterion.py", "gather.py", "member.py", "reduce.py"} <= names
    assert {"batch.py", "backward.py", "samples.py", "curvature.py", "weights.py"} <= names
    assert not names & {"registry.py", "errors.py", "taylor.py"}


def test_every_fresh_criterion_starts_empty() -> None:
    groups = groups_of(build("chain"))
    one, two = (create("l1", groups, {}, torch.Generator()) for _ in range(2))
    gather(build("chain"), [one], [])
    assert one.batches == 1
    assert two.batches == 0
    assert not two._sums
