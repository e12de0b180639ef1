"""MLflow holds every record once, whatever happened before; and records never depend on it."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tracked import PROVENANCE, SUITE, failed, opened, record, runs, sync
from tracked import root as root  # the fixture

from bench.errors import BenchError
from bench.store.store import Store
from bench.tracking import TrackingError, pull, tracking_uri
from bench.tracking.connection import ui_command, ui_environment
from reports.records import (
    content_key,
    parse_record,
)
from suites import resolved
from suites.schema import Suite

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:mlflow", "ignore::FutureWarning:mlflow"
)


def test_a_trial_is_one_flat_run_with_everything(root: Path) -> None:
    tracker, one = opened(root), record()
    tracker.log(one)
    (run,) = runs(root)
    (parent,) = runs(root, "summary")

    assert parent.info.run_name == "l1 · resnet20 on digits · finetune-short"
    assert run.info.run_name == "resnet20-digits · l1 · 50% · finetune-short · b0 r0"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 10_500
    assert run.data.params == {"method.criterion": "l1", "repeat": "0"}
    wanted = {
        "method": "l1",
        "model": "resnet20",
        "dataset": "digits",
        "problem": "resnet20 on digits",
        "recovery": "finetune-short",
        "budget": "50%",
        "base": "0",
        "repeat": "0",
        "trial.key": one.key,
        "suite.hash": content_key(resolved(SUITE)),
        "status": "done",
        "git.sha": "c0ffee",
        "git.dirty": "False",
        "device": "cpu",
        "mlflow.parentRunId": parent.info.run_id,
    }
    assert wanted.items() <= run.data.tags.items()
    metrics = run.data.metrics
    assert metrics["eval/accuracy_change"] == pytest.approx(-3)
    assert metrics["eval/test_top1"] == pytest.approx(95)
    assert metrics["network/macs_kept_percent"] == 50
    assert metrics["network/macs_speedup"] == 2
    assert metrics["network/latency_kept_percent"] == 75
    assert metrics["network/latency_kept_percent_low"] == 70
    assert metrics["network/latency_kept_percent_high"] == 80
    assert metrics["network/latency_of_a_dense_copy_percent"] == 125
    assert metrics["time/total_s"] == 3
    assert "eval/test_top1_at_best_validation" not in metrics


def test_only_the_own_database_is_not_waited_for(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    def synced() -> int:
        opened(root)
        with SqlAlchemyStore(tracking_uri(root), str(tmp_path)).engine.connect() as database:
            return int(database.exec_driver_sql("PRAGMA synchronous").scalar_one())

    assert synced() == 0
    (tmp_path / "theirs.db").write_bytes((root / "mlflow.db").read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'theirs.db'}")
    assert synced() == 2


def test_history_is_stepped_and_the_record_is_the_artifact(root: Path) -> None:
    tracker, one = opened(root), record()
    tracker.log(one)
    (run,) = runs(root)

    client = tracker._experiment.client
    steps = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert client.get_metric_history(run.info.run_id, "validation/top1")[0].value == 90
    artifact = root / "mlflow-artifacts" / run.info.run_id / "artifacts" / "trial.json"
    assert parse_record(artifact.read_bytes(), "trial.json", one.key) == one


def test_the_suite_run_carries_suite_counts_and_report(root: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_text("<p>who won")
    tracker = opened(root)
    tracker.log(record())
    tracker.log(record())
    tracker.log(failed(record(1)))
    tracker.finish("FAILED", report)

    (run,) = runs(root, "suite")
    assert run.info.status == "FAILED"
    assert run.data.metrics == {"trials/done": 1, "trials/failed": 1, "trials/infeasible": 0}
    assert json.loads(run.data.params["datasets"]) == ["digits"]
    artifacts = root / "mlflow-artifacts" / run.info.run_id / "artifacts"
    assert (artifacts / "report" / "index.html").read_text() == "<p>who won"
    import yaml

    again = Suite.model_validate(yaml.safe_load((artifacts / "suite.yaml").read_text()))
    assert content_key(resolved(again)) == content_key(resolved(SUITE))
    assert json.loads((artifacts / "provenance.json").read_text()) == PROVENANCE


def test_what_a_report_leans_on_is_tags_of_its_run(root: Path, tmp_path: Path) -> None:
    said = {"declared": None, "notices": ["Exploratory: more bases.", "Interim: 1 of 2."]}
    report = tmp_path / "report"
    report.mkdir()
    (report / "headline.json").write_text(json.dumps(said))
    opened(root).finish("FINISHED", report)
    (run,) = runs(root, "suite")
    assert run.data.tags["report.declared"] == "none"
    assert run.data.tags["report.notices"] == "Exploratory: more bases. Interim: 1 of 2."


def test_a_report_written_later_is_brought_to_the_latest_run(root: Path) -> None:
    report = root / "reports" / "tiny"
    (report / "figures").mkdir(parents=True)
    (report / "figures" / "costs.svg").write_text("<svg/>")
    (report / "index.html").write_text("first")
    tracker = opened(root)
    tracker.log(record())
    tracker.finish("FINISHED", report)
    opened(root).finish("FINISHED", report)
    newest, oldest = runs(root, "suite")
    (report / "index.html").write_text("second")
    assert sync(root, [record()]) == 0
    artifacts = root / "mlflow-artifacts"
    pages = [
        (artifacts / one.info.run_id / "artifacts" / "report" / "index.html").read_text()
        for one in (newest, oldest)
    ]
    assert pages == ["second", "first"]
    assert len(runs(root, "suite")) == 2


def test_records_are_pulled_from_a_store_once(root: Path, tmp_path: Path) -> None:
    tracker, broken = opened(root), record(3)
    for one in (record(), record(1), failed(record(2))):
        tracker.log(one)
    edited = broken.model_copy(update={"identity": {**broken.identity, "repeat": 4}})
    tracker.log(edited)
    here = Store(tmp_path / "here")
    here.write_record(failed(record(1)))

    first = pull(here, "tiny", tracking_uri(root))
    assert (first.found, first.here, first.written) == (4, 0, 3)
    assert here.record(record().key) == record()
    assert here.record(record(1).key) == record(1)  # finished there, failed here
    assert here.record(record(2).key) == failed(record(2))
    assert here.record(broken.key) is None
    assert "hash to its key" in first.faults[0]
    second = pull(here, "tiny", tracking_uri(root))
    assert (second.here, second.written) == (3, 0)


def test_pull_names_the_experiments_that_there_are(root: Path, tmp_path: Path) -> None:
    opened(root)
    with pytest.raises(TrackingError, match=r"'tyni'; there are: .*tiny"):
        pull(Store(tmp_path / "here"), "tyni", tracking_uri(root))


def test_a_failed_trial_is_a_failed_run_with_all_grouping_tags(root: Path) -> None:
    tracker = opened(root)
    tracker.log(failed(record(), "x" * 20_000))
    (run,) = runs(root)
    assert run.info.status == "FAILED"
    assert run.data.metrics == {}
    assert run.data.tags["status"] == "failed"
    assert run.data.tags["failure.kind"] == "ValueError"
    assert run.data.tags["failure.message"].startswith("xxx")
    assert run.data.tags["failure.message"].endswith("…")
    assert {"method", "model", "dataset", "problem", "recovery", "budget"} <= set(run.data.tags)


def test_each_key_has_one_live_run(root: Path) -> None:
    done = record()
    tracker = opened(root)
    tracker.log(failed(done))
    tracker.log(failed(done))
    assert [run.info.status for run in runs(root)] == ["FAILED"]
    tracker.log(failed(done, "another message"))
    assert [run.data.tags["failure.message"] for run in runs(root)] == ["another message"]
    opened(root).log(done)  # a later invocation
    (run,) = runs(root)
    assert run.data.tags["status"] == "done"
    opened(root).log(failed(done))  # what has been measured stands
    assert [one.info.run_id for one in runs(root)] == [run.info.run_id]


def test_half_written_and_double_runs_are_mended(root: Path) -> None:
    from mlflow import MlflowClient

    one, two = record(0), record(1)
    tracker = opened(root)
    tracker.log(one)
    client, experiment = MlflowClient(tracking_uri(root)), tracker._experiment.id
    for key in (one.key, two.key):  # a process killed in the middle of logging
        client.create_run(experiment, tags={"role": "trial", "trial.key": key})
    assert len(runs(root)) == 3

    assert sync(root, [one, two]) == 1
    assert {run.data.tags["trial.key"] for run in runs(root)} == {one.key, two.key}
    assert [run.info.status for run in runs(root)] == ["FINISHED"] * 2


def test_sync_adds_nothing_twice(root: Path) -> None:
    records = [record(0), record(1), failed(record(2))]
    assert sync(root, records) == 3
    assert sync(root, records) == 0
    assert len(runs(root)) == 3
    assert len(runs(root, "suite")) == 1


def test_sync_rebuilds_a_lost_database(root: Path, tmp_path: Path) -> None:
    """In a process of its own: MLflow keeps connections to the deleted file open."""
    records = [record(0), record(1), failed(record(2))]
    sync(root, records)
    moved = root.rename(root.with_name("elsewhere"))
    (moved / "mlflow.db").unlink()

    lines = tmp_path / "records.jsonl"
    lines.write_text("".join(one.model_dump_json() + "\n" for one in records))
    program = """
import pathlib, sys
from bench.tracking import sync
from reports.records import Record, parse_record
from suites.schema import Suite
lines, root, suite = sys.argv[1:]
records = [Record.model_validate_json(one) for one in open(lines)]
labels, suite = [one.labels for one in records], Suite.model_validate_json(suite)
print(*(sync(pathlib.Path(root), suite, records, labels) for _ in range(2)))
"""
    suite = SUITE.model_dump_json(by_alias=True)
    command = [sys.executable, "-c", program, str(lines), str(moved), suite]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "0"]
    assert done.stderr == ""


def test_values_beyond_the_limits_are_cut_visibly(root: Path) -> None:
    long = {"weights": list(range(5000)), "many": {f"option{i}": i for i in range(150)}}
    tracker = opened(root)
    tracker.log(record(options=long, empty={}))
    (run,) = runs(root)
    params = run.data.params
    assert len(params["options.weights"]) == 6000
    assert params["options.weights"].endswith("…")
    assert params["options.many.option149"] == "149"
    assert params["empty"] == "{}"
    assert len(params) == 2 + 1 + 150 + 1


def test_a_run_id_in_the_environment_does_not_disturb(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    import mlflow

    tracker = opened(root)
    tracker.log(record())
    tracker.finish()
    assert len(runs(root)) == len(runs(root, "suite")) == 1
    assert mlflow.active_run() is None


def test_runs_that_a_killed_process_left_open_are_ended(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(root)
    opened(root)
    assert [run.info.status for run in runs(root, "suite")] == ["RUNNING"] * 2
    monkeypatch.setattr("psutil.pids", lambda: [1])
    opened(root).finish()
    assert sorted(run.info.status for run in runs(root, "suite")) == ["FINISHED"] + ["KILLED"] * 2


def test_a_deleted_experiment_comes_back(root: Path) -> None:
    tracker = opened(root)
    tracker._experiment.client.delete_experiment(tracker._experiment.id)
    opened(root).log(record())
    assert len(runs(root)) == 1


def test_a_server_out_of_reach_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://me:secret@127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(BenchError, match="bench sync") as caught:
            opened(tmp_path)
    assert "Connection refused" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_answers_nonsense_is_the_same_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Nonsense(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"<html>not MLflow</html>")

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(TrackingError, match="bench sync"):
            opened(tmp_path)
        server.shutdown()


def test_a_file_that_is_no_database_is_set_aside_and_made_anew(root: Path) -> None:
    (root / "mlflow.db").write_text("this is no database, whatever its name says " * 99)
    tracker = opened(root)
    tracker.log(record())
    tracker.finish()
    assert len(runs(root)) == 1
    (line,) = Store(root).set_aside_so_far()
    assert "mlflow.db: no whole database" in line


def test_a_store_that_fails_midway_can_be_caught_up(root: Path) -> None:
    tracker = opened(root)
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("ALTER TABLE metrics RENAME TO gone")
    with pytest.raises(TrackingError):
        tracker.log(record())
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("ALTER TABLE gone RENAME TO metrics")
    tracker.log(record(1))
    tracker.log(record())
    assert len(runs(root)) == 2
    assert sync(root, [record()]) == 0


def test_links_lead_to_summaries_and_to_the_run(root: Path) -> None:
    tracker = opened(root)
    tracker.log(record())
    found = tracker._experiment.links("http://127.0.0.1:5001")
    links = {what: where.partition("?") for what, where in found.items()}
    runs_page = "http://127.0.0.1:5001/#/experiments/1/runs"
    queries = {what: parse_qs(query, strict_parsing=True) for what, (_, _, query) in links.items()}
    assert {where for where, _, _ in links.values()} == {
        runs_page,
        f"{runs_page}/{tracker._run_id}",
    }
    for query in queries.values():
        assert query.pop("workflowType") == ["machine_learning"]
    by_name = {"orderByKey": ["tags.`mlflow.runName`"], "orderByAsc": ["true"]}
    summary = "tags.role = 'summary'"
    assert queries == {
        "every method on every problem (pick numbers under Columns)": {
            "searchFilter": [summary],
            **by_name,
        },
        "each method, resnet20 on digits, after finetune-short": {
            "searchFilter": [
                f"{summary} and tags.problem = 'resnet20 on digits' "
                "and tags.recovery = 'finetune-short'"
            ],
            "compareRunsMode": ["CHART"],
            "orderByKey": ["tags.`place`"],
            "orderByAsc": ["true"],
        },
        "the latest run, with the report": {},
    }
    tags = tracker._experiment.client.get_experiment("1").tags
    assert tags["mlflow.note.content"] == "Two criteria on **digits**."


def test_the_ui_opens_the_right_store(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ui_command(root, port=5001)
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    given = dict(zip(command[4::2], command[5::2], strict=True))
    assert given["--backend-store-uri"] == tracking_uri(root) == f"sqlite:///{root}/mlflow.db"
    assert given["--host"] == "127.0.0.1"
    assert given["--port"] == "5001"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    assert ui_environment()["MLFLOW_DISABLE_TELEMETRY"] == "false"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example.org")
    with pytest.raises(TrackingError, match=r"open https://mlflow\.example\.org$"):
        ui_command(root)


def test_importing_the_module_does_not_import_mlflow() -> None:
    code = "import sys, bench.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
