"""What deciding look by look costs in errors and verdicts, and what it saves; the truth is known.

python tests/study/until_decided.py     # the table of docs/statistics.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.analysis.over_problems import decided
from reports.statistics import Look, looks, pairwise
from suites.schema import Suite

Floats = NDArray[np.float64]
AT, ALPHA = [3, 5, 8], 0.05
EFFECTS = (0, 1, 0, 3, 0, 10)  # of the methods after the control, in turn, in base SDs


@dataclass(frozen=True)
class World:
    """Methods that differ from the control by known amounts on every problem.

    Attributes:
        methods: the control among them.
        problems: fixed.
        mixed: differences of `EFFECTS`, their signs in turn; else all methods are equally good.
        noise: over bases: `normal`, `heavy` (t with 3 degrees of freedom), or `unequal` (normal,
            with a spread of each method's own on each problem, from a third to three times).
    """

    methods: int
    problems: int
    mixed: bool
    noise: str = "normal"

    @property
    def effects(self) -> Floats:
        """[methods] true means; the control's, the first, is 0."""
        m = self.methods - 1
        signs = np.where(np.arange(m) // len(EFFECTS) % 2, -1, 1)
        return np.concatenate([[0], self.mixed * signs * np.resize(EFFECTS, m)])

    def scores(self, rng: np.random.Generator) -> Floats:
        """[methods, problems, bases] in base SDs."""
        shape = (self.methods, self.problems, AT[-1])
        if self.noise == "heavy":
            spread = rng.standard_t(3, shape) / np.sqrt(3)
        else:
            spread = rng.standard_normal(shape)
        if self.noise == "unequal":
            spread *= 3 ** rng.uniform(-1, 1, shape[:2])[:, :, None]
        return np.asarray(self.effects[:, None, None] + spread)


@dataclass(frozen=True)
class Outcome:
    """Of one experiment.

    Attributes:
        wrong: whether any comparison with the control was called what it is not.
        wrong_pair: whether any two equal methods were told apart, on the bases that there were.
        full_wrong: as `wrong`, of the full plan at one look.
        same: share of comparisons called the same as by the full plan.
        opposite: comparisons called better by the one and worse by the other.
        told, full_told: share of true differences that were told.
        saved: share of the full plan's trials.
    """

    wrong: bool
    wrong_pair: bool
    full_wrong: bool
    same: float
    opposite: int
    told: float
    full_told: float
    saved: float


def suite(methods: int) -> Suite:
    """Of so many methods; only its analysis is used."""
    names = [{"criterion": "l1", "as": f"m{one}"} for one in range(methods)]
    return Suite.model_validate(
        {"suite": "world", "datasets": ["digits"], "models": ["vgg-small"], "methods": names}
        | {"budgets": {"macs": [0.5]}, "recoveries": ["none"], "base_recipe": "base-digits"}
        | {"bases": AT[-1], "analysis": {"control": "m0", "alpha": ALPHA, "looks": AT}}
    )


def experiment(world: World, of: Suite, rng: np.random.Generator) -> Outcome:
    """One experiment, decided at every look and at the last alone."""
    scores, truth = world.scores(rng), world.effects[1:]
    cube = scores[1:] - scores[0]
    several = looks(AT, ALPHA)
    table, _ = decided(cube, several, of, ["none"] * len(cube))
    full, _ = decided(cube, [Look(AT[-1], ALPHA)], of, ["none"] * len(cube))
    stopped = table["look"].to_numpy(dtype=int)
    bases = np.concatenate([[stopped.max()], stopped])  # the control goes on with the last
    there = np.arange(AT[-1]) < bases[:, None, None]
    pairs = pairwise(np.where(there, scores, np.nan), looks=several).adjusted <= ALPHA
    equal = np.equal.outer(world.effects, world.effects)
    real = truth != 0
    return Outcome(
        wrong=bool(_wrong(table["word"], truth, of).any()),
        wrong_pair=bool((pairs & equal).any()),
        full_wrong=bool(_wrong(full["word"], truth, of).any()),
        same=float((table["word"] == full["word"]).mean()),
        opposite=sum(
            {one, other} == {"better", "worse"}
            for one, other in zip(table["word"], full["word"], strict=True)
        ),
        told=_share(table["word"], real),
        full_told=_share(full["word"], real),
        saved=float(1 - bases.mean() / AT[-1]),
    )


def _wrong(words: pd.Series[str], truth: Floats, of: Suite) -> NDArray[np.bool_]:
    better, worse, equivalent = (words == one for one in ("better", "worse", "equivalent"))
    matters = np.abs(truth) > of.analysis.rope
    found = (better & (truth <= 0)) | (worse & (truth >= 0)) | (equivalent & matters)
    return found.to_numpy(dtype=bool)


def _share(words: pd.Series[str], real: NDArray[np.bool_]) -> float:
    return float(words[real].isin(["better", "worse"]).mean()) if real.any() else np.nan


def outcomes(world: World, experiments: int, seed: int = 0) -> pd.DataFrame:
    """One row an experiment, the columns of `Outcome`."""
    rng, of = np.random.default_rng(seed), suite(world.methods)
    return pd.DataFrame([vars(experiment(world, of, rng)) for _ in range(experiments)])


def worlds() -> Iterator[World]:
    """Those of the table."""
    for methods in (5, 40):
        for problems in (1, 3):
            for mixed in (False, True):
                yield World(methods, problems, mixed)
    for noise in ("heavy", "unequal"):
        for methods in (5, 40):
            yield World(methods, 2, True, noise)


def main(experiments: int = 1000) -> None:
    """Print the means, in percent."""
    for one in worlds():
        means = (100 * outcomes(one, experiments, seed=1).mean()).round(1)
        print(
            *vars(one).values(), *(f"{name} {value:g}" for name, value in means.items()), flush=True
        )


if __name__ == "__main__":
    main()
