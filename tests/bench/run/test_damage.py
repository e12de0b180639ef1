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
from inline_runs import go
from PIL import Image

from bench.plan.plan import Plan, make_plan
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


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("kind", KINDS)
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
    class Killed(BaseException):
        """As a machine dies."""

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


def test_the_command_says_what_it_set_aside(session: Path, tmp_path: Path) -> None:
    results = toy.prepared(session, tmp_path / "results")
    for kind in ("records", "bases", "paths", "scores"):
        shutil.copytree(toy.finished(session) / kind, results / kind)
    first, second, *_ = sorted((results / "records").glob("*.json"))
    first.write_bytes(one_value(first.read_bytes()))
    second.write_bytes(b"")
    done = toy.bench(
        "run", "--allow-untrained", toy.write_suite(tmp_path), "--results", results, "--workers", 1
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert toy.outcomes(results) == toy.outcomes(toy.finished(session))
    assert "2 to go" in done.stdout
    said = [line for line in done.stdout.splitlines() if line.startswith("damaged ")]
    assert len(said) == 2
    assert any(f"records/{first.name}: its content is not what" in line for line in said)
    assert any(f"records/{second.name}: it is empty" in line for line in said)


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def in_the_way(report: Path) -> None:
    """A folder where the page goes, a file where a folder goes, a pipe among the figures."""
    (report / "index.html").unlink()
    (report / "index.html").mkdir()
    shutil.rmtree(report / "tables")
    (report / "tables").write_bytes(b"")
    first = next((report / "figures").iterdir())
    first.unlink()
    os.mkfifo(first)


def test_a_damaged_report_and_a_damaged_mlflow_are_made_anew(session: Path, tmp_path: Path) -> None:
    results = toy.prepared(session, tmp_path / "results")
    shutil.copytree(toy.finished(session) / "records", results / "records")
    suite = toy.write_suite(tmp_path)

    def run() -> str:
        done = toy.bench("run", "--allow-untrained", suite, "--results", results, "--workers", 1)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "0 to go" in done.stdout
        return done.stdout

    run()
    whole, runs = all_bytes(results / "reports" / "toy"), toy.trial_runs(results)
    assert len(runs) == toy.TRIALS
    for spoil in (
        lambda: [one.write_bytes(b"") for one in (results / "reports" / "toy").rglob("*.*")],
        lambda: (results / "reports" / "toy" / "index.html").write_bytes(b"<html>"),
        lambda: shutil.rmtree(results / "reports" / "toy" / "tables"),
        lambda: (results / "reports" / "toy.json").write_bytes(b"{}"),
        lambda: in_the_way(results / "reports" / "toy"),
    ):
        spoil()
        run()
        assert all_bytes(results / "reports" / "toy") == whole
    for damage in (cut_short, lambda _: b"no database" * 100):
        file = results / "mlflow.db"
        file.write_bytes(damage(file.read_bytes()))
        assert "no whole database" in run()
        assert toy.trial_runs(results) == runs


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "toy"
