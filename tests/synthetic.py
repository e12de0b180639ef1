"""Made-up records of made-up trials, for the tests of reports."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from reports.records import (
    Accuracy,
    Costs,
    Failure,
    Labels,
    Latency,
    Measurements,
    Record,
    content_key,
)
from suites.schema import Suite

METHODS: list[Any] = [
    "random", "l1", "l2", "bn-scale", "fpgm", "lamp", "taylor", "hessian", "obd",
    {"criterion": "jacobian", "as": "jacobian", "matched": ["l1", "random"]},
]  # fmt: skip


def make_suite(**changes: Any) -> Suite:
    """2 problems x (10 methods + 2 matched controls) x 3 budgets x 3 bases x 2 recoveries."""
    given: dict[str, Any] = {
        "suite": "synthetic",
        "description": "Made-up numbers that exercise the report.",
        "datasets": ["digits"],
        "models": ["resnet20", "vgg-small"],
        "methods": METHODS,
        "budgets": {"macs": [0.7, 0.5, 0.3]},
        "recoveries": ["none", {"finetune": "short"}],
        "base_recipe": "base-digits",
        "analysis": {"control": "l1"},
    }
    return Suite.model_validate(given | changes)


def plan(suite: Suite) -> list[Labels]:
    matched_to = {
        f"{criterion}~{one.name}": one.name for one in suite.methods for criterion in one.matched
    }
    return [
        Labels(
            suite=suite.suite,
            dataset=dataset.title,
            model=model.title,
            method=method,
            recovery=recovery.name,
            cost=suite.budgets.cost,
            budget=budget,
            base=base,
            repeat=repeat,
            matched_to=matched_to.get(method),
        )
        for dataset, model in suite.problems
        for method, recovery, budget, base, repeat in product(
            suite.method_names,
            suite.recoveries,
            suite.budgets_of(model).kept,
            range(suite.bases),
            range(suite.repeats),
        )
    ]


def latency(ratio: float, dense_ms: float = 2.0, **changes: Any) -> Latency:
    """Timed in nine rounds that agree, beside a copy that is as fast."""
    found = {
        "batch_size": 1,
        "dense_ms": dense_ms,
        "pruned_ms": dense_ms * ratio,
        "ratios": [ratio * (1 + 0.002 * off) for off in range(-4, 5)],
        "aa_ratio": 1.0,
    }
    return Latency.model_validate(found | changes)


def record(labels: Labels, top1: float, dense: float = 0.9, **changes: Any) -> Record:
    """One finished trial; `changes` replace fields of its measurements or costs."""
    identity = labels.model_dump(mode="json")

    def accuracy(share: float) -> Accuracy:
        return Accuracy(
            top1=share, top5=1.0, loss=1 - share, validation_top1=share, validation_loss=1 - share
        )

    measurements = {
        "dense": accuracy(dense),
        "pruned": accuracy(top1),
        "test_images": 360,
        "best_validation_top1": None,
        "macs": round(1_000_000 * labels.budget),
        "dense_macs": 1_000_000,
        "params": round(100_000 * labels.budget),
        "dense_params": 100_000,
        "torch_pruning_macs": round(1_000_000 * labels.budget),
        "widths": {},
        "weights": {},
        "layer_sparsity": {},
        "latency": [latency(0.75)],
        "images_scored": 512,
        "images_trained": 0,
        "history": [],
    }
    costs = {"score_s": 0.5, "score_peak_bytes": None, "recovery_s": 1.0, "total_s": 2.0}
    return Record(
        key=content_key(identity),
        identity=identity,
        labels=labels,
        status="done",
        measurements=Measurements.model_validate(
            measurements | {k: v for k, v in changes.items() if k in measurements}
        ),
        costs=Costs.model_validate(costs | {k: v for k, v in changes.items() if k in costs}),
        provenance={
            "git_sha": "0123abc",
            "device": "cpu",
            "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
        },
    )


def failed(labels: Labels, message: str) -> Record:
    identity = labels.model_dump(mode="json")
    return Record(
        key=content_key(identity),
        identity=identity,
        labels=labels,
        status="failed",
        failure=Failure(kind="RuntimeError", message=message, traceback="Traceback ..."),
        provenance={"git_sha": "0123abc", "device": "cpu"},
    )


def synthetic_records(suite: Suite, labels: Sequence[Labels]) -> list[Record]:
    """Seeded, plausible numbers: better criteria lose less, finetuning closes most of the gap."""
    rng = np.random.default_rng(7)
    skill = dict(
        zip(suite.method_names, np.linspace(0.0, 1.0, len(suite.method_names)), strict=True)
    )
    skill["l1"] = 0.4
    seconds = {name: 10 ** rng.uniform(-2, 1.3) for name in suite.method_names} | {"random": 2e-4}
    dense = {
        (model.name, base): 0.95 + 0.01 * rng.standard_normal()
        for model in suite.models
        for base in range(suite.bases)
    }
    found = []
    for one in labels:
        gap = (1 - one.budget) ** 1.5 * (0.75 - 0.4 * skill[one.method])
        gap *= 0.12 if one.recovery.startswith("finetune") else 1.0
        gap += 0.01 * rng.standard_normal() * (0.5 if "finetune" in one.recovery else 2)
        start = dense[one.model, one.base]
        top1 = float(np.clip(round(360 * (start - gap)) / 360, 0, 1))
        found.append(
            record(
                one,
                top1,
                start,
                macs=round(1_000_000 * (one.budget - rng.uniform(0, 0.004))),
                params=round(100_000 * one.budget ** rng.uniform(0.6, 1.6)),
                score_s=float(seconds[one.method] * rng.uniform(0.8, 1.2)),
            )
        )
    return found


def tiny() -> tuple[Suite, list[Record]]:
    """a and the control l1 on two problems, two budgets, two bases, two repeats.

    Against l1, in points, by (base, budget), each repeat one point up or down:
    m1: base 0 at +4, +2 -> +3; base 1 at +1, +1 -> +1. m2: -2, -2 -> -2; 0, 0 -> 0.
    """
    suite = make_suite(
        models=["m1", "m2"],
        methods=["l1", {"criterion": "taylor", "as": "a"}],
        budgets={"macs": [0.5, 0.25]},
        bases=2,
        repeats=2,
        recoveries=["none"],
    )
    gains = {("m1", 0): (4, 2), ("m1", 1): (1, 1), ("m2", 0): (-2, -2), ("m2", 1): (0, 0)}
    found = []
    for one in plan(suite):
        gain = gains[one.model, one.base][(0.5, 0.25).index(one.budget)] if one.method == "a" else 0
        jitter = 1 if one.repeat else -1
        found.append(record(one, (70 + gain + jitter) / 100, 0.9))
    return suite, found


def told_apart() -> tuple[Suite, list[Record]]:
    """Three methods on nine problems: `a` best, `b` as good but for noise, `l1` far behind."""
    suite = make_suite(
        models=[f"m{i}" for i in range(9)],
        methods=["l1", {"criterion": "taylor", "as": "a"}, {"criterion": "taylor", "as": "b_1"}],
        budgets={"macs": [0.5]},
        recoveries=["none"],
    )
    rng = np.random.default_rng(0)
    level = {"l1": 0.5, "a": 0.8, "b_1": 0.799}
    found = [record(one, level[one.method] + rng.normal(0, 0.004), 0.9) for one in plan(suite)]
    return suite, found
