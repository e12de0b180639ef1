"""The command: a fault is one message and an exit code; the first line comes before torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from command_line import Command
from command_line import bench as bench  # the fixture
from rich.console import Console

from bench.command.status import show_status
from bench.models import build_model
from bench.plan.plan import make_plan
from bench.steps.record import failed_record, failure
from bench.store.store import Store
from criteria import registry
from suites import library, named_recipes
from suites.method import named_presets
from suites.problem import ModelSpec


@pytest.fixture
def finished(session: Path) -> Path:
    return toy.finished(session)


@pytest.fixture
def half(session: Path, tmp_path: Path) -> Path:
    """A results folder with every other record of the toy suite, no report and an empty MLflow."""
    results = toy.copied(session, tmp_path / "half")
    shutil.rmtree(results / "reports")
    for record in sorted((results / "records").iterdir())[::2]:
        record.unlink()
    return results


# --- faults of the input --------------------------------------------------------------------------


def checkpoint(folder: Path, content: Any) -> list[dict[str, Any]]:
    path = folder / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    return [{"name": "vgg_small", "checkpoint": str(path)}]


def other_model(folder: Path) -> list[dict[str, Any]]:
    spec = ModelSpec(name="resnet20")
    model = build_model(spec, classes=10, channels=1, image_size=8, seed=0)
    return checkpoint(folder, model.state_dict())


def of_other_width(folder: Path) -> list[dict[str, Any]]:
    spec = ModelSpec(name="vgg_small", options={"width": 4})
    model = build_model(spec, classes=10, channels=1, image_size=8, seed=0)
    return checkpoint(folder, model.state_dict())


def pipe(folder: Path) -> dict[str, Any]:
    os.mkfifo(folder / "pipe.pt")
    return {"models": [{"name": "vgg_small", "checkpoint": str(folder / "pipe.pt")}]}


Changes = Callable[[Path], dict[str, Any]]
FAULTS: dict[str, tuple[Changes, list[str], list[str]]] = {
    "unknown key": (
        lambda _: {"metods": []},
        [],
        ["toy.yaml", "'metods'", "did you mean methods"],
    ),
    "unknown criterion": (lambda _: {"methods": ["l1", "tailor"]}, [], ["tailor", "taylor"]),
    "unknown option": (
        lambda _: {"methods": ["l1", {"criterion": "l2", "options": {"x": 1}}]},
        [],
        ["method l2", "'x'", "normalizer"],
    ),
    "unknown dataset": (lambda _: {"datasets": ["digit"]}, [], ["digit", "did you mean digits"]),
    "unknown model": (lambda _: {"models": ["resnet21"]}, [], ["resnet21", "resnet20"]),
    "unknown model of torchvision": (
        lambda _: {"models": ["torchvision:resnet19"]},
        [],
        ["resnet19", "torchvision:resnet18"],
    ),
    "unknown option of a model": (
        lambda _: {"models": [{"name": "vgg_small", "options": {"widht": 3}}]},
        [],
        ["vgg_small", "'widht'", "width"],
    ),
    "missing data": (lambda _: {"datasets": ["cifar10"]}, [], ["cifar", "data", "bench fetch"]),
    "too few images": (
        lambda _: {"datasets": [{"name": "digits", "train_images": 10**6}]},
        [],
        ["digits", "train_images", "1000000"],
    ),
    "infeasible budget": (
        lambda _: {"budgets": {"macs": [0.5, 0.001]}},
        [],
        ["budgets.macs", "0.001", "out of reach", "vgg_small on digits", "selection.protect"],
    ),
    "unknown layer to keep": (
        lambda _: {"selection": {"layers": {"layer4": 0.5}}},
        [],
        ["vgg_small on digits", "selection.layers.layer4", "features.0"],
    ),
    "missing checkpoint": (
        lambda folder: {"models": [{"name": "vgg_small", "checkpoint": str(folder / "no.pt")}]},
        [],
        ["vgg_small", "no.pt", "No such file"],
    ),
    "a checkpoint of noise": (
        lambda folder: {"models": checkpoint(folder, b"noise")},
        [],
        ["weights.pt", "checkpoint"],
    ),
    "a checkpoint of another model": (
        lambda folder: {"models": other_model(folder)},
        [],
        ["weights.pt", "does not fit the model"],
    ),
    "a checkpoint of another width": (
        lambda folder: {"models": of_other_width(folder)},
        [],
        ["weights.pt", "other shapes"],
    ),
    "a checkpoint of numbered tensors": (
        lambda folder: {"models": checkpoint(folder, {0: torch.zeros(3)})},
        [],
        ["weights.pt", "holds no state dict"],
    ),
    "a pipe as checkpoint": (pipe, [], ["vgg_small", "pipe.pt", "no file"]),
    "a shard of any number of digits": (lambda _: {}, ["--shard", f"1/{'9' * 5000}"], ["3/64"]),
    "a key that leads too deep": (lambda _: {}, ["--set", f"{'a.' * 5000}=1"], ["40 levels"]),
    "unknown method": (lambda _: {}, ["--methods", "l1,tailor"], ["--methods", "tailor", "taylor"]),
    "no shard": (lambda _: {}, ["--shard", "4/3"], ["--shard 4/3", "3/64"]),
    "unknown executor": (
        lambda _: {},
        ["--executor", "slrum"],
        ["slrum", "slurm", "local"],
    ),
    "an option of another executor": (
        lambda _: {},
        ["--slurm", "partition=gpu"],
        ["--slurm partition=gpu", "--executor slurm"],
    ),
    "unknown option of slurm": (
        lambda _: {},
        ["--executor", "slurm", "--slurm", "partion=gpu"],
        ["--slurm partion=gpu", "did you mean partition?"],
    ),
    "no minutes": (
        lambda _: {},
        ["--executor", "slurm", "--slurm", "time=1-00:00:00"],
        ["--slurm time=1-00:00:00", "time=a whole number"],
    ),
    "no slurm here": (lambda _: {}, ["--executor", "slurm"], ["srun", "--slurm cluster=local"]),
    "a time-out of one process": (
        lambda _: {},
        ["--executor", "inline", "--timeout", "9"],
        ["--timeout", "inline"],
    ),
    "bad override": (lambda _: {}, ["--set", "bases"], ["--set bases", "key=value"]),
    "unknown override": (
        lambda _: {},
        ["--set", "basis=1"],
        ["--set basis=1: ", "'basis'", "mean bases"],
    ),
    "missing plugin": (lambda _: {}, ["--plugin", "no.py"], ["no.py", "no such file"]),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_is_one_message_before_anything_runs(
    bench: Command, tmp_path: Path, fault: str
) -> None:
    changes, arguments, said = FAULTS[fault]
    path = toy.write_suite(tmp_path, **changes(tmp_path))
    results = tmp_path / "results"
    done = bench("run", path, "--results", results, "--workers", 1, *arguments)
    assert done.code == 2, done
    for part in said:
        assert part in done.err
    assert done.err.count("error:") == 1
    assert len(done.err.strip().splitlines()) == 1
    assert "Traceback" not in done.out + done.err
    assert not list(results.glob("*/*.json"))  # nothing has been trained or recorded


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 1\n", "registers no criterion"),
        ("x = 1\nx = = 2\n", "line 2: SyntaxError"),
        ("import torch\n\nraise KeyError('mine')\n", "line 3: KeyError: 'mine'"),
        ("from criteria import nothing_such\n", "ImportError"),
        (
            "from criteria import Criterion, register\n"
            "@register('l1', cite='', faithful='')\nclass Mine(Criterion): ...\n",
            "'l1' is taken",
        ),
    ],
)
@pytest.mark.parametrize("command", [["run", "quickstart"], ["list", "criteria"]])
def test_a_plugin_that_cannot_be_loaded_is_one_message(
    bench: Command, tmp_path: Path, content: str, said: str, command: list[str]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(content)
    done = bench(*command, "--plugin", path)
    assert done.code == 2
    assert str(path) in done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.err.count("error:") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "quikstart"], "did you mean quickstart"),
        (["run", "none.yaml"], "none.yaml"),
        (["list", "critera"], "criteria, preparations, procedures"),
        (["report", "quickstart"], "no records"),
        (["run"], "Missing argument"),
        (["rnu"], "No such command"),
        (["run", "quickstart", "--wrokers", "2"], "--workers"),
        (["run", "quickstart", "--workers", "0"], "--workers"),
        (["plan", "quickstart", "--scales", "--smoke"], "leave --scale and --smoke out"),
    ],
)
def test_wrong_words_are_told(bench: Command, arguments: list[str], said: str) -> None:
    done = bench(*arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_results_that_cannot_be_written_are_an_error_of_their_own(
    bench: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    path = toy.write_suite(tmp_path)
    for results in ("file", "file/inside"):
        done = bench("run", path, "--results", results)
        assert done.code == 74
        assert done.err.count("error:") == 1
        assert "Traceback" not in done.err


def test_a_description_is_shown_as_it_is_written(bench: Command, tmp_path: Path) -> None:
    path = toy.write_suite(tmp_path, description="[/nope] and [bold]b[/bold]")
    assert "[/nope] and [bold]b[/bold]" in bench("plan", path).out


@pytest.mark.parametrize("ends", ["sys.exit(0)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_a_criterion_that_ends_whatever_runs_it_does_not_pass(
    bench: Command, tmp_path: Path, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.CATALOG, "by_name", dict(registry.CATALOG.by_name))
    done = bench("check", "--plugin", toy.plugin(tmp_path, "ender", ends))
    assert done.code == 2
    assert "error: ender ends whatever runs it" in done.err
    path = tmp_path / "while_it_loads.py"
    path.write_text(f"import sys\n{ends}\n")
    done = bench("list", "criteria", "--plugin", path)
    assert done.code == 2
    assert "while_it_loads.py, line 2: " in done.err


def test_a_message_is_not_taken_for_markup(bench: Command, tmp_path: Path) -> None:
    done = bench("run", tmp_path / "[red]no[/].yaml")
    assert "[red]no[/].yaml" in done.err


def test_the_real_process_ends_like_that_too(tmp_path: Path) -> None:
    done = toy.bench("run", toy.write_suite(tmp_path, methods=["l1", "tailor"]))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


# --- what it shows --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("criteria", ["taylor", "l1", "fpgm"]),
        ("suites", list(library())),
        ("models", ["resnet20", "torchvision:NAME"]),
        ("datasets", ["digits", "cifar10"]),
        ("recipes", ["base-digits", "short"]),
    ],
)
def test_lists(bench: Command, what: str, said: list[str]) -> None:
    done = bench("list", what)
    assert done.code == 0
    for part in said:
        assert part in done.out


def test_criteria_are_a_line_each_and_one_is_told_whole(bench: Command) -> None:
    lines = bench("list", "criteria").out.splitlines()
    assert lines[0].split("  ")[0] == "criterion"
    assert "scores" in lines[0]
    assert len(lines) < 60  # one a criterion, not five
    assert "Molchanov" in bench("list", "criteria", "taylor").out
    assert "Scratch-E" in bench("list", "recoveries", "scratch").out
    whole = bench("list", "procedures", "tpp").out
    assert "update_every = 10 (int): steps" in whole
    assert "scheme = v5 (v5 | v5_2): " in whole
    assert "variant = squared (squared | absolute" in bench("list", "criteria", "taylor").out
    wrong = bench("list", "suites", "quickstart")
    assert wrong.code == 2
    assert "a name may follow criteria" in wrong.err


def test_a_preset_is_told_whole(bench: Command) -> None:
    told = bench("list", "presets", "oba-iterative").out
    for key, value in named_presets()["oba-iterative"].items():
        assert f"{key}: " in told
        assert str(value["steps"] if key == "iterative" else value) in told
    recipe = named_recipes()["between"]
    assert f"between: {{epochs: {recipe.epochs}" in told
    assert f"learning_rate: {recipe.learning_rate}" in told
    wrong = bench("list", "presets", "oba-iterativ")
    assert wrong.code == 2
    assert "did you mean oba-iterative" in wrong.err


def test_equal_reasons_are_one_line_of_the_status(tmp_path: Path) -> None:
    suite = toy.suite(budgets={"macs": [0.7, 0.5]}, recoveries=["none"], methods=["l1"])
    plan = make_plan(suite)
    store, console = Store(tmp_path), Console(record=True, width=160)
    for trial in plan.trials:
        store.write_record(failed_record(trial, failure(ValueError("no"))))
    show_status(console, plan, store)
    said = console.export_text()
    assert said.count("ValueError: no") == 1
    assert "failed: 2 trials, as " in said


def test_both_names_of_a_scale_must_agree(bench: Command, tmp_path: Path) -> None:
    path = toy.write_suite(tmp_path)
    smoke = bench("plan", path, "--smoke").out
    assert "toy-smoke" in smoke
    assert "toy-smoke  A smaller version of a suite (scale smoke), of vgg_small on digits." in smoke
    assert "its numbers mean nothing" in smoke
    assert "toy-smoke" in bench("plan", path, "--scale", "smoke", "--smoke").out
    wrong = bench("plan", path, "--scale", "paper", "--smoke")
    assert wrong.code == 2
    assert "--scale smoke" in wrong.err
    both = bench("plan", path, "--scales").out
    assert "as it stands" in both
    assert "toy-smoke" not in both  # one head for all of them
    assert "smoke" in both


def test_a_plan_says_whether_bases_share_a_split(bench: Command, tmp_path: Path) -> None:
    path = toy.write_suite(tmp_path)
    assert "split: drawn anew for each base\n" in bench("plan", path).out
    assert "split: the same for all bases\n" in bench("plan", path, "--set", "splits=fixed").out
    wrong = bench("plan", path, "--set", "splits=per-base")
    assert wrong.code == 2
    assert "splits = 'per-base': Input should be 'per_base' or 'fixed'" in wrong.err


def test_a_misspelt_criterion_does_not_hide_behind_the_control(
    bench: Command, tmp_path: Path
) -> None:
    path = toy.write_suite(tmp_path, methods=["tailor"], analysis={"control": "taylor"})
    done = bench("plan", path)
    assert done.code == 2
    assert "'taylor' is none" in done.err
    assert "'tailor'. Did you mean taylor" in done.err


def rows(out: str) -> dict[str, str]:
    return {line.split()[0]: line for line in out.splitlines() if line.strip()}


# The figures of this toy are flat; that they warn of it is for the tests of the reports.
@pytest.mark.filterwarnings("ignore:Attempting to set identical")
@pytest.mark.usefixtures("inkless")
def test_a_half_finished_suite_is_shown_as_it_is(
    bench: Command, half: Path, tmp_path: Path
) -> None:
    path = toy.write_suite(tmp_path)
    there = toy.count(half)
    assert 0 < there < toy.TRIALS

    status = bench("status", path, "--results", half)
    assert status.code == 0
    shown = rows(status.out)
    done = [shown[name].split()[1] for name in ("random", "l1", "taylor", "l1~taylor", "l2-2")]
    assert all(one.endswith("/4") for one in done)
    assert sum(int(one.removesuffix("/4")) for one in done) == there

    plan = bench("plan", path, "--results", half)
    assert plan.code == 0
    assert f"{toy.TRIALS - there} of {toy.TRIALS}" in rows(plan.out)["trials"]
    assert rows(plan.out)["bases"].split()[1] == "0"
    assert "time: about" in plan.out

    asked = ["--out", tmp_path / "page", "--figures", "widths,accuracy"]
    report = bench("report", path, "--results", half, *asked)
    assert report.code == 0, report.err
    assert "the figure accuracy" in report.out
    assert (tmp_path / "page" / "index.html").exists()
    assert toy.count(half) == there  # looking changes nothing


def test_a_plan_of_the_control_alone_says_what_it_can_show(bench: Command, tmp_path: Path) -> None:
    path = toy.write_suite(tmp_path, methods=["l1"])
    done = bench("plan", path, "--results", tmp_path / "none")
    assert done.code == 0, done.err
    assert "on these problems, against the" in done.out


def test_a_plan_on_nothing_keeps_the_sizes_of_networks_alone(
    bench: Command, tmp_path: Path
) -> None:
    results = tmp_path / "none"
    done = bench("plan", toy.write_suite(tmp_path), "--results", results)
    assert done.code == 0
    assert "20 of 20" in rows(done.out)["trials"]
    assert "known after a few trials" in done.out
    bench("status", toy.write_suite(tmp_path), "--results", results)
    assert [one.name for one in results.iterdir()] == ["sizes"]


def test_sync_rebuilds_mlflow_from_records(bench: Command, half: Path, tmp_path: Path) -> None:
    path = toy.write_suite(tmp_path)
    keys = sorted(toy.outcomes(half))
    assert toy.trial_runs(half) == []
    first = bench("sync", path, "--results", half)
    assert first.code == 0, first.err
    assert f"{len(keys)} of {len(keys)} trials were missing" in first.out
    assert toy.trial_runs(half) == keys
    again = bench("sync", path, "--results", half)
    assert f"0 of {len(keys)}" in again.out
    assert toy.trial_runs(half) == keys


def test_a_finished_suite_has_nothing_to_do(bench: Command, finished: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "records").iterdir()}
    done = bench("run", toy.write_suite(tmp_path), "--results", finished)
    assert done.code == 0
    assert f"{toy.TRIALS} finished before, 0 to go" in done.out
    assert "index.html" in done.out
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "records").iterdir()}
    assert toy.trial_runs(finished) == sorted(toy.outcomes(finished))
    for wrong in (["--executor", "bogus"], ["--slurm", "time=soon"], ["--slurm", "time=9"]):
        done = bench("run", tmp_path / "toy.yaml", "--results", finished, *wrong)
        assert (done.code, wrong[0] in done.err) == (2, True), done.err


# --- the first second -----------------------------------------------------------------------------

HEAVY = ("torch", "pandas", "mlflow", "matplotlib", "scipy", "sklearn", "torchvision")

LOADED = f"""
import sys
sys.argv = ["bench", *sys.argv[1:]]
from bench.command.cli import main
try:
    main()
except SystemExit:
    pass
print("LOADED", *[name for name in {HEAVY!r} if name in sys.modules])
"""


def loaded(*arguments: str) -> set[str]:
    """What is loaded by a command line."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        capture_output=True,
        text=True,
        env=toy.environment(),
        timeout=toy.PATIENCE,
        check=True,
    )
    said, *names = done.stdout.splitlines()[-1].split()
    assert said == "LOADED"
    return set(names)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["list", "suites"], ["list", "recipes"], ["run", "quikstart"]],
)
def test_nothing_heavy_is_loaded_for_a_first_look(arguments: list[str]) -> None:
    assert not loaded(*arguments)


def test_only_a_first_plan_builds_networks(tmp_path: Path) -> None:
    planned = ("plan", "quickstart", "--set", "bases=1", "--results", str(tmp_path))
    assert "torch" in loaded(*planned)
    assert loaded(*planned) == {"scipy"}  # the distributions that power follows from


def test_a_comparison_loads_what_counts_and_no_network(finished: Path) -> None:
    compared = ("compare", "l2", "l1", "--suite", "toy", "--results", str(finished))
    assert loaded(*compared) == {"pandas", "scipy"}


FIRST = """
import builtins, io, sys
class Watched(io.StringIO):
    def write(self, text):
        if text.strip():
            sys.stderr.write("FIRST " + text.strip().splitlines()[0] + "|" +
                             ",".join(m for m in ("torch", "mlflow") if m in sys.modules) + "\\n")
            sys.stderr.flush()
            import os; os._exit(0)
        return len(text)
sys.stdout = Watched()
sys.argv = ["bench", *sys.argv[1:]]
from bench.command.cli import main
main()
"""


def test_a_run_says_what_it_is_before_torch_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST, "run", "quickstart"],
        capture_output=True,
        text=True,
        env=toy.environment(),
        timeout=toy.PATIENCE,
        check=False,
    )
    first, _, loaded = done.stderr.strip().partition("|")
    assert first.startswith("FIRST quickstart")
    assert loaded == ""
