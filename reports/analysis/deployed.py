"""What networks take in every deployment that a suite measures."""

import pandas as pd

from ..metric import spoken
from .results import Results

LABELS = ["deployment", "problem", "recovery", "method", "budget"]
NUMBERS = ["ms", "p10_ms", "p90_ms", "dense_ms", "kept_percent", "images_s", "peak_mb", "file_mb"]


def deployed(results: Results) -> pd.DataFrame:
    """Means over finished trials, a row a deployment and cell, in the order of the suite.

    Columns: `LABELS`, `top1`, `dense_top1` (of the primary metric) and `NUMBERS` of `Latency`.
    """
    rows, scale = [], spoken().scale
    for record in results.records:
        if (done := record.measurements) is not None and done.latency:
            labels, top1 = record.labels, [scale * done.pruned.top1, scale * done.dense.top1]
            of = [labels.problem, labels.recovery, labels.method, labels.budget, *top1]
            rows += [[one.deployment, *of, *one.numbers.values()] for one in done.latency]
    frame = pd.DataFrame(rows, columns=[*LABELS, "top1", "dense_top1", *NUMBERS])
    means = frame.astype(dict.fromkeys(NUMBERS, float)).groupby(LABELS, sort=False).mean()
    order = [one.title for one in results.suite.measure.deployments] + results.suite.method_names
    rank = {name: at for at, name in enumerate(order)}
    return means.reset_index().sort_values(
        LABELS,
        key=lambda one: one.map(rank).fillna(-1) if one.name in ("deployment", "method") else one,
        ignore_index=True,
    )
