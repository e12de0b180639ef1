"""What is kept of every layer, methods side by side."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
import pandas as pd

from suites.section import slug

from ..analysis.results import Results
from ..formats import ranged
from .captions import plotted
from .plot import Plot
from .similarity import mean_agreement, square_figure
from .style import Look


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """A matrix a problem, where methods differ in any layer; those that thin alike side by side."""
    data = drawn(results)
    what = "weights" if results.suite.budgets.unstructured else "channels"
    for problem, rows in data.groupby("problem", sort=False):
        table = rows.pivot(index="layer", columns="method", values="kept")
        table = table.loc[list(dict.fromkeys(rows["layer"]))].dropna(axis=1)
        one_channel = 100 / rows.groupby("layer")["of"].first()[table.index]
        if table.shape[1] < 2 or (table.max(axis=1) - table.min(axis=1) < one_channel).all():
            continue
        order = list(mean_agreement([table.corr("spearman")]).index)
        values = table[order].T.to_numpy(dtype=float)  # dark is kept whole
        limits = 10 * np.floor(values.min() / 10), 100.0
        methods, layers = (list(map(str, one)) for one in (order, table.index))
        label = f"{what} kept (%)"
        figure, _ = square_figure(values, methods, layers, "cividis_r", limits, label)
        yield plotted(
            "widths", figure,
            rows.sort_values("method", key=lambda one: one.map(order.index), kind="stable"),
            results, f"widths-{slug(str(problem))}",
            problem=problem, what=what, n=ranged(rows["n"], "network"),
        )  # fmt: skip


def drawn(results: Results) -> pd.DataFrame:
    """One row a (problem, method, layer) at the tightest budget: of a group of layers, its root.

    Columns: `problem`, `method`, `layer` (in the order of the network), `of` (channels or weights
    before pruning), `kept` (percent, mean over networks), `n` (networks).
    Recoveries leave widths as they are: each method's first finished one stands for all.
    """
    masks = results.suite.budgets.unstructured
    sizes: dict[str, dict[str, int]] = {}  # of a problem, in the order of its network
    parts: dict[tuple[str, str, str], list[dict[str, float]]] = defaultdict(list)
    for labels, found in results.at_the_tightest():
        if counts := found.weights if masks else found.widths:
            # Groups come as the tracing found them, which is from the end of many networks.
            place = {layer: at for at, layer in enumerate(found.layer_sparsity)}
            layers = sorted(counts, key=lambda layer: place.get(layer, len(place)))
            sizes.setdefault(labels.problem, {layer: counts[layer][1] for layer in layers})
            shares = {layer: 100 * counts[layer][0] / counts[layer][1] for layer in layers}
            parts[labels.problem, labels.method, labels.recovery].append(shares)
    rows = []
    for problem, method in product(results.problems, results.suite.methods):
        of_recoveries = (parts[problem, method.name, one] for one in results.recoveries)
        if networks := next(filter(None, of_recoveries), None):
            means = pd.DataFrame(networks).mean()
            rows += [
                (problem, method.name, layer, all_, means[layer], len(networks))
                for layer, all_ in sizes[problem].items()
            ]
    return pd.DataFrame(rows, columns=["problem", "method", "layer", "of", "kept", "n"])
