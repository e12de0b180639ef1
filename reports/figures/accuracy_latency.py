"""Accuracy against milliseconds: a row a problem, a column a deployment, a line a method."""

from collections.abc import Iterator, Mapping

from matplotlib.lines import Line2D

from ..analysis.deployed import deployed
from ..analysis.results import Results
from ..formats import in_order
from ..metric import spoken
from .captions import plotted
from .panels import MANY, by_method, by_panel, entries, legend, tiled
from .plot import Plot
from .style import DASHED, Look

_ACROSS = 4  # deployments beside one another; more are in the table


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Of the last recovery, on the first `MANY` problems; nothing where nothing was timed."""
    data = deployed(results)
    data = data[data["recovery"] == results.recoveries[-1]]
    if data.empty:
        return
    places, problems = data["deployment"].unique()[:_ACROSS], data["problem"].unique()[:MANY]
    data = data[data["deployment"].isin(places) & data["problem"].isin(problems)]
    # What is kept of the time of the dense network beside it, as the machine's own speed drifts.
    dense = data.groupby(["problem", "deployment"])["dense_ms"].transform("mean")
    data = data.assign(drawn_ms=data["kept_percent"] / 100 * dense)
    panels = by_panel(data, problem=problems, deployment=places)
    figure, axes = tiled(len(panels), len(places), 2.2, 0.4)
    there = in_order(data["method"], looks)
    for ((problem, deployment), shown), ax in zip(panels.items(), axes, strict=True):
        for name, rows in by_method(shown.sort_values("drawn_ms", kind="stable"), looks):
            ax.add_line(looks[name].line(rows["drawn_ms"], rows["top1"]))
        ax.axhline(shown["dense_top1"].mean(), **DASHED)
        ax.axvline(shown["dense_ms"].mean(), **DASHED)
        ax.autoscale_view()
        ax.set_title(f"{problem} · {deployment.replace(', ', ' · ', 1)}")
        ax.set_xlabel("ms a batch")
    for ax in axes[:: len(places)]:
        ax.set_ylabel(spoken().axis)
    legend(figure, [*entries(there, looks), Line2D([], [], label="dense, mean", **DASHED)])
    yield plotted("accuracy_latency", figure, data, results, recovery=results.recoveries[-1])
