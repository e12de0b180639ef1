"""On a small network that has learned digits: what a criterion costs, and whom it ranks like."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional

from criteria import Group, NotApplicable, criteria
from criteria.network.modes import eval_with_gradients
from criteria.network.weights import weight_structure
from criteria.registry import find, scores_weights
from suites import Recipe
from suites.problem import DatasetSpec, ModelSpec

from ..plan.jobs import BaseJob
from ..steps.bases import make_base
from ..steps.workspace import Settings, Workspace
from .behaviour import Batches, Outcome, attempt
from .checks import not_finite, shape_fault
from .finding import Finding, Verdict

BASE = BaseJob(
    dataset=DatasetSpec(name="digits"),
    model=ModelSpec(name="vgg_small", options={"width": 8}),
    recipe=Recipe(epochs=8, batch_size=64, learning_rate=0.1, schedule="cosine", nesterov=True),
    base=0,
    checkpoint_sha256=None,
)
BATCHES, BATCH_SIZE = 2, 64
REPEATS = 5  # of what is timed
SHOWN = 5  # most similar, and most different
SAME = 0.999


@dataclass(frozen=True, eq=False)
class Trained:
    """The trained network, its groups and calibration batches."""

    model: nn.Module
    groups: tuple[Group, ...]
    batches: Batches


Ranking = list[np.ndarray]  # scores of every group


@dataclass(frozen=True)
class Likeness:
    """Spearman correlation of two criteria's scores: the mean over groups, and over all units."""

    name: str
    within: float
    overall: float

    def __str__(self) -> str:
        return f"{self.name} {self.within:.2f} / {self.overall:.2f}"


def compare(name: str, results: Path) -> list[Finding]:
    """Cost and rank correlations of one criterion; the network is trained where it is missing."""
    at = trained(results.resolve())
    if not find(name).structured:
        at = replace(at, groups=weight_structure(at.model).groups)
    mine = attempt(at.model, {name: (name, at.groups)}, at.batches)[name]
    if mine.error is not None:
        verdict: Verdict = "not applicable" if isinstance(mine.error, NotApplicable) else "fail"
        return [Finding(name, "runs", "trained", verdict, str(mine.error))]
    fault = shape_fault(mine, at.groups) or not_finite(mine, at.groups)
    if fault:
        return [Finding(name, "finite", "trained", "fail", fault)]
    spent = Finding(name, "cost", "trained", "information", cost(name, at))
    ranking = _ranking(mine, at.groups)
    if ranking is None:
        said = "picks sets, gives no scores that could be ranked"
        return [spent, Finding(name, "ranks like", "trained", "not applicable", said)]
    return [spent] + [
        Finding(name, check, "trained", "information", said)
        for check, said in _similar(name, ranking, at)
    ]


def _similar(name: str, ranking: Ranking, at: Trained) -> list[tuple[str, str]]:
    """(check, reason), compared with all others that rank the same units."""
    structured = find(name).structured
    others = {
        one.name: (one.name, at.groups)
        for one in criteria()
        if one.name != name and (one.structured if structured else scores_weights(one.name, {}))
    }
    outcomes = attempt(at.model, others, at.batches)
    theirs = {other: _ranking(outcome, at.groups) for other, outcome in outcomes.items()}
    return similarities(
        [likeness(other, ranking, one) for other, one in theirs.items() if one is not None]
    )


def likeness(name: str, one: Ranking, other: Ranking) -> Likeness:
    """Spearman correlations of two criteria; `name` is the other's.

    Groups that either of them scores all alike have no correlation and are left out.
    """
    within = [_spearman(*pair) for pair in zip(one, other, strict=True)]
    known = [value for value in within if not np.isnan(value)]
    overall = _spearman(np.concatenate(one), np.concatenate(other))
    return Likeness(name, float(np.mean(known)) if known else np.nan, overall)


def similarities(alike: Sequence[Likeness]) -> list[tuple[str, str]]:
    """(check, reason): the most similar, the most different, and who ranks the very same way."""
    known = sorted(
        (one for one in alike if not np.isnan(one.within + one.overall)),
        key=lambda one: -one.within,
    )
    if not known:
        return [("ranks like", "no other criterion ranks this network")]
    half = (len(known) + 1) // 2  # nobody is among both
    lists = (
        ("ranks like", known[: min(SHOWN, half)]),
        ("ranks unlike", known[half:][::-1][:SHOWN]),
    )
    said = [(check, ", ".join(map(str, some))) for check, some in lists if some]
    for one in known:
        if one.within > SAME:
            where = "" if one.overall > SAME else " inside every group; across groups it differs"
            said.append(("hint", f"same ranking as {one.name}{where}"))
    return said


@cache
def trained(results: Path) -> Trained:
    """A small VGG on digits, as a base like any other: kept by the hash of all that makes it."""
    workspace = Workspace(Settings(results, Path("data")))
    if not workspace.store.path("bases", BASE.key, ".json").exists():
        make_base(BASE, workspace)
    base = workspace.base(BASE)
    first = torch.arange(BATCHES * BATCH_SIZE)
    batches = list(base.data.train.batches(BATCH_SIZE, indices=first))
    return Trained(base.network.model, base.network.structure.groups, batches)


def cost(name: str, at: Trained) -> str:
    """Seconds to score, over those of forward and backward on the same batches; medians."""

    def passes() -> None:
        with eval_with_gradients(at.model):
            for images, labels in at.batches:
                loss = functional.cross_entropy(at.model(images), labels)
                torch.autograd.grad(loss, list(at.model.parameters()))

    def scoring() -> None:
        attempt(at.model, {name: (name, at.groups)}, at.batches)

    mine, plain = _median_seconds(scoring), _median_seconds(passes)
    return f"{mine / plain:.2g} times forward and backward ({mine * 1e3:.1f} ms)"


def _median_seconds(work: Callable[[], None]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _ranking(outcome: Outcome, groups: Sequence[Group]) -> Ranking | None:
    """None where it raised, or gives anything but finite `[units]` of every group."""
    scores = outcome.scores
    if scores is None or [values.shape for values in scores] != [(one.units,) for one in groups]:
        return None
    ranking = [values.detach().double().cpu().numpy() for values in scores]
    return ranking if all(np.isfinite(values).all() for values in ranking) else None


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    """NaN where either is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
