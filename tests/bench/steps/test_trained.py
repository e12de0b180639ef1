"""Methods that train, from the file to the record: what is stored, counted, resumed and refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import toy
from conftest import multiply
from inline_runs import Silent, go, measured
from torch import Tensor, nn

from bench.errors import Interrupted, PlanError
from bench.executors import make_executor
from bench.plan.jobs import PathJob, PreparedJob
from bench.plan.plan import Plan, make_plan
from bench.run.run import Run
from bench.seeds import seed
from bench.steps.paths import load_removed, path_file
from bench.steps.procedures import load_training
from bench.steps.workspace import Settings, Workspace
from bench.store import weights as checkpoint
from bench.store.sealed import read_json
from bench.store.store import Store
from bench.training.train import train
from criteria import load_plugin
from criteria.network.cut import cut, difference, refilled
from criteria.network.units import Units
from criteria.options import Options
from criteria.phases import PHASES, register_phase
from criteria.preparations.preparation import Preparation
from criteria.procedures import soft as soft_module
from criteria.procedures.procedure import Procedure, Removed
from criteria.training import Training
from reports.records import Record, frame
from suites.schema import Suite

IMAGES = 144  # of the toy suite's 160, those that are not validation
STOP: dict[str, int] = {}  # what is to die, after how many steps


class Killed(Interrupted):
    """As a machine dies: nobody catches it."""


class FadingOptions(Options):
    factor: float = 0.5


class Fading(Procedure):
    """Units fade by a factor a step, and are put to zero at the end."""

    options_type = FadingOptions
    follows: ClassVar[bool] = True

    def attach(self, training: Training) -> None:
        groups = self.ground.groups
        self.units = [Units(training.model, group) for group in groups]
        self.chosen = self.removed()

    def fade(self, factor: float) -> None:
        for units, gone in zip(self.units, self.chosen, strict=True):
            multiply(units, gone, factor)

    def after_step(self, step: int) -> None:
        self.fade(self.options.factor)
        if STOP.get("procedure") == step:
            raise Killed

    def at_end(self) -> None:
        self.fade(0.0)

    def removed(self) -> Removed:
        assert self.ground.doomed is not None
        return self.ground.doomed

    def notes(self) -> dict[str, float]:
        return {"factor": self.options.factor}


class Choosing(Fading):
    """The same, of units that it chooses itself after the first step."""

    follows: ClassVar[bool] = False

    def attach(self, training: Training) -> None:
        self.chosen = self.ground.nothing()
        self.model = training.model
        super().attach(training)

    def removed(self) -> Removed:
        return self.chosen

    def after_step(self, step: int) -> None:
        if step == 0:
            scores = self.ground.score(self.model, self.ground.nothing())
            self.chosen = self.ground.select(scores, self.ground.budget)
        super().after_step(step)

    def state_dict(self) -> dict[str, Any]:
        return {"chosen": self.chosen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.chosen = state["chosen"]


class Careless(Fading):
    """Forgets to put to zero what it removes."""

    def at_end(self) -> None:
        return


class More(Preparation):
    """Nothing but more training."""

    def after_step(self, step: int) -> None:
        if STOP.get("preparation") == step:
            raise Killed


@pytest.fixture(autouse=True, scope="module")
def known() -> Iterator[None]:
    """The phases of this file, for the time of its tests."""
    own = {
        "test-fading": Fading,
        "test-choosing": Choosing,
        "test-careless": Careless,
        "test-more": More,
    }
    for name, phase in own.items():
        register_phase(name, cite="nobody", faithful="a test")(phase)
    yield
    for catalog in PHASES.values():
        for name in own.keys() & catalog.by_name.keys():
            del catalog.by_name[name]


@pytest.fixture(autouse=True)
def nobody_dies() -> Iterator[None]:
    STOP.clear()
    yield
    STOP.clear()


def riding(name: str, **more: Any) -> dict[str, Any]:
    return {"criterion": "l1", "procedure": {"name": name, "recipe": "tiny", **more}}


METHODS: list[Any] = [
    "l1",
    {"criterion": "l1", "prepare": {"name": "test-more", "recipe": "tiny"}},
    riding("test-fading"),
    riding("test-choosing"),
    {"criterion": "l1", "iterative": {"steps": 2, "recover": "tiny"}},
    {
        "criterion": "l1",
        "iterative": {"steps": 2, "recover": "tiny", "recover_at": "budgets"},
        "as": "l1-2-at-budgets",
    },
]
NAMES = ["l1", "test-more+l1", "l1+test-fading", "l1+test-choosing", "l1-2", "l1-2-at-budgets"]
RECOVERIES: list[Any] = ["none", {"finetune": "tiny", "total_epochs": 5}]


def suite(**changes: Any) -> Suite:
    return toy.suite(**{"methods": METHODS, "recoveries": RECOVERIES, **changes})


@pytest.fixture(scope="module")
def plan(known: None) -> Plan:
    return make_plan(suite())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert go(folder, plan) == {"done": len(NAMES) * 2 * 2}
    return folder


def by_name(results: Path) -> dict[tuple[str, float, str], Record]:
    return {
        (one.labels.method, one.labels.budget or 0, one.labels.recovery): one
        for one in toy.records(results)
    }


def test_methods_are_named_by_their_phases(plan: Plan) -> None:
    assert plan.suite.method_names == NAMES


def test_a_procedure_stays_as_short_of_a_budget_as_groups_that_are_skipped(tmp_path: Path) -> None:
    """Both that which follows and that which chooses remove what a cut would, and no more."""
    wanted = [{**riding(name), "criterion": "fpgm"} for name in ("test-fading", "test-choosing")]
    short = suite(
        methods=[{"criterion": "fpgm", "as": "l1"}, *wanted],
        recoveries=["none"],
        budgets={"channels": [0.2]},
        selection={"protect": 0.0, "emptied": "skip"},
    )
    assert go(tmp_path, make_plan(short)) == {"done": 3}
    kept = {one.labels.method: measured(one).widths for one in toy.records(tmp_path)}
    left = [sum(now for now, _ in widths.values()) for widths in kept.values()]
    dense = sum(whole for _, whole in kept["l1"].values())
    assert min(left) > 0.25 * dense, "of all channels; a fifth was asked for"
    assert kept["l1"] == kept["fpgm+test-fading"]


def test_images_of_all_phases_are_counted(results: Path) -> None:
    records = by_name(results)
    expected: dict[str, dict[str, int]] = {
        "l1": {},
        "test-more+l1": {"prepare": IMAGES},
        "l1+test-fading": {"procedure": IMAGES},
        "l1+test-choosing": {"procedure": IMAGES},
        "l1-2": {"procedure": 3 * IMAGES},  # stops at 75, 70 and 50 %
        "l1-2-at-budgets": {"procedure": 2 * IMAGES},
    }
    for name, phases_ in expected.items():
        assert measured(records[name, 0.5, "none"]).phases == phases_
    assert measured(records["l1+test-fading", 0.5, "none"]).notes == {"factor": 0.5}


def test_equal_compute_leaves_the_rest_to_finetuning(results: Path) -> None:
    for (_, _, recovery), record in by_name(results).items():
        got = measured(record)
        spent = sum(got.phases.values()) + got.images_trained
        assert spent == (5 * IMAGES if recovery == "finetune-tiny-5" else sum(got.phases.values()))
    rows = frame(toy.records(results))
    finetuned = rows[rows["recovery"] == "finetune-tiny-5"]
    assert set(finetuned["images_trained"]) == {5 * IMAGES}


def test_all_meet_the_same_budget(results: Path) -> None:
    for record in toy.records(results):
        got = measured(record)
        assert -0.01 <= got.macs / got.dense_macs - (record.labels.budget or 0) <= 0


def test_the_dense_accuracy_is_that_of_the_base_whatever_prepared_it(results: Path) -> None:
    assert len({measured(one).dense.model_dump_json() for one in toy.records(results)}) == 1


def test_nothing_is_left_of_checkpoints(results: Path) -> None:
    assert not list((results / "checkpoints").glob("*")) or not (results / "checkpoints").exists()


def test_a_following_procedure_removes_what_the_criterion_chose_before(
    results: Path, plan: Plan
) -> None:
    workspace = Workspace(Settings(results, results))
    paths = {
        (one.labels.method, one.labels.budget): one.path
        for one in plan.trials
        if one.labels.recovery == "none"
    }

    def budgets(name: str, budget: float) -> Any:
        job = paths[name, budget]
        assert isinstance(job, PathJob)
        return read_json(workspace.store.path("paths", job.key, ".json"))["budgets"]

    assert budgets("l1+test-fading", 0.5) == {"0.5": budgets("l1", 0.5)["0.5"]}


def test_a_procedure_that_leaves_traces_fails_its_trials(tmp_path: Path) -> None:
    careless = make_plan(suite(methods=["l1", riding("test-careless", options={"factor": 0.9})]))
    assert go(tmp_path, careless) == {"done": 4, "failed": 4}
    reasons = {one.failure.message for one in toy.records(tmp_path) if one.failure}
    assert all("changes the outputs" in one for one in reasons)


def test_total_epochs_that_the_phases_have_used_up_are_said(tmp_path: Path) -> None:
    short = [{"finetune": "tiny", "total_epochs": 1}]
    plan = make_plan(suite(methods=["l1", METHODS[2]], recoveries=short, budgets={"macs": [0.5]}))
    assert go(tmp_path, plan) == {"done": 1, "infeasible": 1}
    (reason,) = [one.failure.message for one in toy.records(tmp_path) if one.failure]
    assert "taken 1.0 epochs" in reason


# --- killed and resumed ---------------------------------------------------------------------------


def killed(results: Path, plan: Plan) -> None:
    store = Store(results)
    executor = make_executor("inline", Settings(results, results), 1, None)
    with pytest.raises(Killed):
        Run(plan.pending(plan.records(store)), store, executor, Silent()).to_its_end()


@pytest.mark.parametrize(
    ("dies", "name"),
    [
        ("procedure", "l1+test-fading"),
        ("procedure", "l1+test-choosing"),
        ("preparation", "test-more+l1"),
    ],
)
def test_a_method_killed_in_the_middle_of_training_ends_bit_equal(
    results: Path, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str, name: str
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)
    only = plan.only([name])
    STOP[dies] = 2
    killed(tmp_path, only)
    assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 1
    STOP.clear()
    assert go(tmp_path, only) == {"done": 4}
    whole = {key: one for key, one in toy.outcomes(results).items() if key in keys(only)}
    assert toy.outcomes(tmp_path) == whole


def keys(plan: Plan) -> set[str]:
    return {trial.key for trial in plan.trials}


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (riding("test-fadin"), "'test-fadin'. Did you mean test-fading"),
        (riding("test-fading", options={"facto": 1.0}), "Did you mean factor"),
        (
            {**riding("test-choosing"), "iterative": {"steps": 2}},
            "`iterative` would mean nothing",
        ),
        (
            {**riding("test-choosing"), "criterion": "rgd"},
            "rgd picks sets",
        ),
        (
            {"criterion": "l1", "prepare": {"name": "test-fading", "recipe": "tiny"}},
            "test-fading is a procedure",
        ),
        (
            {**riding("decay", options={"rectify": {}}), "criterion": "rgd"},
            "decay scores on its way .* rgd picks sets",
        ),
    ],
)
def test_what_does_not_fit_is_refused_at_the_plan(method: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        make_plan(suite(methods=["l1", {**method, "as": "wrong"}]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": ["l1", riding("x")], "budgets": {"weights": [0.5]}}, "methods.1.procedure"),
        (
            {"methods": ["l1", {"criterion": "l1", "as": "x", "finetuning": "scratch"}],
             "recoveries": ["none"]},
            "none of the recoveries",
        ),
        ({"methods": ["l1", {**METHODS[4], **riding("x")}]}, "give one"),
        ({"recoveries": [{"kind": "none", "total_epochs": 3}]}, "may also give total_epochs"),
        (
            {"recipes": {"tiny": {"epochs": 1, "learning_rate": 0.1, "distill": {}}}},
            "distills from the base",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_the_schema(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        suite(**changes)


def test_prepared_bases_are_one_for_all_methods_on_them() -> None:
    prepare = {"name": "test-more", "recipe": "tiny"}
    plan = make_plan(
        suite(methods=["l1", *({"criterion": one, "prepare": prepare} for one in ("l1", "l2"))])
    )
    prepared = {id(one.at.base) for one in plan.trials if isinstance(one.at.base, PreparedJob)}
    assert len(prepared) == 1


def test_a_recipe_may_distill_from_the_base(tmp_path: Path) -> None:
    taught = {**toy.TOY["recipes"]["tiny"], "distill": {"weight": 0.9}}
    plan = make_plan(
        suite(
            methods=["l1"],
            budgets={"macs": [0.5]},
            recipes={**toy.TOY["recipes"], "taught": taught},
            recoveries=[{"finetune": "tiny"}, {"finetune": "taught"}],
        )
    )
    assert go(tmp_path, plan) == {"done": 2}
    losses = {
        one.labels.recovery: measured(one).history[-1].train_loss for one in toy.records(tmp_path)
    }
    assert losses["finetune-taught"] != losses["finetune-tiny"]


def test_a_preparation_may_distill_from_the_base_as_it_was_trained(tmp_path: Path) -> None:
    """OBC's sparse learning on ImageNet: the teacher is the base before it, and stays so."""
    taught = {**toy.TOY["recipes"]["tiny"], "epochs": 2, "distill": {"weight": 0.9}}
    prepared = {
        "criterion": "l1",
        "as": "prepared",
        "prepare": {"name": "dense", "recipe": "taught"},
    }
    plan = make_plan(
        suite(
            methods=["l1", prepared],
            budgets={"macs": [0.5]},
            recipes={**toy.TOY["recipes"], "taught": taught},
            recoveries=["none"],
        )
    )
    assert go(tmp_path, plan) == {"done": 2}
    job = plan.trials[-1].at.base
    assert isinstance(job, PreparedJob)
    assert job.prepare.recipe is not None
    workspace = Workspace(Settings(tmp_path, tmp_path))
    base, found = workspace.base(job.base), workspace.base(job)

    def by_hand(teacher: nn.Module) -> dict[str, Tensor]:
        model = copy.deepcopy(base.network.model)
        order = seed("prepare", **job.axes, repeat=job.repeat)
        train(model, base.data, job.prepare.recipe, order, teacher=teacher)
        return model.state_dict()

    stored = found.network.model.state_dict()
    before = base.network.model.state_dict()
    assert not same(stored, before)
    assert same(found.trained.state_dict(), before)
    assert same(stored, by_hand(base.network.model))
    assert not same(stored, by_hand(workspace.fresh_model(job.base, base.data).eval()))


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(one[name], tensor) for name, tensor in other.items())


# --- what a review has found ----------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["random", "taylor"])
def test_a_criterion_that_draws_or_looks_at_images_is_resumed_bit_equal_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, criterion: str
) -> None:
    """Scored at every epoch of soft pruning; killed in the third."""
    recipe = {**toy.TOY["recipes"]["tiny"], "epochs": 3}
    soft = {"criterion": criterion, "procedure": {"name": "soft", "recipe": "three"}}
    plan = make_plan(
        suite(
            methods=["l1", soft],
            recoveries=["none"],
            budgets={"macs": [0.5]},
            recipes={**toy.TOY["recipes"], "three": recipe},
        )
    ).only([f"{criterion}+soft"])
    whole, again = tmp_path / "whole", tmp_path / "again"
    assert go(whole, plan) == {"done": 1}
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)
    step = soft_module.Soft.after_backward

    def dying(self: Any, at: int) -> None:
        if at == 10:
            raise Killed
        step(self, at)

    monkeypatch.setattr(soft_module.Soft, "after_backward", dying)
    killed(again, plan)
    monkeypatch.setattr(soft_module.Soft, "after_backward", step)
    assert go(again, plan) == {"done": 1}
    assert toy.outcomes(again) == toy.outcomes(whole)


def test_a_checkpoint_of_another_base_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "at.pt"
    checkpoint.Checkpoint(path, "one base").save({"step": 3})
    assert checkpoint.Checkpoint(path, "one base").load() == {"step": 3}
    assert checkpoint.Checkpoint(path, "another").load() is None


def test_decay_in_one_step_is_the_cut(tmp_path: Path) -> None:
    """Nothing is trained, and the network is that of the method without a procedure."""
    decay = riding("decay", options={"steps": 1})
    plan = make_plan(
        suite(methods=["l1", decay], recoveries=["none", {"finetune": "tiny"}])
    )  # fmt: skip
    assert go(tmp_path, plan) == {"done": 8}
    records = by_name(tmp_path)
    for (name, budget, recovery), record in records.items():
        if name == "l1":
            other = measured(records["l1+decay", budget, recovery])
            assert other.phases == {}
            assert other.pruned == measured(record).pruned


def test_equivalent_pruning_after_a_procedure_has_something_to_learn_from(tmp_path: Path) -> None:
    plan = make_plan(
        suite(
            methods=["l1", {**riding("test-fading"), "finetuning": "equivalent"}],
            recoveries=[{"finetune": "tiny"}],
            budgets={"macs": [0.5]},
        )
    ).only(["l1+test-fading+equivalent"])
    assert go(tmp_path, plan) == {"done": 1}
    (trial,) = plan.trials
    workspace = Workspace(Settings(tmp_path, tmp_path))
    base = workspace.base(trial.at.base)
    sha256 = path_file(workspace, trial.path)["training"]["0.5"]["sha256"]
    network = load_training(trial.path, workspace, base, 0.5, sha256)
    removed = load_removed(workspace, trial.path, base, 0.5)
    assert isinstance(removed, list)
    groups = network.structure.groups
    filled = refilled(network.model, base.network.model, groups, removed)
    for group, gone in zip(groups, removed, strict=True):
        if len(gone):
            back, dense, pruned = (
                (units := Units(one, group)).rows(units.tensors())[gone]
                for one in (filled, base.network.model, network.model)
            )
            assert torch.equal(back, dense)
            assert not pruned.any()
    assert difference(network.cut(removed), cut(filled, groups, removed), network.inputs) == 0


def test_a_preset_keeps_its_options_for_its_own_criterion_alone() -> None:
    chosen = suite(methods=["l1", "tpp", {"preset": "tpp", "criterion": "jacobian", "as": "mine"}])
    _, tpp, mine = chosen.methods
    assert tpp.options
    assert mine.options == {}
    assert mine.procedure == tpp.procedure


def test_the_phase_of_the_documentation_runs(tmp_path: Path) -> None:
    text = (toy.CHECKOUT / "docs" / "training.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    plugin = tmp_path / "bn.py"
    plugin.write_text(code)
    load_plugin(plugin)
    method = {"criterion": "l1", "prepare": {"name": "bn_l2", "recipe": "tiny"}}
    plan = make_plan(suite(methods=["l1", method], recoveries=["none"]))
    assert go(tmp_path / "results", plan.only(["bn_l2+l1"])) == {"done": 2}


@pytest.mark.parametrize(
    ("method", "changes", "words"),
    [
        (riding("test-choosing"), {"selection": {"round_to": 4}}, "chooses single units"),
        (
            {"criterion": "l1", "procedure": {"name": "gates", "recipe": "short"}},
            {},
            "rhythm of its own",
        ),
    ],
)
def test_settings_that_a_procedure_would_ignore_are_refused(
    method: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        make_plan(suite(methods=["l1", method], **changes))
