"""What MLflow's pages show of a suite is what its report says, to the last digit."""

from __future__ import annotations

import json
import math
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from urllib.request import urlopen

import pandas as pd
import pytest
import synthetic
import toy

from bench.tracking import Experiment, Tracker, sync
from bench.tracking.connection import local_uri, ui_command, ui_environment
from bench.tracking.fields import NAME_LIMIT, named_by, summary_name
from bench.tracking.links import suite_links
from bench.tracking.summaries import conclude, steps_of
from reports.build import build_report
from reports.formats import after
from reports.records import Labels, Record
from suites import Suite, load_suite
from suites.expand import library

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:mlflow", "ignore::FutureWarning:mlflow"
)

PAGE = 100  # runs that MLflow's page asks for at a time
TIMES = {"started": "2026-01-02T03:04:05+00:00", "ended": "2026-01-02T03:04:15+00:00"}
# What the page shows under a name, and the column of the report's cells.csv that it must be.
CELLS = {
    "eval/test_top1": "top1",
    "eval/accuracy_change": "retained_top1",
    "spread/test_top1_sd": "top1_sd",
    "spread/accuracy_change_sd": "retained_top1_sd",
    "spread/test_top1_interval_low": "top1_low",
    "spread/test_top1_interval_high": "top1_high",
    "network/macs_kept_percent": "macs_percent",
    "network/params_kept_percent": "params_percent",
    "network/latency_kept_percent": "latency_percent",
    "time/scoring_s": "score_s",
    "time/recovery_s": "recovery_s",
    "trials/bases": "bases",
    "trials/done": "done",
    "trials/expected": "expected",
}
# The same of the report's overall.csv.
OVERALL = {
    "difference/mean": "mean",
    "difference/mean_low_alone": "low",
    "difference/mean_high_alone": "high",
    "difference/mean_low_all_at_once": "joint_low",
    "difference/mean_high_all_at_once": "joint_high",
    "difference/typical": "typical",
    "problems/planned": "of",
    "problems/compared": "n_problems",
    "problems/won": "wins",
    "problems/tied": "ties",
    "problems/lost": "losses",
    "problems_like_these/difference_low": "like_low",
    "problems_like_these/p_adjusted": "like_p_adjusted",
    "test/p": "p",
    "test/p_adjusted": "p_adjusted",
    "test/bases_looked_at": "look",
    "trials/bases": "bases",
}
TABLE = "every method on every problem (pick numbers under Columns)"


def timed(records: Sequence[Record]) -> list[Record]:
    return [one.model_copy(update={"provenance": {**one.provenance, **TIMES}}) for one in records]


def made(**changes: Any) -> tuple[Suite, list[Labels], list[Record]]:
    suite = synthetic.make_suite(**changes)
    expected = synthetic.plan(suite)
    return suite, expected, timed(synthetic.synthetic_records(suite, expected))


class Page:
    """What MLflow's page asks for, and as it does: a hundred runs at a time, in its order."""

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient

        self.uri, self.client = uri, MlflowClient(tracking_uri=uri)

    def opened(self, link: str) -> dict[str, Any]:
        """All runs of a link, by name."""
        place, _, query = link.partition("?")
        experiment = place.split("/")[-2]
        asked = {name: value for name, (value,) in parse_qs(query).items()}
        order = f"{asked['orderByKey']} {'ASC' if asked['orderByAsc'] == 'true' else 'DESC'}"
        runs: list[Any] = []
        token = None
        while token is not None or not runs:
            loaded = self.client.search_runs(
                [experiment], asked["searchFilter"], 1, PAGE, [order], token
            )
            assert len(loaded) <= PAGE
            runs += loaded
            token = loaded.token
            if not token:
                break
        tag = asked["orderByKey"].removeprefix("tags.").strip("`")
        order_of = [one.data.tags[tag] for one in runs]
        assert order_of == sorted(order_of)
        names = [one.info.run_name for one in runs]
        assert len(set(names)) == len(names)
        return dict(zip(names, runs, strict=True))

    def history(self, runs: Sequence[Any], metric: str) -> dict[tuple[str, int], float]:
        """The curves of a chart: (run, step) -> value."""
        found: dict[tuple[str, int], float] = {}
        for run_id, step, value in self._points([one.info.run_id for one in runs], metric):
            assert (run_id, step) not in found  # one point a step
            found[run_id, step] = value
        return found

    def _points(self, ids: Sequence[str], metric: str) -> Iterator[tuple[str, int, float]]:
        if not self.uri.startswith("http"):
            for run_id in ids:
                for one in self.client.get_metric_history(run_id, metric):
                    yield run_id, one.step, one.value
            return
        for begin in range(0, len(ids), PAGE):
            which = [("run_id", one) for one in ids[begin : begin + PAGE]]
            query = urlencode([*which, ("metric_key", metric), ("max_results", "25000")])
            path = f"{self.uri}/ajax-api/2.0/mlflow/metrics/get-history-bulk?{query}"
            with urlopen(path) as answer:
                for one in json.load(answer).get("metrics", []):
                    yield one["run_id"], int(one.get("step", 0)), one["value"]


def check(page: Page, links: dict[str, str], tables: Path) -> int:
    """Hold what the links show against the report's CSV tables; returns how many numbers."""
    cells, overall = (pd.read_csv(tables / f"{name}.csv") for name in ("cells", "overall"))
    runs = page.opened(links[TABLE])
    seen = 0
    histories = {name: page.history(list(runs.values()), name) for name in CELLS}
    steps: dict[str, list[int]] = {}
    at = steps_of(cells["budget"])
    for cell in cells.to_dict("records"):
        run = runs[f"{cell['method']} · {cell['problem']} · {cell['recovery']}"]
        step = at[cell["budget"]]
        steps.setdefault(run.info.run_id, []).append(step)
        for name, column in CELLS.items():
            if math.isnan(cell[column]):
                assert (run.info.run_id, step) not in histories[name]
            else:
                assert histories[name][run.info.run_id, step] == cell[column], (run, name)
                seen += 1
    assert len(runs) == len(steps)
    for one in runs.values():  # what the table shows: the tightest budget
        last = max(steps[one.info.run_id])
        for name in CELLS:
            point = histories[name].get((one.info.run_id, last))
            assert point is None or one.data.metrics[name] == point
    for recovery, rows in overall.groupby("recovery"):
        shown = page.opened(link_to(links, f"differences over problems, {after(recovery)}"))
        best_first = rows.sort_values("mean", ascending=False)
        assert [one.data.params["method"] for one in shown.values()] == list(best_first["method"])
        for row in rows.to_dict("records"):
            run = shown[f"{row['method']} against {row['reference']} · {recovery}"]
            assert run.data.tags["verdict"] == row["word"]
            for name, column in OVERALL.items():
                known = not math.isnan(row[column])
                assert run.data.metrics.get(name) == (row[column] if known else None), name
                seen += known
    curves = page.opened(link_to(links, "each method"))
    means = [one.data.metrics["eval/accuracy_change"] for one in curves.values()]
    assert set(curves) <= set(runs)
    assert len(curves) == cells["method"].nunique()
    assert means[0] > means[-1]
    return seen


def link_to(links: dict[str, str], what: str) -> str:
    """The link whose name begins so."""
    (found,) = (where for name, where in links.items() if name.startswith(what))
    return found


@pytest.fixture
def root(session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return toy.prepared(session, tmp_path / "results")


def links_of(root: Path) -> dict[str, str]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=local_uri(root))
    (one,) = (run for run in client.search_experiments() if run.name != "Default")
    return suite_links(client, one.experiment_id, "http://127.0.0.1:5000")


def report_of(suite: Any, records: Sequence[Record], expected: Sequence[Labels], out: Path) -> Path:
    build_report(suite, records, expected, out, formats=["csv"], figures=[])
    return out / "tables"


def test_the_page_shows_the_numbers_of_the_report(root: Path, tmp_path: Path) -> None:
    suite, expected, records = made(
        methods=["l1", "random", "taylor"], budgets={"macs": [0.5, 0.3]}
    )
    records = [*records[:-1], *timed([synthetic.failed(expected[-1], "no such layer")])]
    sync(root, suite, records, expected)
    tables = report_of(suite, records, expected, tmp_path / "report")
    assert check(Page(local_uri(root)), links_of(root), tables) > 200


@pytest.mark.slow
def test_the_page_shows_the_numbers_of_a_suite_of_600_trials(root: Path, tmp_path: Path) -> None:
    """As a browser does: over HTTP, from the server of `bench ui`."""
    methods = ["l1", "random", *({"criterion": "l1", "as": f"made-{i:02d}"} for i in range(15))]
    suite, expected, records = made(
        models=["m1", "m2", "m3"], methods=methods, budgets={"macs": [0.5, 0.3]}
    )
    assert len(records) == 612
    sync(root, suite, records, expected)
    tables = report_of(suite, records, expected, tmp_path / "report")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, address = ui_command(root, port), f"http://127.0.0.1:{port}"
    server = subprocess.Popen(command, env=ui_environment(), stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with suppress(OSError), urlopen(f"{address}/health"):
                break
            time.sleep(0.2)
        assert len(Page(address).opened(links_of(root)[TABLE])) > PAGE
        assert check(Page(address), links_of(root), tables) > 2000
    finally:
        server.terminate()
        server.wait()


def everything(root: Path, role: str) -> dict[str, Any]:
    page = Page(local_uri(root))
    return page.opened(
        f"#/experiments/1/runs?searchFilter=tags.role%3D'{role}'&orderByKey=tags."
        "`mlflow.runName`&orderByAsc=true"
    )


def parents(root: Path) -> set[tuple[str, str]]:
    """Methods of trials, and names of the runs above them."""
    above = {one.info.run_id: name for name, one in everything(root, "summary").items()}
    return {
        (one.data.tags["method"], above[one.data.tags["mlflow.parentRunId"]])
        for one in everything(root, "trial").values()
    }


SMALL = {"methods": ["l1", "random"], "models": ["m1"], "recoveries": ["none"]}
BELOW = {(method, f"{method} · m1 on digits · none") for method in SMALL["methods"]}


def test_a_second_sync_changes_nothing(root: Path) -> None:
    suite, expected, records = made(**SMALL)
    sync(root, suite, records, expected)
    before = {role: everything(root, role) for role in ("summary", "comparison", "trial")}
    assert set(before["summary"]) == {"l1 · m1 on digits · none", "random · m1 on digits · none"}
    assert set(before["comparison"]) == {"random against l1 · none"}
    assert sync(root, suite, records, expected) == 0
    for role, runs in before.items():
        for name, one in everything(root, role).items():
            assert one.to_dictionary() == runs[name].to_dictionary()


def test_a_summary_has_what_its_trials_share_and_leads_to_them(root: Path) -> None:
    suite, expected, records = made(**SMALL)
    sync(root, suite, records, expected)
    one = everything(root, "summary")["random · m1 on digits · none"]
    assert one.data.params["method"] == "random"
    assert not {"base", "budget"} & set(one.data.params)
    tags = {"method": "random", "problem": "m1 on digits", "recovery": "none", "model": "m1"}
    assert tags.items() <= one.data.tags.items()
    assert one.info.status == "FINISHED"
    assert one.info.end_time - one.info.start_time == 10_000
    note = one.data.tags["mlflow.note.content"]
    below, report = re.findall(r"\]\((#/experiments/\S+)\)", note)
    trials = Page(local_uri(root)).opened(below)
    assert {one.data.tags["method"] for one in trials.values()} == {"random"}
    assert len(trials) == 9
    (run,) = everything(root, "suite").values()
    assert f"/runs/{run.info.run_id}/artifacts/report/index.html" in report
    said = run.data.tags["mlflow.note.content"]
    assert said.startswith(suite.description)
    assert "m1 on digits" in said
    assert "l1" in said
    assert run.data.params["methods"] == '["l1", "random"]'
    assert run.data.params["analysis.control"] == "l1"


def test_numbers_that_change_take_a_new_run_and_its_trials_along(root: Path) -> None:
    suite, expected, records = made(**SMALL)
    part = [one for one in records if one.labels.base < 2]
    sync(root, suite, part, expected)
    early = everything(root, "summary")
    assert {one.info.status for one in early.values()} == {"SCHEDULED"}
    assert all("eval/test_top1" not in one.data.metrics for one in early.values())
    assert sync(root, suite, records, expected) == 6
    late = everything(root, "summary")
    assert set(late) == set(early)
    assert not {one.info.run_id for one in early.values()} & {
        one.info.run_id for one in late.values()
    }
    assert parents(root) == {
        (method, f"{method} · m1 on digits · none") for method in SMALL["methods"]
    }


def test_a_machine_that_knows_fewer_trials_takes_nothing_back(root: Path) -> None:
    suite, expected, records = made(**SMALL)
    sync(root, suite, records, expected)
    before = {name: one.info.run_id for name, one in everything(root, "summary").items()}
    sync(root, suite, records[:1], expected)
    assert {name: one.info.run_id for name, one in everything(root, "summary").items()} == before


def test_summaries_that_the_plan_does_not_hold_any_more_go(root: Path) -> None:
    suite, expected, records = made(**SMALL)
    sync(root, suite, records, expected)
    only = made(**SMALL | {"methods": ["l1"]})
    sync(root, only[0], [one for one in records if one.labels.method == "l1"], only[1])
    assert set(everything(root, "summary")) == {"l1 · m1 on digits · none"}
    assert everything(root, "comparison") == {}


def test_a_store_of_the_older_layout_is_brought_up_to_date(root: Path) -> None:
    """Trials lay below the suite's run, and no run summarised them."""
    from mlflow import MlflowClient

    suite, expected, records = made(**SMALL)
    client = MlflowClient(tracking_uri=local_uri(root))
    experiment = client.create_experiment(suite.suite, (root / "mlflow-artifacts").as_uri())
    above = client.create_run(experiment, tags={"role": "suite", "host": "x", "process": "1"})
    for one in records:
        tags = {"role": "trial", "trial.key": one.key, "status": "done", "method": "l1"}
        tags["mlflow.parentRunId"] = above.info.run_id
        old = client.create_run(experiment, tags=tags, run_name=str(one.labels)).info.run_id
        client.log_metric(old, "eval/top1", 50)
        client.set_terminated(old)
    assert sync(root, suite, records, expected) == len(records)
    assert parents(root) == {
        (method, f"{method} · m1 on digits · none") for method in SMALL["methods"]
    }
    assert not any("eval/top1" in one.data.metrics for one in everything(root, "trial").values())


def test_a_run_that_is_stopped_leaves_trials_below_empty_summaries(root: Path) -> None:
    suite, expected, records = made(**SMALL)
    tracker = Tracker(Experiment(root, suite), {}, "bench run")
    for one in records:
        tracker.log(one)
    tracker.finish("KILLED")
    empty = everything(root, "summary")
    assert {(one.info.status, len(one.data.metrics)) for one in empty.values()} == {
        ("SCHEDULED", 0)
    }
    assert sync(root, suite, records, expected) == 0
    for name, one in everything(root, "summary").items():
        assert one.info.run_id == empty[name].info.run_id
        assert one.data.metrics["trials/done"] == 3


@pytest.mark.parametrize(
    ("budgets", "metric", "values", "words"),
    [
        ({"threshold": [0.75, 0.7]}, "network/threshold", [0.75, 0.7], "threshold 0.75"),
        ({"params": [0.75, 0.7]}, "network/params_budget_percent", [75, 70], "75 % of parameters"),
    ],
)
def test_a_step_says_which_budget_it_is(
    budgets: dict[str, list[float]], metric: str, values: list[float], words: str
) -> None:
    suite, expected, records = made(**SMALL | {"budgets": budgets})
    first = conclude(suite, records, expected).summaries[0]
    assert [first.points[metric, step] for step in (250, 300)] == values
    assert f"- 250: {words}, 3 of 3" in first.note
    assert "step 0 is the dense network" in first.note
    assert first.points["eval/accuracy_change", 0] == 0
    assert not [name for name, _ in first.points if name == "network/budget_percent"]


def test_a_comparison_says_its_verdict(root: Path) -> None:
    suite = synthetic.make_suite(**SMALL)
    expected = synthetic.plan(suite)
    records = timed(
        [synthetic.record(one, 0.9 if one.method == "l1" else 0.5 + 0.01 * one.base)
         for one in expected]
    )  # fmt: skip
    sync(root, suite, records, expected)
    (one,) = everything(root, "comparison").values()
    assert one.data.tags["verdict"] == "worse"
    assert "Verdict: worse" in one.data.tags["mlflow.note.content"]


def test_the_order_is_the_reports_and_charts_say_how_many_they_draw(root: Path) -> None:
    names = [f"made-{i:02d}" for i in range(12)]
    methods = ["l1", *({"criterion": "l1", "as": name} for name in names)]
    suite = synthetic.make_suite(**SMALL | {"methods": methods, "budgets": {"macs": [0.5]}})
    expected = synthetic.plan(suite)
    quality = dict(zip([*names[6:], "l1", *names[:6]], range(13), strict=True))
    records = timed(
        [synthetic.record(one, 0.9 - 0.02 * quality[one.method] - 0.001 * one.base)
         for one in expected]
    )  # fmt: skip
    sync(root, suite, records, expected)
    links = links_of(root)
    assert set(links) == {
        "differences over problems, without recovery (the best 10 of 12 are drawn)",
        "each method, m1 on digits, without recovery (the best 10 of 13 are drawn)",
        TABLE,
        "the latest run, with the report",
    }
    drawn = Page(local_uri(root)).opened(link_to(links, "each method"))
    assert [one.data.tags["method"] for one in drawn.values()] == list(quality)


def test_names_longer_than_mlflow_takes_stay_apart() -> None:
    labels = [
        Labels(suite="s", dataset="d" * 80, model="m" * 80, method="r" * 100 + end,
               recovery="none", cost="macs", budget=0.5, base=0, repeat=0)
        for end in "ab"
    ]  # fmt: skip
    names = {summary_name(one) for one in labels}
    assert len(names) == 2
    assert max(map(len, names)) <= NAME_LIMIT
    against = {named_by("r" * 300 + end, "none") for end in "ab"}
    assert len(against) == 2
    assert max(map(len, against)) == NAME_LIMIT


@pytest.mark.parametrize("name", library())
def test_budgets_of_the_library_have_a_step_each(name: str) -> None:
    suite = load_suite(name)
    if isinstance(suite, Suite):
        for model in suite.models:
            kept = suite.budgets_of(model).kept
            steps = steps_of(kept)
            assert len(set(steps.values())) == len(kept)
            assert min(steps.values()) > 0
            assert max(steps.values()) < 1000  # thousandths tell them apart
