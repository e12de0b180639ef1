"""What is kept of every layer, methods side by side, and which methods keep alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from suites.section import slug

from ..analysis.results import Results
from ..formats import counted
from .blocks import at_the_tightest
from .plot import Plot
from .similarity import mean_correlation, similarity_plot
from .squares import square_figure
from .style import Look

_SAME = 0.005  # spread of shares kept below which methods differ in no layer


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """A matrix a problem, where methods differ in any layer; one of correlations for all."""
    data = drawn(results)
    what = "weights" if results.suite.budgets.unstructured else "channels"
    tightest = at_the_tightest(results)
    tables = []
    for problem, rows in data.groupby("problem", sort=False):
        table = rows.pivot(index="layer", columns="method", values="kept")
        table = table.loc[list(dict.fromkeys(rows["layer"]))].dropna(axis=1)
        if table.shape[1] < 2 or (table.max(axis=1) - table.min(axis=1)).max() < _SAME:
            continue
        tables.append(table)
        order = list(mean_correlation([table]).index)
        n = (
            f"{rows['n'].min()}"
            if rows["n"].nunique() == 1
            else (f"{rows['n'].min()} to {rows['n'].max()}")
        )
        yield Plot(
            f"widths-{slug(str(problem))}",
            draw(table[order].T, f"{what} kept (%)"),
            rows.sort_values("method", key=lambda one: one.map(order.index), kind="stable"),
            f"What is kept of every layer, {problem}",
            f"Share of the {what} of each layer kept {tightest}, in the order of "
            f"the network, mean of n = {n} networks a method. Methods that thin alike stand "
            "together.",
            f"Matrix of {what} kept, a row a method, a column a layer, on {problem}.",
        )
    shared = _shared(tables)
    if shared is not None and len(shared[0].columns) > 2:
        matrix = mean_correlation(shared)
        several = counted(len(shared), "problem")
        yield Plot(
            "width_similarity",
            similarity_plot(matrix, "Spearman's ρ of shares kept"),
            matrix.rename_axis("method").reset_index(),
            "Which methods keep alike",
            f"Spearman's ρ, in percent, of two methods' shares of the {what} kept over layers at "
            f"{tightest.removeprefix('at ')}; mean over n = {several}, without a "
            "spread. The tree joins methods at their mean distance 1 − |ρ|. A method that "
            "thins all layers alike ranks none: 0.",
            "Matrix of rank correlations between methods' kept widths, with a dendrogram.",
        )


def drawn(results: Results) -> pd.DataFrame:
    """One row a (problem, method, layer) at the tightest budget: of a group of layers, its root.

    Columns: `problem`, `method`, `layer`, `kept` (percent, mean over networks), `n` (networks).
    Recoveries leave widths as they are: each method's first finished one stands for all.
    """
    tightest = {problem: min(kept) for problem, kept in results.budgets.items()}
    masks = results.suite.budgets.unstructured
    order = {name: place for place, name in enumerate(results.recoveries)}
    parts: dict[tuple[str, str], dict[str, list[dict[str, float]]]] = {}
    for record in results.records:
        labels = record.labels
        if (
            record.measurements is None
            or labels.budget != tightest[labels.problem]
            or labels.matched_to
        ):
            continue
        counts = record.measurements.weights if masks else record.measurements.widths
        if counts:
            shares = {layer: 100 * kept / all_ for layer, (kept, all_) in counts.items()}
            key = (labels.problem, labels.method)
            parts.setdefault(key, {}).setdefault(labels.recovery, []).append(shares)
    rows = []
    for problem in results.problems:
        for method in (one.name for one in results.suite.methods):
            by_recovery = parts.get((problem, method))
            if by_recovery is None:
                continue
            networks = by_recovery[min(by_recovery, key=order.__getitem__)]
            means = pd.DataFrame(networks).mean()
            rows += [(problem, method, layer, kept, len(networks)) for layer, kept in means.items()]
    return pd.DataFrame(rows, columns=["problem", "method", "layer", "kept", "n"])


def _shared(tables: list[pd.DataFrame]) -> list[pd.DataFrame] | None:
    """The tables, with the methods that all have."""
    if not tables:
        return None
    names = [name for name in tables[0] if all(name in one for one in tables)]
    return [one[names] for one in tables]


def draw(table: pd.DataFrame, label: str) -> Figure:
    """Shares in percent: [methods, layers]; dark is kept whole."""
    methods, layers = [str(one) for one in table.index], [str(one) for one in table.columns]
    values = table.to_numpy(dtype=float)
    low = 10 * np.floor(values.min() / 10)
    figure, _ = square_figure(values, methods, layers, "cividis_r", (low, 100.0), label)
    return figure
