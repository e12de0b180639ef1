"""Records and MLflow's runs of strangers: what is made of them is numbers, or one message."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tracked
from fuzzing import MANY, answered, anything, fuzz, places, put, text
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from rich.console import Console

from bench.run.reporting import reasons
from bench.store.store import Store
from bench.terminal import say
from bench.tracking import connection, experiment, fields, links
from bench.tracking import pull as pull_records
from bench.tracking.summaries import conclude
from reports.claims.claim_file import known_claims
from reports.claims.claims import judge
from reports.records import Fidelity, Record, content_key, frame, parse_record
from reports.seal import seal_json

ACCURACY = {"top1": 0.9, "loss": 0.5, "validation_top1": 0.9, "validation_loss": 0.5}
PROBED = Fidelity.model_validate(
    {
        "dense": ACCURACY, "dense_loss": 0.5, "images": 100, "roots": ["conv1"], "group": [0, 0],
        "unit": [0, 1], "change": [0.1, 0.2], "halves": [[0.1, 0.2], [0.1, 0.2]],
        "score": [1.0, 2.0], "images_scored": 10, "spanned": [],
    }
)  # fmt: skip
OF_FIDELITY = tracked.record(2).model_copy(update={"measurements": None, "fidelity": PROBED})
WHOLE = [
    json.loads(one.model_dump_json())
    for one in (tracked.record(0), tracked.failed(tracked.record(1)), OF_FIDELITY)
]


LABELS = tracked.record(0).labels


@st.composite
def record_files(draw: st.DrawFn) -> tuple[bytes, str]:
    """The file of a record with some places changed, its key made to fit, sealed; or torn."""
    content = copy.deepcopy(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(list(places(content))))
        if draw(st.integers(0, 3)) == 0:
            place = (*place[:-1], draw(text))
        put(content, place, draw(anything), remove=draw(st.integers(0, 4)) == 0)
    try:
        if draw(st.booleans()):
            content["key"] = content_key(content["identity"])
        written = seal_json(json.dumps(content, indent=1, default=str))
    except (ValueError, KeyError, TypeError, RecursionError):  # what no JSON can hold
        written = draw(st.binary(max_size=100))
    if draw(st.integers(0, 9)) == 0:
        written = written[: draw(st.integers(0, len(written)))]
    key = content.get("key", "") if isinstance(content, dict) else ""
    return written, key if isinstance(key, str) else ""


def used(record: Record) -> None:
    """All that is made of a record before anybody looks at it."""
    fields.tags(record)
    fields.metrics(record)
    fields.params(record.identity)
    fields.milliseconds(record, "started")
    frame([record])
    planned = record.model_copy(update={"labels": LABELS})  # a plan says how its trials are named
    conclude(tracked.SUITE, [planned], [LABELS])
    judge(known_claims(), [record])
    for (_, reason), trials in reasons([record]).items():
        say(Console(file=open("/dev/null", "w")), reason, *trials)  # noqa: PTH123, SIM115
    assert parse_record(record.to_json(), "again", record.key).to_json() == record.to_json()


def check_record(written: bytes, key: str) -> None:
    record = answered(lambda: parse_record(written, "one", key))
    if record is not None:
        answered(lambda: used(record))


TAGS = [
    "role", "trial.key", "status", "layout", "host", "process", "suite", "trials", "recovery",
    "problem", "suite.hash", "summary.digest", "mlflow.parentRunId", "place",
]  # fmt: skip
encoded = text.map(lambda one: one.encode(errors="replace").decode())  # as a database holds it
ROLES = ["trial", "suite", "summary", "comparison"]


@st.composite
def stores(draw: st.DrawFn) -> list[Any]:
    """Runs with any tags, and what their artifact `trial.json` is, which may be missing."""
    found = []
    for at in range(draw(st.integers(0, 6))):
        tags = draw(st.dictionaries(st.sampled_from(TAGS) | encoded, encoded, max_size=8))
        written, key = draw(record_files())
        if draw(st.booleans()):
            tags["trial.key"] = key
        tags["role"] = draw(st.sampled_from(ROLES))
        status = draw(st.sampled_from(["RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED"]))
        name = draw(st.none() | text)
        info = SimpleNamespace(run_id=f"run{at}", run_name=name, status=status)
        artifact = draw(st.none() | st.just(written))
        found.append(SimpleNamespace(info=info, data=SimpleNamespace(tags=tags), artifact=artifact))
    return found


class Client:
    """As much of MLflow's client as is asked of a store that is only looked at."""

    def __init__(self, found: Sequence[Any]) -> None:
        self.found = list(found)

    def search_runs(self, experiments: Any, condition: str, **more: Any) -> Any:
        role = condition.split("'")[1]
        return _Page(one for one in self.found if one.data.tags["role"] == role)

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1")

    def get_run(self, run: str) -> Any:
        return next(one for one in self.found if one.info.run_id == run)

    def download_artifacts(self, run: str, name: str, folder: str) -> str:
        if (content := self.get_run(run).artifact) is None:
            raise MlflowException(f"no {name}\x1b[2J in {run}")
        path = Path(folder) / name
        path.write_bytes(content)
        return str(path)

    def delete_run(self, run: str) -> None:
        self.found.remove(self.get_run(run))


class _Page(list[Any]):
    token = None


def check_store(folder: Path, found: list[Any]) -> None:
    client: Any = Client(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["bench.tracking.pull"], "connect", lambda uri, **more: client)
        pulled = answered(lambda: pull_records(Store(folder), "tiny", "sqlite:///there.db"))
    if pulled is not None:
        assert pulled.found == pulled.here + pulled.written + len(pulled.faults)
    ours: Any = experiment.Experiment.__new__(experiment.Experiment)
    ours.client, ours.id = client, "1"
    answered(lambda: [ours._best(one) for one in ROLES[:1] + ROLES[2:]])
    answered(lambda: links.suite_links(client, "1", "http://127.0.0.1:5000"))
    assert connection.without_password("http://me:secret@[/nope]") == "http://[/nope]"


@pytest.mark.parametrize(
    ("name", "value"),
    [("score", [1.0]), ("unit", [0, 1, 2]), ("halves", [[0.1], [0.1, 0.2]]), ("group", [0, 7])],
)
def test_probes_of_other_units_than_their_scores_are_no_record(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="not of the same units"):
        Fidelity.model_validate(PROBED.model_dump() | {name: value})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["records", "stores"])
def test_a_few(tmp_path: Path, kind: str) -> None:
    go(tmp_path, kind, 30)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["records", "stores"])
def test_many(tmp_path: Path, kind: str) -> None:
    go(tmp_path, kind, MANY // 8)


def go(folder: Path, kind: str, examples: int) -> None:
    if kind == "records":
        fuzz(lambda given: check_record(*given), record_files(), examples)
    else:
        fuzz(lambda given: check_store(folder, given), stores(), examples)
