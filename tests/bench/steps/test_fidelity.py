"""Suites of kind fidelity, from the file to the report, through the command that people run."""

from __future__ import annotations

import copy
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import toy
import yaml
from inline_runs import Silent
from pages import text_of
from rich.console import Console

from bench.command import planning, status
from bench.errors import BenchError, PlanError
from bench.executors import make_executor
from bench.plan.graph import job_graph
from bench.plan.jobs import FidelityJob, OracleJob
from bench.plan.plan import Plan, make_plan
from bench.plan.workload import Throughput
from bench.run.reporting import write_report
from bench.run.run import Run
from bench.run.session import Request
from bench.run.session import session as run_session
from bench.steps.workspace import Settings, Workspace
from bench.store.store import Store
from bench.tracking import fields
from bench.tracking.summaries import conclude
from criteria.network.cut import mask
from reports.analysis.fidelity import STATISTICS
from reports.records import Record
from suites import FidelitySuite, SuiteError, load_suite

PROBE: dict[str, Any] = {
    "suite": "probe",
    "kind": "fidelity",
    "description": "A few criteria against the truth on a few digits.",
    "datasets": [{"name": "digits", "train_images": 160, "test_images": 60, "validation": 0.25}],
    "models": ["vgg_small"],
    "methods": [
        "random",
        "l1",
        {"criterion": "taylor", "options": {"variant": "elementwise"}, "as": "mine"},
        {"criterion": "inverse", "options": {"of": "l1"}},
    ],
    "bases": 2,
    "base_recipe": "tiny",
    "recipes": {"tiny": {"epochs": 1, "batch_size": 40, "learning_rate": 0.05}},
    "calibration": {"images": 32, "batch_size": 16},
    "fidelity": {"units": 20, "images": 30, "batch_size": 16},
    "scales": {"smoke": {"methods": ["l1"], "bases": 1}},
}
TRIALS = 8


def suite(**changes: Any) -> FidelitySuite:
    return FidelitySuite.model_validate({**copy.deepcopy(PROBE), **changes})


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "probe.yaml"
    path.write_text(yaml.safe_dump({**copy.deepcopy(PROBE), **changes}, sort_keys=False))
    return path


def run_inline(plan: Plan, results: Path, log: Any = lambda record: None) -> list[Record]:
    store = Store(results)
    executor = make_executor("inline", Settings(results, results), 1, None)
    threads = torch.get_num_threads()
    try:
        Run(plan.pending(plan.records(store)), store, executor, Silent(), log).to_its_end()
    finally:
        torch.set_num_threads(threads)
    return plan.records(store)


@pytest.fixture(scope="module")
def finished(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the suite by a worker process, with all that `bench run` makes of them."""
    results = toy.prepared(session, tmp_path_factory.mktemp("probe") / "results")
    request = Request(Settings(results, results), workers=1, allow_untrained=True)
    assert run_session(make_plan(suite()), request, Console(quiet=True)) == 0
    return results


# --- the suite ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budgets": {"macs": [0.5]}}, "unknown key 'budgets'. Allowed here: suite,"),
        ({"recoveries": ["none"]}, "unknown key 'recoveries'"),
        ({"selection": {"scope": "local"}}, "unknown key 'selection'"),
        ({"analysis": {"control": "l1"}}, "unknown key 'analysis.control'. Allowed here: alpha"),
        ({"methods": [{"criterion": "l1", "iterative": {"steps": 2}}]}, "`iterative` is not for"),
        ({"methods": [{"criterion": "l1", "scope": "local"}]}, "method l1: `scope` is not for"),
        ({"methods": [{"criterion": "l1", "matched": ["l2"]}]}, "`matched` is not for"),
        ({"methods": ["l1", "l1"]}, "methods: l1 occurs twice"),
        ({"fidelity": {"unit": 3}}, "did you mean units"),
        ({"fidelity": {"images": 1}}, "fidelity.images"),
        ({"kind": "accuracy"}, "no kind of suite 'accuracy'; there are comparison, fidelity"),
        ({"base_recipe": "none-such"}, "recipe 'none-such' is unknown"),
    ],
)
def test_what_does_not_apply_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(SuiteError) as error:
        load_suite(str(written(tmp_path, **change)))
    assert "probe.yaml" in str(error.value)
    assert said in str(error.value)


def test_a_comparison_knows_no_fidelity(tmp_path: Path) -> None:
    path = toy.write_suite(tmp_path, fidelity={"units": 3})
    with pytest.raises(SuiteError, match="unknown key 'fidelity'"):
        load_suite(str(path))


def test_smoke_and_overrides_work_as_in_any_suite(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    small = load_suite(path, ["fidelity.units=null"], scale="smoke")
    assert isinstance(small, FidelitySuite)
    assert (small.suite, small.bases, small.fidelity.units) == ("probe-smoke", 1, None)


# --- the plan -------------------------------------------------------------------------------------


def test_scores_and_oracle_are_shared_by_all_criteria(tmp_path: Path) -> None:
    plan = make_plan(suite())
    graph = job_graph(plan.trials, Store(tmp_path))
    kinds = [type(job).__name__ for job in graph.jobs.values()]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "BaseJob": 2,
        "ScoresJob": 4,  # with images, and without
        "OracleJob": 2,
        "FidelityJob": TRIALS,
    }
    for job in graph.jobs.values():
        before = {type(graph.jobs[key]).__name__ for key in graph.after[job.key]}
        if isinstance(job, FidelityJob):
            assert before == {"BaseJob", "ScoresJob", "OracleJob"}
        elif isinstance(job, OracleJob):
            assert before == {"BaseJob"}


def keys(**changes: Any) -> set[str]:
    return {trial.key for trial in make_plan(suite(**changes)).trials}


def test_the_key_holds_what_decides_and_no_names() -> None:
    own = keys()
    assert len(own) == TRIALS
    assert keys(suite="other", description="", analysis={"alpha": 0.1}) == own
    spec = PROBE["fidelity"]
    for name in spec:
        assert not keys(fidelity={**spec, name: 8}) & own, name
    alone = {trial.key for trial in make_plan(suite()).trials if trial.labels.all_repeats}
    assert keys(calibration={"images": 16, "batch_size": 16}) & own == alone
    comparison = make_plan(toy.suite()).trials
    assert not own & {trial.key for trial in comparison}


def test_a_selector_has_no_scores_to_be_held_against_the_truth() -> None:
    with pytest.raises(PlanError, match=r"method rgd: .* no scores"):
        make_plan(suite(methods=["rgd"]))


# --- the run --------------------------------------------------------------------------------------


def test_a_record_holds_the_truth_and_the_prediction(finished: Path) -> None:
    """Against masks and whole passes on the stored base, and against the scores themselves."""
    (trial,) = make_plan(suite()).only(["mine"]).trials[:1]
    record = Store(finished).record(trial.key)
    assert record is not None
    found = record.fidelity
    assert found is not None
    assert isinstance(trial, FidelityJob)
    workspace = Workspace(Settings(finished, finished))
    base = workspace.base(trial.at.base)
    groups = base.network.structure.groups
    assert found.roots == [group.root for group in groups]
    assert len(found.unit) == 20
    assert found.images == 30

    validation = list(base.data.validation.batches(1000))
    ((images, labels),) = validation
    assert len(labels) == 40  # of which 30 are asked for: the test looks at every choice's mean
    scores = workspace.store.path("scores", trial.score_key, ".npz")
    assert scores.exists()
    order = torch.randperm(40, generator=_generator(trial))[:30]
    none = torch.empty(0, dtype=torch.long)
    with torch.no_grad():
        dense = F.cross_entropy(base.network.model(images[order]), labels[order])
        assert found.dense_loss == pytest.approx(dense.item(), rel=1e-5)  # float32 networks
        for at in (0, 7, 19):
            removed = [
                torch.tensor([found.unit[at]]) if place == found.group[at] else none
                for place in range(len(groups))
            ]
            masked = mask(base.network.model, groups, removed)
            without = F.cross_entropy(masked(images[order]), labels[order])
            assert found.change[at] == pytest.approx((without - dense).item(), abs=1e-5)
    halves = [sum(pair) / 2 for pair in zip(*found.halves, strict=True)]
    assert halves == pytest.approx(found.change)


def _generator(trial: FidelityJob) -> torch.Generator:
    from bench.seeds import generator

    return generator("oracle-images", **trial.at.base.axes)


def test_all_criteria_of_a_base_are_held_against_one_truth(finished: Path) -> None:
    truths: dict[int, set[tuple[float, ...]]] = {}
    scores: dict[tuple[int, str], list[float]] = {}
    for record in toy.records(finished):
        assert record.fidelity is not None
        truths.setdefault(record.labels.base, set()).add(tuple(record.fidelity.change))
        scores[record.labels.base, record.labels.method] = record.fidelity.score
    assert [len(found) for found in truths.values()] == [1, 1]
    assert scores[0, "inverse"] == [-one for one in scores[0, "l1"]]


def test_interrupted_and_resumed_equals_undisturbed(finished: Path, tmp_path: Path) -> None:
    """Stopped after its second record, in this process, against a worker that was not."""
    plan, seen = make_plan(suite()), []

    def stop(record: Record) -> None:
        seen.append(record.key)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_inline(plan, tmp_path, stop)
    assert toy.count(tmp_path) == 2
    assert toy.left_over(tmp_path) == []
    next((tmp_path / "oracle").glob("*.json")).unlink()  # shared work may be deleted any time
    assert len(run_inline(plan, tmp_path)) == TRIALS
    assert toy.outcomes(tmp_path) == toy.outcomes(finished)


def test_a_criterion_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    from bench.plan.plugins import load_plugins

    name = "probe_raises"
    load_plugins([toy.plugin(tmp_path, name, "raise RuntimeError('out of ideas')")])
    plan = make_plan(suite(methods=["l1", name], bases=1))
    found = {one.labels.method: one for one in run_inline(plan, tmp_path)}
    assert found["l1"].status == "done"
    assert found[name].status == "failed"
    assert found[name].failure is not None
    assert "out of ideas" in found[name].failure.message
    page = text_of(write_report(plan, Store(tmp_path), tmp_path / "out").read_text())
    assert "1 of 2 trials are missing: 1 failed" in page


def test_more_images_than_there_are_takes_all(tmp_path: Path) -> None:
    plan = make_plan(suite(methods=["l1"], bases=1, fidelity={"units": 3, "images": None}))
    (record,) = run_inline(plan, tmp_path)
    assert record.fidelity is not None
    assert record.fidelity.images == 40


# --- what people see ------------------------------------------------------------------------------


def test_plan_and_status_speak_of_this_kind(finished: Path, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200, record=True)
    planning.show_plan(console, make_plan(suite()), Store(tmp_path), 1, Throughput())
    said = console.export_text()
    assert "oracles  2" in said
    assert "8 of 8" in said
    assert "over 2 bases per problem; it takes 3: nothing can be shown." in said
    status.show_status(console, make_plan(suite()), Store(finished))
    assert console.export_text().count("2/2") == 4


def test_metrics_in_mlflow_are_those_of_the_report(finished: Path) -> None:
    assert len(toy.trial_runs(finished)) == TRIALS
    for record in toy.records(finished):
        metrics = {name: value for name, value, _ in fields.metrics(record)}
        assert {f"fidelity/{name}" for name in STATISTICS} <= metrics.keys()
        assert fields.tags(record)["budget"] == "none"
        assert "b0" in fields.run_name(record) or "b1" in fields.run_name(record)
    trials = pd.read_csv(finished / "reports" / "probe" / "tables" / "trials.csv")
    for record in toy.records(finished):
        named = record.labels
        row = trials[(trials["method"] == named.method) & (trials["base"] == named.base)].iloc[0]
        metrics = {name: value for name, value, _ in fields.metrics(record)}
        for name in STATISTICS:
            assert row[name] == pytest.approx(metrics[f"fidelity/{name}"], nan_ok=True)


def test_summaries_in_mlflow_are_best_first(finished: Path) -> None:
    records = toy.records(finished)
    found = conclude(suite(), records, [one.labels for one in records]).summaries
    correlations = [one.points["fidelity/spearman", 0] for one in found]
    assert len(found) == len(suite().methods) > 1
    assert correlations == sorted(correlations, reverse=True)


def test_the_report_is_a_function_of_the_records(finished: Path, tmp_path: Path) -> None:
    plan = make_plan(suite())
    write_report(plan, Store(finished), tmp_path / "again")
    first = finished / "reports" / "probe"
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(files) == 2 + 3 + 4 * 4  # page and headline, tables, four figures
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (first / file).read_bytes(), file


def test_figures_are_asked_for_by_name(finished: Path, tmp_path: Path) -> None:
    plan = make_plan(suite())
    write_report(plan, Store(finished), tmp_path, figures=["regret"])
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"regret"}
    with pytest.raises(BenchError, match="no figure 'widths'; there are correlation, regret"):
        write_report(plan, Store(finished), tmp_path, figures=["widths"])


def test_tables_by_hand(finished: Path) -> None:
    folder = finished / "reports" / "probe"
    methods = pd.read_csv(folder / "tables" / "methods.csv").set_index("method")
    trials = pd.read_csv(folder / "tables" / "trials.csv")
    assert list(methods["complete"]) == [True] * 4
    for name in ("spearman", "regret_30_normalised"):
        means = trials.groupby("method")[name].mean()
        for method in methods.index:
            row = methods.loc[method]
            assert row[name] == pytest.approx(means[method])
            assert np.isnan([row[f"{name}_low"], row[f"{name}_high"]]).all()  # of two bases
    assert methods.loc["inverse", "spearman"] == pytest.approx(-methods.loc["l1", "spearman"])
    units = pd.read_csv(folder / "figures" / "truth-vgg_small-on-digits.csv")
    assert len(units) == TRIALS * 20
    assert units["predicted_rank"].between(0, 1).all()


def test_the_page_says_what_was_found_and_what_to_mistrust(finished: Path) -> None:
    page = (finished / "reports" / "probe" / "index.html").read_text()
    assert "has the highest ρ over all units (" in page
    assert "predicts best" not in page  # of two bases
    assert "Only 2 bases per problem: there are no intervals" in text_of(page)
    assert "8 of 8 finished" in page
    assert page.count('data-packed="packed-') == 4
    assert "{{" not in page


def test_one_base_has_no_intervals_and_says_so(finished: Path, tmp_path: Path) -> None:
    plan = make_plan(suite(bases=1))
    assert len(plan.records(Store(finished))) == 4  # the first base is shared with the other suite
    said = text_of(write_report(plan, Store(finished), tmp_path).read_text())
    assert "Only 1 base per problem: there are no intervals, and no criterion is shown to" in said
    assert "One base per problem, so no intervals" in said
    methods = pd.read_csv(tmp_path / "tables" / "methods.csv")
    assert methods["spearman_low"].isna().all()
    assert not math.isnan(methods["spearman"].iloc[0])


def test_groups_that_a_layer_norm_spans_are_named(tmp_path: Path) -> None:
    plan = make_plan(
        suite(models=["vit_small"], methods=["l1"], bases=1, fidelity={"units": 30, "images": 8})
    )
    (record,) = run_inline(plan, tmp_path)
    assert record.fidelity is not None, record.failure
    assert record.fidelity.spanned
    page = write_report(plan, Store(tmp_path), tmp_path / "out").read_text()
    assert f"spans the units of {', '.join(sorted(record.fidelity.spanned))}" in page
