"""A criterion put to all checks; of a trained network: cost, agreement of seeds, and likeness."""

import statistics
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
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
from .behaviour import Batches, Scoring, Tasks, attempt, behaviours
from .checks import inspect, not_finite, shape_fault
from .finding import Finding, Verdict, fails
from .networks import FAMILIES

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
SEEDS = 4
AGREE = 0.9  # rank correlation of two seeds, below which a row of a report would compare noise


@dataclass(frozen=True, eq=False)
class TrainedCase:
    """The trained network, its groups and calibration batches."""

    model: nn.Module
    groups: tuple[Group, ...]
    batches: Batches


GroupScores = list[np.ndarray]  # of every group, `[units]`


@dataclass(frozen=True)
class Likeness:
    """Spearman correlation of two criteria's scores: the mean over groups, and over all units."""

    name: str
    within: float
    overall: float

    def __str__(self) -> str:
        return f"{self.name} {self.within:.2f} / {self.overall:.2f}"


def check_trained(name: str, results: Path) -> list[Finding]:
    """What one criterion costs and whom it ranks like; trains the network where it is missing."""
    case = trained(results.resolve())
    if not find(name).structured:
        case = replace(case, groups=weight_structure(case.model).groups)
    scoring = attempt(case.model, {name: (name, case.groups)}, case.batches)[name]
    if scoring.error is not None:
        verdict: Verdict = "not applicable" if isinstance(scoring.error, NotApplicable) else "fail"
        return [Finding(name, "runs", "trained", verdict, str(scoring.error))]
    if fault := shape_fault(scoring, case.groups) or not_finite(scoring, case.groups):
        return [Finding(name, "finite", "trained", "fail", fault)]
    spent = Finding(name, "cost", "trained", "information", cost(name, case))
    if (scores := group_scores(scoring, case.groups)) is None:
        said = "picks sets, gives no scores that could be ranked"
        return [spent, Finding(name, "ranks like", "trained", "not applicable", said)]
    others: Tasks = {
        entry.name: (entry.name, case.groups)
        for entry in criteria()
        if entry.name != name
        and (entry.structured if find(name).structured else scores_weights(entry.name, {}))
    }
    theirs = {
        other: group_scores(each, case.groups)
        for other, each in attempt(case.model, others, case.batches).items()
    }
    alike = [likeness(other, scores, each) for other, each in theirs.items() if each is not None]
    return [spent, *seeds_agree(name, scores, case)] + [
        Finding(name, check, "trained", "information", said) for check, said in similarities(alike)
    ]


def seeds_agree(name: str, scores: GroupScores, case: TrainedCase) -> list[Finding]:
    """How alike a criterion ranks by other seeds; nothing of one that they do not change."""
    runs: list[GroupScores] = [scores]
    for seed in range(1, SEEDS):
        scoring = attempt(case.model, {name: (name, case.groups)}, case.batches, seed)[name]
        if (other := group_scores(scoring, case.groups)) is None:
            said = f"no finite scores with seed {seed}: {scoring.error or 'NaN or infinite'}"
            return [Finding(name, "seeds agree", "trained", "fail", said)]
        runs.append(other)
        if all(map(np.array_equal, scores, other)):
            return []
    pairs = [likeness(name, *pair) for pair in combinations(runs, 2)]
    within, overall = (np.mean([getattr(one, of) for one in pairs]) for of in ("within", "overall"))
    said = (
        f"rank correlation of two seeds {within:.2f} within groups (mean over groups and "
        f"{len(pairs)} pairs), {overall:.2f} over all"
    )
    verdict: Verdict = "pass" if within >= AGREE else "fail"
    if find(name).chance:
        verdict, said = "information", f"{said}; chance is meant"
    elif verdict == "fail":
        said += f"; at least {AGREE} within groups is asked: draw more, or register chance=True"
    return [Finding(name, "seeds agree", "trained", verdict, said)]


def likeness(name: str, one: GroupScores, other: GroupScores) -> Likeness:
    """Spearman correlations of two criteria; `name` is the other's.

    Groups that either of them scores all alike have no correlation and are left out.
    """
    within = pd.Series([_spearman(*pair) for pair in zip(one, other, strict=True)])
    overall = _spearman(np.concatenate(one), np.concatenate(other))
    return Likeness(name, float(within.mean()), overall)


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
    for other in known:
        if other.within > SAME:
            where = "" if other.overall > SAME else " inside every group; across groups it differs"
            said.append(("hint", f"same ranking as {other.name}{where}"))
    return said


@cache
def trained(results: Path) -> TrainedCase:
    """A small VGG on digits, as a base like any other: kept by the hash of all that makes it."""
    workspace = Workspace(Settings(results, Path("data")))
    if not workspace.store.path("bases", BASE.key, ".json").exists():
        make_base(BASE, workspace)
    base = workspace.base(BASE)
    first = torch.arange(BATCHES * BATCH_SIZE)
    batches = list(base.data.train.batches(BATCH_SIZE, indices=first))
    return TrainedCase(base.network.model, base.network.structure.groups, batches)


def cost(name: str, case: TrainedCase) -> str:
    """Seconds to score, over those of forward and backward on the same batches; medians."""

    def passes() -> None:
        with eval_with_gradients(case.model):
            for images, labels in case.batches:
                loss = functional.cross_entropy(case.model(images), labels)
                torch.autograd.grad(loss, list(case.model.parameters()))

    def scoring() -> None:
        attempt(case.model, {name: (name, case.groups)}, case.batches)

    spent, plain = (
        statistics.median(timeit.repeat(work, number=1, repeat=REPEATS))
        for work in (scoring, passes)
    )
    return f"{spent / plain:.2g} times forward and backward ({spent * 1e3:.1f} ms)"


def group_scores(scoring: Scoring, groups: Sequence[Group]) -> GroupScores | None:
    """The scores; None where it raised, or gives anything but finite `[units]` of every group."""
    given = scoring.scores
    if given is None or [values.shape for values in given] != [(one.units,) for one in groups]:
        return None
    scores = [values.detach().double().cpu().numpy() for values in given]
    return scores if all(np.isfinite(values).all() for values in scores) else None


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    """The rank correlation; NaN where either is constant."""
    return float(pd.DataFrame({"one": one, "other": other}).corr("spearman").to_numpy()[0, 1])


def check(
    name: str, results: Path = Path("results"), tell: Callable[[str], None] = lambda step: None
) -> list[Finding]:
    """Run a registered criterion on tiny networks of every family and on a trained one.

    This takes some seconds; the first time some more, to train the small network on digits, which
    is kept among the bases of the folder `results`.

    `tell` hears what is looked at next. Raises UnknownCriterion where none bears this name.
    """
    name = find(name).name
    findings: list[Finding] = []
    for family in FAMILIES:
        tell(f"on a tiny {family} network")
        findings += check_on(family, [name])
    if fails(findings):
        return findings  # what breaks on a tiny network is mended before it is compared
    tell("on a trained network, beside all other criteria")
    return findings + check_trained(name, results)


def check_on(family: str, names: Sequence[str]) -> list[Finding]:
    """Put criteria to the checks on the tiny network of one family; they share its evidence.

    >>> [finding.verdict for finding in check_on("chain", ["l1"]) if finding.check == "runs"]
    ['pass']
    """
    return [finding for seen in behaviours(names, family) for finding in inspect(seen)]
