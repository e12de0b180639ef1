"""Worlds whose truth is known: how scores come about, and what is true of their means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reports.records import Labels
from suites.schema import Suite

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Shape = Literal["normal", "skewed", "heavy", "two levels", "images"]
COLLAPSED, SHARE = 20.0, 0.03  # points, and the share of (method, problem, base) that loses them
IMAGE = 100 / 360  # points that one of 360 test images is


@dataclass(frozen=True)
class World:
    """Sizes of an experiment, and where its differences come from; SDs in points.

    A score of a method is the level of its problem and base, which all methods share, plus what is
    the method's own: its effect, its interaction with the dataset, with the model, and with the
    problem, and noise of the base and of the repeat. All draws are the recovery's own: nothing
    that recoveries share could make an error of one less likely in another.

    Attributes:
        shape: of every draw of a method: `normal`; `skewed` (exponential, the long tail towards
            low accuracies); `heavy` (Student's t of 3 degrees of freedom); `two levels` (noise of a
            base is up or down, each as often);
            `images` (normal, and top-1 a whole number of images).
        unequal: what the spread over bases differs over, by a log-normal factor of 0.7.
        collapses: whether 3 % of (method, problem, base) lose 20 points; every method alike.
        sacrifice: whether all methods but the control gain half a point on nine problems of ten,
            and lose 20 on the rest.
        ladder: methods' effects are evenly spaced from 0 to this.
        gain: effect of the second method, the first that is no control.
        failing, missing: shares of (method, problem) of which a trial failed, or did not run.
        control_fails: share of the problems on which the control fails.
        control_calm: factor on the control's spread over bases.
        looks: at so many bases.
        ceiling: whether dense networks have 99 %, and pruned ones up to 100 %.
    """

    methods: int = 40
    datasets: int = 4
    models: int = 3
    bases: int = 3
    repeats: int = 1
    recoveries: int = 1
    by_dataset: float = 0.0
    by_model: float = 0.0
    by_problem: float = 0.0
    base_sd: float = 1.0
    repeat_sd: float = 0.3
    shape: Shape = "normal"
    unequal: Literal["", "methods", "problems", "cells"] = ""
    collapses: bool = False
    sacrifice: bool = False
    ladder: float = 0.0
    gain: float = 0.0
    failing: float = 0.0
    missing: float = 0.0
    control_fails: float = 0.0
    control_calm: float = 1.0
    looks: tuple[int, ...] = ()
    ceiling: bool = False
    alpha: float = 0.05
    rope: float = 0.2

    @property
    def problems(self) -> int:
        return self.datasets * self.models

    def suite(self) -> Suite:
        """The suite whose trials these are; the first method is the control."""
        names = ["control", *(f"m{one}" for one in range(1, self.methods))]
        recoveries: list[Any] = ["none", {"finetune": "short"}, "bn"]
        return Suite.model_validate(
            {
                "suite": "world",
                "datasets": [
                    {"name": "digits", "label": f"d{one}"} for one in range(self.datasets)
                ],
                "models": [{"name": "resnet20", "label": f"n{one}"} for one in range(self.models)],
                "methods": [{"criterion": "l1", "as": name} for name in names],
                "budgets": {"macs": [0.5]},
                "recoveries": recoveries[: self.recoveries],
                "base_recipe": "base-digits",
                "bases": self.bases,
                "repeats": self.repeats,
                "analysis": {
                    "control": "control",
                    "alpha": self.alpha,
                    "rope": self.rope,
                    "looks": list(self.looks),
                },
            }
        )


@dataclass(frozen=True)
class Truth:
    """What is true.

    Attributes:
        here: [recoveries, methods, problems] expected scores over bases, the problems as they are.
        anywhere: [recoveries, methods] expected scores over problems like these.
        dense: [problems] expected top-1 of the bases.
    """

    here: Floats
    anywhere: Floats
    dense: Floats


@dataclass(frozen=True)
class Experiment:
    """What was measured.

    Attributes:
        scores: [recoveries, methods, problems, bases, repeats] retained top-1.
        dense: [problems, bases] top-1 of the bases.
        failed, missing: [recoveries, methods, problems] of which a trial is.
    """

    scores: Floats
    dense: Floats
    failed: Booleans
    missing: Booleans
    truth: Truth


def plan(suite: Suite) -> list[Labels]:
    """The labels of all trials, problem by problem, in the order of `Experiment.scores`."""
    return [
        Labels(
            suite=suite.suite,
            dataset=dataset.title,
            model=model.title,
            method=method,
            recovery=recovery.name,
            cost="macs",
            budget=0.5,
            base=base,
            repeat=repeat,
        )
        for recovery in suite.recoveries
        for method in suite.method_names
        for dataset, model in suite.problems
        for base in range(suite.bases)
        for repeat in range(suite.repeats)
    ]


def draw(world: World, rng: np.random.Generator) -> Experiment:
    """One experiment of a world."""
    r, m, p, b = world.recoveries, world.methods, world.problems, world.bases
    shape = drawer(world.shape, rng)
    across = (r, m, world.datasets, world.models)
    effect = np.linspace(0, world.ladder, m)
    effect[1] += world.gain
    here = np.zeros(across) + effect[:, None, None]
    here += world.by_dataset * shape((r, m, world.datasets, 1))
    here += world.by_model * shape((r, m, 1, world.models))
    here += world.by_problem * shape(across)
    here = here.reshape(r, m, p)
    anywhere = np.tile(effect, (r, 1))
    if world.sacrifice:
        lost = rng.random((r, m, p)) < 0.1
        lost[:, 0] = False
        gained = np.arange(m)[:, None] > 0
        here += np.where(lost, -COLLAPSED, 0.5 * gained)
        anywhere[:, 1:] += 0.9 * 0.5 - 0.1 * COLLAPSED
    spread = _spread(world, rng)
    own = spread * shape((r, m, p, b))
    if world.shape == "two levels":
        own = spread * rng.choice([-1.0, 1.0], (r, m, p, b))
    if world.collapses:
        own -= COLLAPSED * ((rng.random((r, m, p, b)) < SHARE) - SHARE)
    repeats = world.repeat_sd * shape((r, m, p, b, world.repeats))
    level, dense = (0.0, np.full(p, 99.0)) if world.ceiling else (-30.0, rng.uniform(80, 92, p))
    trained = dense[:, None] + (0 if world.ceiling else 1) * shape((p, b))
    scores = level + here[..., None, None] + own[..., None] + repeats
    if world.shape == "images":
        trained = IMAGE * np.round(trained / IMAGE)
        scores = IMAGE * np.round(scores / IMAGE)
    failed = rng.random((r, m, p)) < world.failing
    failed[:, 0] |= np.arange(p) < round(world.control_fails * p)
    missing = ~failed & (rng.random((r, m, p)) < world.missing)
    truth = Truth(level + here, level + anywhere, dense)
    return Experiment(scores, trained, failed, missing, truth)


def _spread(world: World, rng: np.random.Generator) -> Floats:
    """[recoveries, methods, problems, 1] SD over bases."""
    r, m, p = world.recoveries, world.methods, world.problems
    over = {"": (1, 1, 1), "methods": (1, m, 1), "problems": (1, 1, p), "cells": (r, m, p)}
    size = over[world.unequal]
    factor = np.exp(0.7 * rng.standard_normal(size)) if world.unequal else np.ones(size)
    spread = world.base_sd * np.broadcast_to(factor, (r, m, p)).copy()
    spread[:, 0] *= world.control_calm
    return spread[..., None]


def drawer(shape: Shape, rng: np.random.Generator) -> Callable[[tuple[int, ...]], Floats]:
    """Draws of mean 0 and SD 1."""
    if shape == "skewed":
        return lambda size: 1 - rng.exponential(size=size)
    if shape == "heavy":
        return lambda size: rng.standard_t(3, size) / np.sqrt(3)
    return lambda size: rng.standard_normal(size)
