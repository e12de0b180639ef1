"""Presets: every paper's method is a method that a suite could spell out."""

from __future__ import annotations

import pytest

from criteria.phases import PHASES
from criteria.registry import find
from suites.method import MethodSpec, named_presets
from suites.recipe import named_recipes

PRESETS = named_presets()


@pytest.fixture(params=sorted(PRESETS))
def method(request: pytest.FixtureRequest) -> MethodSpec:
    return MethodSpec.model_validate({**PRESETS[request.param], "as": request.param})


def test_its_criterion_exists_and_takes_its_options(method: MethodSpec) -> None:
    find(method.criterion).type.options_type.model_validate(method.options)


def test_its_phases_exist_and_take_their_options(method: MethodSpec) -> None:
    if method.prepare:
        PHASES["preparation"].options(method.prepare.name, method.prepare.options)
    if method.procedure:
        PHASES["procedure"].options(method.procedure.name, method.procedure.options)
    if method.finetuning:
        PHASES["recovery"].options(method.finetuning.name, method.finetuning.options)


def test_its_recipes_are_named(method: MethodSpec) -> None:
    assert method.recipes <= set(named_recipes())
