"""Seeded records of a made-up comparison in which everything that a figure may draw is measured."""

from __future__ import annotations

import numpy as np
from synthetic import latency, make_suite, plan, record

from reports.records import Epoch, Record
from suites.schema import Suite

CRITERIA = (
    "l1",
    "random",
    "l2",
    "taylor",
    "jacobian",
    "fpgm",
    "lamp",
    "hessian",
    "bn-scale",
    "obd",
)
MODELS = ("resnet20", "vgg-small", "convnext-tiny", "densenet", "mobilenetv2", "resnet50")
BUDGETS = (0.8, 0.65, 0.5, 0.35, 0.2, 0.1)
GROUPS = 9

__all__ = ["make", "plan", "records"]


def make(
    methods: int = 5,
    budgets: int = 3,
    models: int = 2,
    bases: int = 3,
    repeats: int = 1,
    datasets: int = 1,
) -> Suite:
    """A suite of so many; two thirds of the methods train, names are as long as real ones."""
    named = []
    for place in range(methods):
        round_, criterion = divmod(place, len(CRITERIA))
        suffix = ("", "-iterative", "+depgraph-sl+sp", "+otov2+sr", "+ep")[round_]
        named.append({"criterion": CRITERIA[criterion], "as": CRITERIA[criterion] + suffix})
    return make_suite(
        methods=named,
        models=list(MODELS[:models]),
        datasets=["digits", "cifar100"][:datasets],
        budgets={"macs": list(BUDGETS[:budgets])},
        bases=bases,
        repeats=repeats,
    )


def records(suite: Suite) -> list[Record]:
    """Each method has a skill, a habit of thinning deep layers, and a price."""
    rng = np.random.default_rng(5)
    names = suite.method_names
    skill = dict(zip(names, rng.permutation(np.linspace(0, 1, len(names))), strict=True))
    habit = dict(zip(names, rng.uniform(0.3, 2.5, len(names)), strict=True))
    seconds = dict(zip(names, 10 ** rng.uniform(-2.5, 1.5, len(names)), strict=True))
    phases = dict(zip(names, (rng.integers(0, 4, len(names)) * 3000).tolist(), strict=True))
    easy = {model.name: rng.uniform(0.4, 1) for model in suite.models}
    return [_record(one, rng, skill, habit, seconds, phases, easy) for one in plan(suite)]


def _record(one, rng, skill, habit, seconds, phases, easy) -> Record:  # type: ignore[no-untyped-def]
    tuned = one.recovery.startswith("finetune")
    gap = (1 - one.budget) ** 2 * (0.8 - 0.5 * skill[one.method]) * easy[one.model]
    gap *= 0.1 if tuned else 1.0
    gap += 0.006 * rng.standard_normal()
    dense = 0.93 + 0.004 * one.base
    top1 = round(2000 * min(max(dense - gap, 0.1), 1.0)) / 2000
    depth = np.linspace(0.2, 1, GROUPS)
    kept = np.clip(
        one.budget ** (habit[one.method] * depth) + 0.02 * rng.standard_normal(GROUPS), 0.05, 1
    )
    widths = {
        f"layer{i // 3 + 1}.{i % 3}.conv1": (round(64 * share), 64) for i, share in enumerate(kept)
    }
    history = [
        Epoch(epoch=i + 1, train_loss=0.1, validation_top1=top1 - 0.2 * gap * 0.6**i)
        for i in range(10 if tuned else 0)
    ]
    found = record(
        one,
        top1,
        dense,
        macs=round(1e6 * (one.budget - rng.uniform(0, 0.004))),
        params=round(1e5 * one.budget ** (0.6 + 0.4 * habit[one.method])),
        widths=widths,
        latency=[
            latency(0.2 + 0.8 * one.budget ** (0.5 + 0.1 * habit[one.method]), 9.0, batch_size=8)
        ],
        images_trained=2588 if tuned else 0,
        history=history,
        score_s=float(seconds[one.method] * rng.uniform(0.9, 1.1)),
    )
    assert found.measurements is not None
    trained = found.measurements.model_copy(update={"phases": {"procedure": phases[one.method]}})
    return found.model_copy(update={"measurements": trained})
