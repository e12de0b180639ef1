"""How often, over many experiments of a world, something false is said and intervals miss."""

from __future__ import annotations

from collections import defaultdict
from zlib import crc32

import numpy as np
import pandas as pd
from study.pipeline import Pipeline
from study.promises import Judge, Verdict
from study.worlds import World, draw

COLUMNS = ["world", "what", "name", "share", "error", "experiments"]
SELDOM = 4  # every so many experiments: sentences, and intervals that are many
RECORDS = 100  # likewise: the whole way, through records; with looks, which drop trials, always


def tally(name: str, world: World, experiments: int) -> pd.DataFrame:
    """One row a kind of statement (`what` is `false`) and a kind of interval (`covered`).

    Columns: `world`, `what`, `name`, `share` and its standard error in percent: of experiments that
    say something false; of intervals that hold the truth, where one is drawn; `experiments`.
    """
    pipeline = Pipeline(world)
    judge = Judge(pipeline)
    rng = np.random.default_rng(crc32(name.encode()))
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(experiments):
        experiment = draw(world, rng)
        if world.looks or number % RECORDS == 0:
            verdict = Verdict(judge, experiment, pipeline.through_records(experiment))
        else:
            more = number % SELDOM == 0
            verdict = Verdict(judge, experiment, pipeline.short(experiment, more), more)
        for kind, wrong in verdict.false.items():
            found["false", kind].append(wrong)
        found["false", "any of these"].append(any(verdict.false.values()))
        for interval, share in verdict.covered.items():
            found["covered", interval].append(share)
    rows = []
    for (what, kind), values in found.items():
        share, n = float(np.mean(values)), len(values)
        error = np.std(values, ddof=1) / np.sqrt(n) if n > 1 else np.nan
        rows.append((name, what, kind, 100 * share, 100 * float(error), n))
    return pd.DataFrame(rows, columns=COLUMNS)
