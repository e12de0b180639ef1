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
    rows = []
    for record in results.records:
        done, labels = record.measurements, record.labels
        for found in done.latency if done else ():
            of = [found.deployment, labels.problem, labels.recovery, labels.method, labels.budget]
            top1 = [spoken().scale * one.top1 for one in (done.pruned, done.dense)] if done else []
            rows.append([*of, *top1, *found.numbers.values()])
    frame = pd.DataFrame(rows, columns=[*LABELS, "top1", "dense_top1", *NUMBERS])
    order = [one.title for one in results.suite.measure.deployments]
    frame["deployment"] = pd.Categorical(frame["deployment"], order)
    numbers = frame.columns[len(LABELS) :]
    frame[numbers] = frame[numbers].astype(float)
    return (
        frame.groupby(LABELS, sort=False, observed=True)
        .mean()
        .reset_index()
        .sort_values(["deployment", "problem", "recovery"], kind="stable", ignore_index=True)
    )
