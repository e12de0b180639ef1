"""What is said of latency: its numbers with their spread, and whether they can be relied on."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..analysis.results import Results
from ..formats import Cell, number
from ..records import LATENCY_BOUND, Latency, budget_words
from .captions import caution


def cells(trials: pd.DataFrame) -> tuple[Cell, Cell]:
    """Of rows of `reports.records.frame`: means, and the worst A/A."""
    names = ["latency_ratio", "latency_low_ratio", "latency_high_ratio"]
    ratio, low, high = 100 * trials[names].astype(float).mean()
    kept = number(ratio)
    if kept.value is not None:
        kept = Cell(f"{kept.text} [{number(low).text}, {number(high).text}]", ratio)
    return kept, number(100 * (trials["latency_aa_ratio"].astype(float) - 1).abs().max())


def timings(results: Results) -> list[Latency]:
    """What finished trials were timed to take, equal shapes once."""
    found = (one.measurements.timed for one in results.records if one.measurements)
    return list({one.model_dump_json(): one for one in found if one}.values())


def warnings(results: Results) -> Iterator[str]:
    """Shapes whose latency cannot be relied on."""
    every = timings(results)
    if bad := [one for one in every if not one.reliable]:
        copies = [100 * one.aa_ratio for one in bad]  # percent of its time that one took
        span = f"{min(copies):.1f} to {max(copies):.1f}"
        known = {"n": len(every), "range": span, "allowed": 100 * LATENCY_BOUND}
        yield caution("latency", "unreliable", bad=bad, **known)
    found = [one.measurements for one in results.records if one.measurements]
    for where, why in sorted({one for each in found for one in each.undeployed.items()}):
        yield caution("latency", "undeployed", where=where, why=why)
    if places := within_noise(results):
        yield caution("latency", "alike", places=places, where=every[0].deployment)


def within_noise(results: Results) -> list[str]:
    """Where methods differ in speed by no more than copies of one network do: `m on d at 50 %`.
    Those that have one shape share one timing, and differ in nothing."""
    names = ["problem", "budget", "cost", "method", "latency_ratio", "latency_aa_ratio"]
    timed, found = results.trials.reindex(columns=names).dropna(subset="latency_ratio"), []
    for (problem, _), rows in timed.groupby(["problem", "budget"], sort=False):
        means = rows.groupby("method")["latency_ratio"].mean().astype(float)
        noise = 2 * (rows["latency_aa_ratio"].astype(float) - 1).abs().max()
        if 0 < np.ptp(means) <= noise:
            found.append(f"{problem} at {budget_words(*rows[['cost', 'budget']].iloc[0])}")
    return found
