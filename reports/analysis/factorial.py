"""The factorial analysis of a suite: what each factor does, and whether that depends on others."""

from collections.abc import Iterator
from itertools import compress, product
from math import prod

import numpy as np
import pandas as pd

from .. import statistics
from ..statistics import Floats, known_mean
from .cells import Scores
from .comparisons import bounded, looks_of, scores_of, welch_in_groups, word

TIMES = " × "
WORDS = {"better": "raises", "worse": "lowers"}
WORDS |= {"equivalent": "negligible", "undecided": "undecided"}
COLUMNS = ["term", "levels", "mean", "low", "high", "joint_low", "joint_high", "p", "p_adjusted"]
COLUMNS += ["word", "n_problems", "n_bases", "share"]


def factorial(scored: Scores) -> pd.DataFrame:
    """Main effects and interactions of the suite's factors, the term with the largest share first.

    One row an effect; none without factors, or a base that has all combinations. In points: `mean`
    over problems, its interval alone (`low`, `high`) and of all effects at once (`joint_low`,
    `joint_high`). `p` is Welch's, `p_adjusted` Bonferroni's as the latter, `word` of `WORDS`;
    `n_bases` over `n_problems` have all combinations. `share`: the term's percent of the squares
    between combinations of a problem, bases averaged; mean over problems.
    """
    rules = scored.suite.analysis
    levels, cells = crossed(scored) if rules.factors else ([], np.full((1, 1), np.nan))
    there = ~np.isnan(cells[(0,) * len(levels)])  # [problems, bases], of any combination
    if not there.any():
        return pd.DataFrame(columns=COLUMNS)
    labels, parts, tests = [], [], 0
    for acts, effect in effects(cells, len(levels)):
        own, term = list(compress(levels, acts)), TIMES.join(compress(rules.factors, acts))
        labels += [(term, TIMES.join(one)) for one in product(*own)]
        parts.append(effect.reshape(-1, *there.shape))
        # Of two levels one effect is the other with its sign changed, and both are one test.
        tests += prod(len(one) if len(one) > 2 else 1 for one in own)
    table, cube = pd.DataFrame(labels, columns=COLUMNS[:2]), np.concatenate(parts)
    terms, level = list(table["term"]), statistics.spent(looks_of(scored.suite), cube)
    alone, test = (welch_in_groups(cube, terms, floor=one) for one in (False, True))
    each, joint = bounded(alone.interval(1 - level)), bounded(test.interval(1 - level / tests))
    adjusted = np.minimum(tests * test.p_values * rules.alpha / level, 1)
    words = [WORDS[word(*ends, rules.rope)] for ends in zip(*joint, strict=True)]
    squares = pd.DataFrame(known_mean(cube, axis=2) ** 2).groupby(terms, sort=False).mean()
    share = 100 * (squares / squares.sum()).mean(axis=1)[terms].to_numpy()
    counts = there.any(axis=1).sum(), there.sum()
    values = (test.mean, *each, *joint, test.p_values, adjusted, words, *counts, share)
    table = table.assign(**dict(zip(COLUMNS[2:], values, strict=True)))
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def crossed(scored: Scores) -> tuple[list[list[str]], Floats]:
    """Levels of each factor, and the [*levels, problems, bases] points of retained top-1 of all
    combinations: NaN in all of a base on which one has no result, so that the rest is balanced."""
    of = scored.suite.crossing(scored.suite.methods)
    levels = [list(dict.fromkeys(one)) for one in zip(*of, strict=True)]
    places = [cell for one in product(*levels) for cell in of[one]]
    cube = scores_of(scored.by_base, places, scored.problems)
    cube[:, np.isnan(cube).any(axis=0)] = np.nan
    return levels, cube.reshape(*map(len, levels), *cube.shape[1:])


def effects(cells: Floats, factors: int) -> Iterator[tuple[tuple[bool, ...], Floats]]:
    """Of every term which factors act, and its effects, which sum to zero over each (Yates 1937).

    A main effect is the mean of a level minus that of all; an interaction is what a combination has
    beyond the effects of its parts. `cells`: [*levels, ...]; axes that do not act get length 1.
    """
    for acts in list(product((False, True), repeat=factors))[1:]:
        left = cells
        for axis, acting in enumerate(acts):
            mean = left.mean(axis=axis, keepdims=True)
            left = left - mean if acting else mean
        yield acts, left.round(9)  # rounding noise is no variation
