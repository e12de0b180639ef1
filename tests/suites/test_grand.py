"""`grand` is the comparison of everything that there is: nothing registered is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

import pytest

from criteria import registry
from criteria.catalog import Registered
from criteria.phases import PHASES
from criteria.training import Kind
from suites import Suite, library, load_suite
from suites.method import MethodSpec, named_presets

LEFT_OUT = re.compile(r"^# left out: (\S+) - \S")
GRAND = cast(Suite, load_suite("grand"))


def left_out(text: str) -> set[str]:
    """What a suite says that it lacks: lines `# left out: NAME - why`."""
    return {found[1] for line in text.splitlines() if (found := LEFT_OUT.match(line))}


EXCUSED = left_out(library()["grand"].read_text())
METHODS = {one.name: one for one in GRAND.methods}


def own(entries: Iterable[Registered]) -> set[str]:
    """Names of those of this project, not of plugins that other tests have loaded."""
    return {one.name for one in entries if one.type.__module__.startswith("criteria.")}


def test_an_excuse_is_a_line_with_a_reason() -> None:
    text = "# left out: oracle - it is no method\n# left out: hasty\n  # left out: inner - text\n"
    assert left_out(text) == {"oracle"}


def test_grand_runs_every_criterion() -> None:
    used = {one.criterion for one in GRAND.methods}
    assert own(registry.criteria()) - used == EXCUSED & own(registry.criteria())


def test_grand_runs_every_preset_as_it_stands() -> None:
    presets = named_presets()
    assert presets.keys() - METHODS.keys() == EXCUSED & presets.keys()
    for name in presets.keys() & METHODS.keys():
        assert METHODS[name] == MethodSpec.model_validate({**presets[name], "as": name})


@pytest.mark.parametrize(
    ("kind", "key"),
    [("preparation", "prepare"), ("procedure", "procedure"), ("recovery", "finetuning")],
)
def test_grand_runs_every_phase_that_trains(kind: Kind, key: str) -> None:
    used = {phase.name for one in GRAND.methods if (phase := getattr(one, key))}
    assert own(PHASES[kind].all()) - used == EXCUSED & own(PHASES[kind].all())


def test_what_grand_leaves_out_exists() -> None:
    known = own(registry.criteria()) | named_presets().keys()
    for kind in ("preparation", "procedure", "recovery"):
        known |= own(PHASES[kind].all())
    assert known >= EXCUSED


def test_grand_spans_four_networks_three_datasets_and_several_bases() -> None:
    assert len(GRAND.models) >= 4
    assert len(GRAND.datasets) >= 3
    assert GRAND.bases > 1
    assert {one.kind for one in GRAND.recoveries} >= {"none", "finetune"}
