"""Views of an experiment that are ready when the MLflow UI opens, and links to them.

They lie where the UI's own 'share' button puts them, in the format of the UI's state. No API
promises it; an MLflow that has changed it shows its default view.
"""

from __future__ import annotations

import json

from suites.schema import AnySuite, Suite

from .connection import is_server, without_password
from .fields import budget_tag

METRICS = ("eval/retained_top1", "eval/top1", "cost/macs_ratio", "cost/params_ratio")
TIMES = ("cost/latency_ratio", "time/score_s", "time/total_s")
TAGS = ("method", "problem", "budget", "recovery", "status")
COLUMNS = [f"metrics.`{one}`" for one in METRICS + TIMES] + [f"tags.`{one}`" for one in TAGS]


FIDELITY = tuple(f"fidelity/{name}" for name in ("spearman", "spearman_within", "kendall"))
FIDELITY_COLUMNS = [
    *(f"metrics.`{one}`" for one in (*FIDELITY, "fidelity/regret_30_normalised", "time/score_s")),
    *(f"tags.`{one}`" for one in ("method", "problem", "status")),
]


def views(suite: AnySuite) -> dict[str, str]:
    """Experiment tags that hold two views: all trials, best first, and one row a method.

    Only like with like may be averaged, and the UI loads no more than 100 runs unasked: methods
    are compared at the middle budget under the last recovery.
    """
    filtered, order, columns = "tags.role = 'trial'", "eval/retained_top1", COLUMNS
    if isinstance(suite, Suite):
        every = [suite.budgets_of(model).kept for _, model in suite.problems]
        shared = [one for one in suite.budgets.kept if all(one in kept for kept in every)]
        kept = shared or suite.budgets.kept
        budget = budget_tag(suite.budgets.cost, kept[len(kept) // 2])
        recovery = suite.recoveries[-1].name
        filtered += f" and tags.budget = '{budget}' and tags.recovery = '{recovery}'"
    else:
        order, columns = FIDELITY[0], FIDELITY_COLUMNS
    trials = {
        "searchFilter": "tags.role = 'trial'",
        "orderByKey": f"metrics.`{order}`",
        "orderByAsc": False,
        "selectedColumns": columns,
        "columnOrder": columns,
    }
    methods = {
        **trials,
        "searchFilter": filtered,
        "runsHiddenMode": "SHOW_ALL",  # by default charts show ten runs
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": "method"}],
        },
        # Groups are open by default; an experiment's tag has room for about so many.
        "groupsExpanded": {f"tag.method.{name}": False for name in suite.method_names[:50]},
    }
    return {
        "mlflow.sharedViewState.bench-trials": json.dumps(trials),
        "mlflow.sharedViewState.bench-methods": json.dumps(methods),
    }


def links(uri: str, experiment_id: str, suite_run: str, port: int) -> dict[str, str]:
    """Where the UI shows an experiment: its views, and one suite run."""
    server = without_password(uri).rstrip("/") if is_server(uri) else f"http://127.0.0.1:{port}"
    runs = f"{server}/#/experiments/{experiment_id}/runs"
    return {
        "trials": f"{runs}?viewStateShareKey=bench-trials",
        "methods": f"{runs}?viewStateShareKey=bench-methods",
        "charts": f"{runs}?viewStateShareKey=bench-methods&compareRunsMode=CHART",
        "this run": f"{runs}/{suite_run}",
    }
