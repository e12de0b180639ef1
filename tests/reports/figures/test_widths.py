"""What is kept of every layer: in the order of the network, and ranked only beyond rounding."""

from __future__ import annotations

from itertools import combinations

import figure_records
import numpy as np
import pytest

from reports.analysis.analysis import analyse
from reports.analysis.results import Results
from reports.figures import widths
from reports.figures.gallery import in_focus
from reports.figures.style import looks, publication
from reports.records import Record
from reports.statistics import rank_agreement

LAYERS = {"conv1": 16, "conv2": 32, "conv3": 64, "conv10": 64}  # by name it would be another order


def with_widths(shares: dict[str, list[float]], problems: int = 1) -> Results:
    """Methods keep these shares of `LAYERS`, which a trace found from the network's end."""
    suite = figure_records.make(methods=len(shares), budgets=1, models=problems, bases=2)

    def kept(record: Record) -> Record:
        own = shares[record.labels.method]
        sizes = {
            layer: (round(share * all_), all_)
            for (layer, all_), share in zip(LAYERS.items(), own, strict=True)
        }
        found = record.measurements
        assert found is not None
        changes = {
            "widths": dict(reversed(sizes.items())),
            "layer_sparsity": dict.fromkeys([*LAYERS, "fc"], 0.5),
        }
        return record.model_copy(update={"measurements": found.model_copy(update=changes)})

    made = [kept(one) for one in figure_records.records(suite)]
    return analyse(suite, made, figure_records.plan(suite))


UNIFORM = [11 / 16, 23 / 32, 45 / 64, 45 / 64]  # .688 to .719 by rounding alone
SHARES = {
    "l1": UNIFORM,
    "random": [0.9, 0.7, 0.5, 0.3],
    "l2": [12 / 16, 23 / 32, 45 / 64, 45 / 64],
    "taylor": [0.3, 0.5, 0.7, 0.9],
}


def test_widths_by_hand_in_the_order_of_the_network() -> None:
    data = widths.drawn(with_widths(SHARES))
    for _, rows in data.groupby("method"):
        assert list(rows["layer"]) == list(LAYERS)
        assert list(rows["of"]) == list(LAYERS.values())
    row = data[(data["method"] == "random") & (data["layer"] == "conv2")]
    assert row["n"].item() == 2
    assert row["kept"].item() == pytest.approx(100 * 22 / 32)


def test_uniform_widths_rank_nothing_and_say_so() -> None:
    results = with_widths(SHARES, problems=2)
    shown = looks(results.suite, in_focus(results))
    with publication():
        found = {one.name: one for one in widths.plots(results, shown)}
    plot = found["width_similarity"]
    table = plot.data.set_index("method")
    assert (table.loc["l1"] == "uniform").all()
    assert (table["l2"] == "uniform").all()
    assert table.loc["random", "taylor"] == -1
    names = {one.get_text() for one in plot.figure.axes[0].get_yticklabels()}
    assert names == {"l1 (uniform)", "l2 (uniform)", "random", "taylor"}
    across = found["widths-resnet20-on-digits"].figure.axes[0].get_xticklabels()
    assert [one.get_text() for one in across] == list(LAYERS)


def test_methods_that_differ_by_less_than_a_channel_are_not_drawn() -> None:
    thinner = [one - 0.9 / all_ for one, all_ in zip(UNIFORM, LAYERS.values(), strict=True)]
    assert list(widths.plots(with_widths({"l1": UNIFORM, "random": UNIFORM}), {})) == []
    assert len(list(widths.plots(with_widths({"l1": UNIFORM, "random": thinner}), {}))) == 1


def test_agreement_by_brute_force_over_pairs_of_layers() -> None:
    rng = np.random.default_rng(0)
    values, step = rng.uniform(size=(7, 3)), rng.uniform(0, 0.4, size=7)

    def sign(column: int, i: int, j: int) -> float:
        apart = values[i, column] - values[j, column]
        return 0.0 if abs(apart) < max(step[i], step[j]) else float(np.sign(apart))

    pairs = list(combinations(range(7), 2))
    signs = np.array([[sign(column, i, j) for i, j in pairs] for column in range(3)])
    expected = signs @ signs.T / np.sqrt(np.outer(*[np.abs(signs).sum(axis=1)] * 2))
    assert rank_agreement(values, step) == pytest.approx(expected)
    assert np.isnan(rank_agreement(values, np.ones(7))).all()
