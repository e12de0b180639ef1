"""Addresses of MLflow's pages: whatever a view needs to be right stands in them.

Only what the pages put into their address themselves is used: filter, order, mode. Columns, groups
and saved views are theirs and the user's. No view is ordered by an outcome: a page loads a hundred
runs, and which ones must not hang on who did well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from .artifact import latest_run
from .connection import connect, server_of, talking_to, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow 3 opens on traces of language models unless the address asks for training; no tag of an
# experiment decides that any more.
CLASSIC = {"workflowType": "machine_learning"}


def suite_links(client: MlflowClient, experiment: str, server: str) -> dict[str, str]:
    """What a page shows of the suite of an experiment -> its address; within `talking_to`."""
    summary = "tags.role = 'summary'"
    links = {
        "differences over problems": runs_where(experiment, "tags.role = 'comparison'"),
        "every method on every problem": runs_where(experiment, summary),
    }
    order = ["tags.problem", "tags.recovery DESC"]
    for run in client.search_runs([experiment], summary, max_results=1, order_by=order):
        # Curves of all problems at once are too many for one picture.
        of = {name: run.data.tags[name] for name in ("problem", "recovery")}
        which = " and ".join([summary, *(f"tags.{name} = '{x}'" for name, x in of.items())])
        curves = runs_where(experiment, which, compareRunsMode="CHART")
        links[f"curves, {', '.join(of.values())}"] = curves
    if latest := latest_run(client, experiment):
        links["the latest run, with the report"] = run_page(experiment, latest.info.run_id)
    return {what: f"{server}/{path}" for what, path in links.items()}


def links_of_all(root: Path, ui: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and links of every suite in the store of a results folder, whose UI is at `ui`.

    Raises:
        TrackingError: the store fails.
    """
    uri = tracking_uri(root)
    with talking_to(uri):
        client = connect(uri)
        for one in client.search_experiments():
            if latest_run(client, one.experiment_id):
                yield one.name, suite_links(client, one.experiment_id, server_of(uri, ui))


def in_lines(links: Mapping[str, str]) -> str:
    """As they are printed: a link on a line of its own, under what it shows."""
    return "\n".join(f"  {what}:\n    {where}" for what, where in links.items())


def home(ui: str) -> str:
    return f"{ui}/#/experiments?{urlencode(CLASSIC)}"


def runs_where(experiment: str, condition: str, **more: str) -> str:
    """The runs that meet a condition, by name."""
    order = {"orderByKey": "tags.`mlflow.runName`", "orderByAsc": "true"}
    query = {**CLASSIC, "searchFilter": condition, **order, **more}
    return f"#/experiments/{experiment}/runs?{urlencode(query, quote_via=quote)}"


def run_page(experiment: str, run_id: str, tab: str = "") -> str:
    return f"#/experiments/{experiment}/runs/{run_id}{tab}?{urlencode(CLASSIC)}"
