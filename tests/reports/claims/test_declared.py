"""A record bears the name of a suite; whether it has its settings is told from what decided it."""

from __future__ import annotations

import pytest
from synthetic import record

from bench.plan.jobs import TrialJob
from bench.plan.plan import make_plan
from reports.claims.differences import as_declared
from suites import load_suite


def planned(*overrides: str) -> list[TrialJob]:
    plan = make_plan(load_suite("rgd-cifar", overrides, scale="reduced"))
    return [one for one in plan.trials if isinstance(one, TrialJob)]


def declared(trial: TrialJob) -> bool:
    made = record(trial.labels, 0.8)
    return as_declared(made.model_copy(update={"identity": trial.identity, "key": trial.key}))


def test_every_trial_of_the_file_is_as_declared() -> None:
    assert all(declared(one) for one in planned())


@pytest.mark.parametrize(
    "override",
    [
        "recipes.rgd-finetune.epochs=1",
        "recipes.rgd-base.epochs=1",
        "datasets.0.train_images=5000",
        "calibration.images=64",
        "models=[resnet20]",
    ],
)
def test_a_change_on_the_command_line_is_seen(override: str) -> None:
    finetuned = [one for one in planned(override) if one.recovery == "finetune"]
    assert finetuned
    assert not any(declared(one) for one in finetuned)
