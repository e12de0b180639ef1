"""Options are about channels, single weights or both: what would be ignored is refused."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from conftest import about, build, images, labelled, lively
from pydantic.fields import FieldInfo
from torch import Tensor

from bench import prune
from bench.command.listing import option_lines
from criteria import NotApplicable, OptionError, criteria, find, score, weight_structure
from criteria.gather import score_alone
from criteria.phases import PHASES
from criteria.registry import CATALOG, create, require
from criteria.training import Kind

# Made of others: parts, and values of their own options, cannot be read off the types.
GIVEN: dict[str, dict[str, Any]] = {"ensemble": {"of": ["l1", "taylor"]}}
OTHERS: dict[tuple[str, str], list[Any]] = {
    ("inverse", "of"): ["snip"],
    ("ensemble", "of"): [["l1", "snip"]],
    ("ensemble", "weights"): [[1.0, 3.0]],
}
COMPANIONS = {("jacobian", "combine"): {"flatten": "block"}}  # one is refused without the other


def other_values(name: str, option: str, field: FieldInfo) -> list[Any]:
    """All but the default of what an option can be, or another number."""
    if (name, option) in OTHERS:
        return OTHERS[name, option]
    kind, default = field.annotation, field.default
    if get_origin(kind) is Literal:
        return [one for one in get_args(kind) if one != default]
    if kind is bool:
        return [not default]
    assert kind in (int, float), f"{name}: {option} is a {kind}; give a value in OTHERS"
    return [default + 1]


UNSTRUCTURED = [entry.name for entry in criteria() if entry.unstructured]


def scored(name: str, options: dict[str, Any]) -> list[Tensor]:
    model = lively(build("residual"))
    one = create(name, weight_structure(model).groups, options, torch.Generator().manual_seed(0))
    return score_alone(model, one, [labelled(6, 0), labelled(6, 1)])[0]


@pytest.mark.parametrize("name", UNSTRUCTURED)
def test_an_option_moves_scores_of_single_weights_or_is_refused(name: str) -> None:
    """And is not refused where it would move them."""
    plain = GIVEN.get(name, {})
    before = scored(name, plain)
    for option, field in find(name).type.options_type.model_fields.items():
        for value in other_values(name, option, field):
            options = plain | COMPANIONS.get((name, option), {}) | {option: value}
            with about(f"{option} = {value}"):
                if moved(name, options, before):
                    require(name, options, "single weights")
                    continue
                said = rf"^{name}: option '.*would be ignored where single"
                with pytest.raises(OptionError, match=said):
                    require(name, options, "single weights")


def moved(name: str, options: dict[str, Any], before: list[Tensor]) -> bool:
    """Whether options change the scores."""
    try:
        found = scored(name, options)
    except NotApplicable:
        return False
    pairs = zip(found, before, strict=True)
    return not all(torch.allclose(one, other, rtol=1e-9, atol=0) for one, other in pairs)


def test_defaults_pass_filled_in_or_not() -> None:
    for name in UNSTRUCTURED:
        plain = GIVEN.get(name, {})
        require(name, plain, "single weights")
        require(name, CATALOG.options(name, plain).model_dump(), "single weights")


def test_the_message_names_method_option_and_reason() -> None:
    with pytest.raises(OptionError) as refused:
        prune(build("chain"), images(1), "taylor", {"weights": 0.5}, [labelled()], bias=True)
    assert str(refused.value) == (
        "taylor: option 'bias' = True would be ignored where single weights are pruned: "
        "a single weight has no bias; leave it at False"
    )


def test_parts_are_looked_into() -> None:
    part = {"criterion": "l2", "options": {"reduction": "max"}}
    with pytest.raises(OptionError, match="l2: option 'reduction' = 'max' would be ignored"):
        require("inverse", {"of": part}, "single weights")
    require("inverse", {"of": part}, "channels")


def test_options_of_single_weights_are_refused_for_channels() -> None:
    with pytest.raises(OptionError, match=r"oba: option 'patch'.*where channels are pruned"):
        score(build("chain"), images(1), "oba", [labelled()], patch="magnitude")


def test_every_option_is_described() -> None:
    """Where only a default is another, what the class it comes from says of it holds."""
    for one in [*criteria(), *(one for kind in get_args(Kind) for one in PHASES[kind].all())]:
        kind = one.type.options_type
        described = zip(kind.model_fields, option_lines(kind), strict=False)  # a docstring last
        for name, line in described:
            assert "): " in line, f"{one.type.__name__}: {name} is not explained"
