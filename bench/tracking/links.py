"""Addresses of MLflow's pages: whatever a view needs to be right stands in them.

Only what the pages put into their address themselves is used: filter, order, mode. Columns, groups
and saved views are theirs and the user's, so tables open without numbers, and charts with the first
ten runs. Charts are in the order of the report, best first. The table is not: a page loads a
hundred runs, and which ones must not hang on who did well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from reports.formats import after

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# MLflow 3 opens on traces of language models unless the address asks for training; no tag of an
# experiment decides that any more.
CLASSIC = {"workflowType": "machine_learning"}
HOME = f"#/experiments?{urlencode(CLASSIC)}"
PLACE = "place"  # tag of summaries and comparisons: where the report has them
DRAWN = 10  # runs that MLflow's charts draw at first


def suite_links(client: MlflowClient, experiment: str, server: str) -> dict[str, str]:
    """What a page shows of the suite of an experiment -> its address; within `talking_to`."""
    links = dict(_charts(client, experiment, "differences over problems", "comparison", "recovery"))
    curves = _charts(client, experiment, "each method", "summary", "problem", "recovery")
    links |= [*curves][:1]  # of all problems they are too many to print
    table = "every method on every problem (pick numbers under Columns)"
    links[table] = view(experiment, "tags.role = 'summary'")
    if latest := latest_run(client, experiment):
        links["the latest run, with the report"] = run_page(experiment, latest.info.run_id)
    return {what: f"{server}/{path}" for what, path in links.items()}


def _charts(
    client: MlflowClient, experiment: str, what: str, role: str, *by: str
) -> Iterator[tuple[str, str]]:
    """Charts of the runs of a role, a view for all that agree in the tags `by`: name, address."""
    which = f"tags.role = '{role}'"
    found = client.search_runs([experiment], which, order_by=[f"tags.{PLACE}"])
    tagged = (one.data.tags for one in found if all(tag in one.data.tags for tag in by))
    for values, n in Counter(tuple(one[tag] for tag in by) for one in tagged).items():
        where = [which, *(f"tags.{tag} = '{x}'" for tag, x in zip(by, values, strict=True))]
        address = view(experiment, " and ".join(where), PLACE, compareRunsMode="CHART")
        drawn = f" (the best {DRAWN} of {n} are drawn)" if n > DRAWN else ""
        told = [after(x) if tag == "recovery" else x for tag, x in zip(by, values, strict=True)]
        yield f"{what}, {', '.join(told)}{drawn}", address


def latest_run(client: MlflowClient, experiment: str) -> Run | None:
    """The newest run of a suite; within `talking_to`."""
    found = client.search_runs([experiment], "tags.role = 'suite'", max_results=1)
    return found[0] if found else None


def view(experiment: str, condition: str, by: str = "mlflow.runName", **more: str) -> str:
    """The runs that meet a condition, in the order of a tag: their name."""
    order = {"orderByKey": f"tags.`{by}`", "orderByAsc": "true"}
    query = {**CLASSIC, "searchFilter": condition, **order, **more}
    return f"#/experiments/{experiment}/runs?{urlencode(query, quote_via=quote)}"


def run_page(experiment: str, run_id: str, tab: str = "") -> str:
    return f"#/experiments/{experiment}/runs/{run_id}{tab}?{urlencode(CLASSIC)}"
