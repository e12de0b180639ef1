"""Whatever is damaged under `results/`: it is set aside, said, and the results are the same.

Every kind of file that a number can depend on, and every kind of damage: cut short, emptied, one
bit flipped, one value edited, put in the place of another. Then the same plan is run again.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture
from inline_runs import go
from PIL import Image

from bench.errors import Interrupted
from bench.plan.plan import Plan, make_plan
from bench.run.reporting import report_holds, write_own_report
from bench.store import weights as checkpoints
from bench.store.store import Store
from suites.fidelity import FidelitySuite


def draw_images(root: Path) -> None:
    """Two classes of 12x12 noise, the one darker than the other."""
    noise = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 10)):
        for name, most in (("cat", 100), ("dog", 255)):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(most, size=(12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")


@cache
def plans(images: Path) -> dict[str, Plan]:
    """Suites whose runs leave every kind of file."""
    folder = {"datasets": [{"name": "imagefolder", "root": str(images)}]}
    small: dict[str, Any] = {**folder, "recoveries": ["none"], "budgets": {"macs": [0.5]}}
    soft = {"name": "soft", "recipe": "tiny"}
    sparse = {"name": "group_sparsity", "recipe": "tiny"}
    return {
        "channels": make_plan(toy.suite(**small, methods=["l1", "taylor"])),
        "training": make_plan(
            toy.suite(
                **small,
                analysis={"control": "soft"},
                methods=[
                    {"criterion": "l1", "as": "soft", "procedure": soft},
                    {"criterion": "l1", "as": "sparse", "prepare": sparse},
                ],
            )
        ),
        "weights": make_plan(
            toy.suite(**small | {"budgets": {"weights": [0.5]}}, methods=["l1", "taylor"])
        ),
        "fidelity": make_plan(
            FidelitySuite.model_validate(
                {
                    **{k: v for k, v in toy.content(**folder).items() if k in _SHARED},
                    "kind": "fidelity",
                    "methods": ["l1", "taylor"],
                    "fidelity": {"units": 6, "images": 10},
                }
            )
        ),
    }


_SHARED = ("suite", "datasets", "models", "bases", "base_recipe", "recipes", "calibration")


# --- damage ---------------------------------------------------------------------------------------

Damage = Callable[[bytes], bytes]


def cut_short(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def emptied(_: bytes) -> bytes:
    return b""


def one_bit(whole: bytes) -> bytes:
    return whole[:-200] + bytes([whole[-200] ^ 1]) + whole[-199:]


def one_value(whole: bytes) -> bytes:
    """Another last digit of JSON's last number; of other files, another byte in the middle."""
    place = [found.start() for found in re.finditer(rb"\d(?=[,\n\]])", whole[:-90])]
    at = place[-1] if place else len(whole) // 2
    return (
        whole[:at] + bytes([whole[at] - 1 if whole[at] == 57 else whole[at] + 1]) + whole[at + 1 :]
    )


def nothing(_: bytes) -> bytes:
    return b"null"


def a_list(_: bytes) -> bytes:
    return b"[]"


DAMAGES: list[Damage] = [cut_short, emptied, one_bit, one_value, nothing, a_list]
SEAL: list[Damage] = [cut_short, one_value]  # what each kind is told by

# What is damaged -> the suite whose run depends on it.
KINDS = {
    "records/*.json": "channels",
    "bases/*.json": "training",
    "bases/*.pt": "training",
    "scores/*.npz": "channels",
    "paths/*.json": "channels",
    "paths/*.pt": "training",
    "paths/*.npz": "weights",
    "oracle/*.json": "fidelity",
    "images/*.npy": "channels",
    "images/*.json": "channels",
}


EVERY_FORMAT = ("records/*.json", "paths/*.pt", "scores/*.npz", "images/*.npy")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pets")
    draw_images(root)
    return root


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Results of every suite."""
    found = {}
    for name, plan in plans(images).items():
        found[name] = tmp_path_factory.mktemp(name)
        assert set(go(found[name], plan)) == {"done"}, name
    return found


def test_every_kind_of_file_is_there(undisturbed: dict[str, Path]) -> None:
    there = {
        f"{file.parent.name}/*{file.suffix}"
        for results in undisturbed.values()
        for file in results.glob("*/*.*")
    }
    assert there == set(KINDS)


def forget_what_hides(kind: str, results: Path) -> None:
    """Take away what is made of such files, so that they are asked for."""
    if kind != "records/*.json":
        shutil.rmtree(results / "records")
    if kind == "scores/*.npz":
        shutil.rmtree(results / "paths")


# Every damage of a file of every format, and of every kind of file those that its seal tells.
@pytest.mark.parametrize(
    ("kind", "damage"),
    [(kind, damage) for kind in KINDS for damage in (DAMAGES if kind in EVERY_FORMAT else SEAL)],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_damage_is_set_aside_and_the_results_are_those_of_an_undisturbed_run(
    images: Path, undisturbed: dict[str, Path], tmp_path: Path, kind: str, damage: Damage
) -> None:
    suite = KINDS[kind]
    plan, whole = plans(images)[suite], undisturbed[suite]
    results = Path(shutil.copytree(whole, tmp_path / "results"))
    files = sorted(results.glob(kind))
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    forget_what_hides(kind, results)
    assert set(go(results, plan)) == {"done"}
    assert toy.outcomes(results) == toy.outcomes(whole)
    aside = {file.name for file in (results / "damaged").iterdir()} - {"log.txt"}
    lines = {line.split(":")[0].replace("/", "-") for line in Store(results).set_aside_so_far()}
    names = {f"{file.parent.name}-{file.name}" for file in files}
    # A prepared base is not looked at where the base is gone that it stands on.
    assert aside == lines == names or (kind == "bases/*.pt" and aside == lines < names)
    assert sorted(results.glob(kind)) == files  # made anew


@pytest.mark.parametrize("kind", [one for one in KINDS if one != "images/*.npy"])
def test_a_file_in_the_place_of_another_of_its_kind_counts_as_damaged(
    images: Path, undisturbed: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    suite = KINDS[kind]
    plan, whole = plans(images)[suite], undisturbed[suite]
    results = Path(shutil.copytree(whole, tmp_path / "results"))
    first, *others = sorted(results.glob(kind))
    for file in others:
        shutil.copy(first, file)
    forget_what_hides(kind, results)
    go(results, plan)
    assert toy.outcomes(results) == toy.outcomes(whole)
    assert len(Store(results).set_aside_so_far()) == len(others)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_of_a_training_starts_it_anew(
    images: Path,
    undisturbed: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Damage,
) -> None:
    class Killed(Interrupted):
        """As a machine dies: no job's own fault."""

    plan = plans(images)["training"]
    saved = checkpoints.Checkpoint.save

    def save_and_die(self: checkpoints.Checkpoint, state: Any) -> None:
        saved(self, state)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "EVERY_S", 0.0)
        patch.setattr(checkpoints.Checkpoint, "save", save_and_die)
        with pytest.raises(Killed):
            go(tmp_path, plan)
    (file,) = (tmp_path / "checkpoints").glob("*.pt")
    file.write_bytes(damage(file.read_bytes()))
    assert set(go(tmp_path, plan)) == {"done"}
    assert toy.outcomes(tmp_path) == toy.outcomes(undisturbed["training"])
    (line,) = Store(tmp_path).set_aside_so_far()
    assert line.startswith("checkpoints/")


@pytest.mark.usefixtures("inkless")
def test_the_command_says_what_it_set_aside(bench: Command, session: Path, tmp_path: Path) -> None:
    results = toy.copied(session, tmp_path / "results")
    first, second, *_ = sorted((results / "records").glob("*.json"))
    first.write_bytes(one_value(first.read_bytes()))
    second.write_bytes(b"")
    given = (toy.write_suite(tmp_path), "--results", results, "--executor", "inline")
    done = bench("run", "--allow-untrained", *given)
    assert done.code == 0, done.out + done.err
    assert toy.outcomes(results) == toy.outcomes(toy.finished(session))
    assert "2 to go" in done.out
    said = [line for line in done.out.splitlines() if line.startswith("damaged ")]
    assert len(said) == 2
    assert any(f"records/{first.name}: its content is not what" in line for line in said)
    assert any(f"records/{second.name}: it is empty" in line for line in said)


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def spoilt(report: Path) -> None:
    """Files of a report that are empty or other, or gone with their folder."""
    for one in (report / "figures").iterdir():
        one.write_bytes(b"")
    (report / "index.html").write_bytes(b"<html>")
    shutil.rmtree(report / "tables")
    report.with_suffix(".json").write_bytes(b"{}")


def in_the_way(report: Path) -> None:
    """A folder where the page goes, a file where a folder goes, a pipe among the figures."""
    (report / "index.html").unlink()
    (report / "index.html").mkdir()
    shutil.rmtree(report / "tables")
    (report / "tables").write_bytes(b"")
    first = next((report / "figures").iterdir())
    first.unlink()
    os.mkfifo(first)


@pytest.mark.parametrize("damage", [spoilt, in_the_way])
@pytest.mark.usefixtures("inkless")
def test_a_damaged_report_is_made_anew(
    bench: Command, session: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    results = toy.copied(session, tmp_path / "results")
    plan, store, report = make_plan(toy.suite()), Store(results), results / "reports" / "toy"
    records = plan.records(store)
    write_own_report(plan, store, records)
    assert report_holds(plan, store, records)
    whole = all_bytes(report)
    damage(report)
    given = (toy.write_suite(tmp_path), "--results", results, "--executor", "inline")
    done = bench("run", "--allow-untrained", *given)
    assert done.code == 0, done.out + done.err
    assert "0 to go" in done.out
    assert all_bytes(report) == whole


@pytest.mark.usefixtures("inkless")
def test_a_damaged_mlflow_is_made_anew(bench: Command, session: Path, tmp_path: Path) -> None:
    results = toy.copied(session, tmp_path / "results")
    file = results / "mlflow.db"
    file.write_bytes(cut_short(file.read_bytes()))
    given = (toy.write_suite(tmp_path), "--results", results, "--executor", "inline")
    done = bench("run", "--allow-untrained", *given)
    assert done.code == 0, done.out + done.err
    assert "no whole database" in done.out
    assert toy.trial_runs(results) == sorted(toy.outcomes(results))
