"""What is kept of every layer: in the order of the network, and ranked only beyond rounding."""

from __future__ import annotations

import figure_records
import pytest

from reports.analysis.analysis import analyse
from reports.analysis.results import Results
from reports.figures import widths
from reports.figures.style import publication
from reports.records import Record

LAYERS = {"conv1": 16, "conv2": 32, "conv3": 64, "conv10": 64}  # by name it would be another order


def with_widths(shares: dict[str, list[float]]) -> Results:
    """Methods keep these shares of `LAYERS`, which a trace found from the network's end."""
    suite = figure_records.make(methods=len(shares), budgets=1, models=1, bases=2)

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


def test_methods_that_thin_alike_stand_together() -> None:
    results = with_widths(SHARES | {"jacobian": [0.95, 0.8, 0.5, 0.2]})
    with publication():
        (plot,) = widths.plots(results, {})
    names = list(dict.fromkeys(plot.data["method"]))
    assert abs(names.index("random") - names.index("jacobian")) == 1
    ax = plot.figure.axes[0]
    assert [one.get_text() for one in ax.get_yticklabels()] == names
    assert [one.get_text() for one in ax.get_xticklabels()] == list(LAYERS)


def test_methods_that_differ_by_less_than_a_channel_are_not_drawn() -> None:
    thinner = [one - 0.9 / all_ for one, all_ in zip(UNIFORM, LAYERS.values(), strict=True)]
    assert list(widths.plots(with_widths({"l1": UNIFORM, "random": UNIFORM}), {})) == []
    assert len(list(widths.plots(with_widths({"l1": UNIFORM, "random": thinner}), {}))) == 1
