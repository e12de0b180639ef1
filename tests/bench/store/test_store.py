"""The results folder: a record is whole or not there, and one run at a time writes."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.errors import StoreError
from bench.store.sealed import (
    read_arrays,
    read_json,
    read_sealed,
    wanted,
    write_arrays,
    write_atomically,
    write_json,
    write_sealed,
)
from bench.store.store import Store
from reports.records import SCHEMA_VERSION, Accuracy, Failure, Labels, Record, content_key
from reports.seal import seal_json


def record(number: int = 0, **changes: Any) -> Record:
    identity = {"number": number}
    labels = Labels(
        suite="toy",
        dataset="digits",
        model="vgg_small",
        method="l1",
        recovery="none",
        cost="macs",
        budget=0.5,
        base=0,
        repeat=0,
    )
    found = Record(
        key=content_key(identity),
        identity=identity,
        labels=labels,
        status="failed",
        failure=Failure(kind="Oops", message="ü · [red]", traceback="…"),
        provenance={},
    )
    return found.model_copy(update=changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_a_record_comes_back_as_it_was_written(store: Store) -> None:
    store.write_record(record())
    assert store.record(record().key) == record()
    assert store.record("f" * 64) is None


def test_writing_again_replaces_the_whole(store: Store) -> None:
    path = store.root / "deep" / "file"
    write_atomically(path, b"a long first content")
    write_atomically(path, b"short")
    assert path.read_bytes() == b"short"
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def no_space(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


STEPS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "making the folder": lambda patch: patch.setattr(Path, "mkdir", no_space),
    "making the file": lambda patch: patch.setattr(
        "bench.store.sealed.tempfile.TemporaryDirectory", no_space
    ),
    "fsync": lambda patch: patch.setattr("bench.store.sealed.os.fsync", no_space),
    "renaming": lambda patch: patch.setattr(Path, "replace", no_space),
}


@pytest.mark.parametrize("step", list(STEPS))
def test_a_failing_write_leaves_the_old_file_and_no_half_of_the_new(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store.write_record(record(1))
    old = store.record_path(record(1).key).read_bytes()
    with monkeypatch.context() as patch:
        STEPS[step](patch)
        for one in (record(1, status="infeasible"), record(2)):
            with pytest.raises(StoreError, match="Finished records are safe") as caught:
                store.write_record(one)
            assert "No space left" in str(caught.value)
            assert str(store.record_path(one.key)) in str(caught.value)
            assert "--results" in str(caught.value)
    assert caught.value.exit_code == 74
    assert store.record_path(record(1).key).read_bytes() == old
    assert store.record(record(2).key) is None
    assert toy.left_over(store.root) == []


def test_an_interrupt_in_mid_write_leaves_nothing_half(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.store.sealed.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.write_record(record())
    assert list(store.root.rglob("*.*")) == []


LIMITED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from bench.errors import StoreError
from bench.store.sealed import write_atomically
folder = Path(sys.argv[1])
write_atomically(folder / "small", b"x" * 4096)
try:
    write_atomically(folder / "large", b"x" * 4097)
except StoreError as error:
    print(error)
"""


def test_a_real_limit_on_file_size_leaves_no_half_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        env=toy.environment(),
        timeout=toy.PATIENCE,
        check=True,
    )
    assert "File too large" in done.stdout
    assert "Finished records are safe" in done.stdout
    assert [one.name for one in tmp_path.iterdir()] == ["small"]
    assert (tmp_path / "small").stat().st_size == 4096


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if made.returncode:
        pytest.skip("this user may not mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_really_full_disk_keeps_all_that_was_written_before(tiny_disk: Path) -> None:
    store = Store(tiny_disk)
    written: list[int] = []

    def fill() -> None:
        for number in range(1000):
            store.write_record(record(number))
            written.append(number)

    with pytest.raises(StoreError, match=r"No space left.*Finished records are safe"):
        fill()
    assert written
    assert toy.left_over(tiny_disk) == []
    assert [store.record(record(number).key) for number in written] == list(map(record, written))


Spoil = Callable[[Path], None]


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.write_bytes(b"\xff\x00\xfe")


def one_bit(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def edited(path: Path) -> None:
    content = json.loads(path.read_text())
    content["identity"]["number"] += 1
    path.write_text(json.dumps(content, indent=1))


def without_a_seal(path: Path) -> None:
    content = json.loads(path.read_text())
    del content["seal"]
    path.write_text(json.dumps(content, indent=1))


def resealed(**changes: Any) -> Spoil:
    """Whoever edits a record and seals it again: its key and its ranges still hold it."""

    def spoil(path: Path) -> None:
        content = json.loads(path.read_text()) | changes
        del content["seal"]
        path.write_bytes(seal_json(json.dumps(content, indent=1)))

    return spoil


def of_another_key(path: Path) -> None:
    path.write_bytes(record(7).to_json())


@pytest.mark.parametrize(
    "spoil",
    [
        *(torn, emptied, noise, one_bit, edited, without_a_seal, of_another_key),
        resealed(identity={"number": 8}),
        resealed(identity={"number": float("nan")}),
        resealed(schema_version=SCHEMA_VERSION + 1),
        resealed(extra=1),
        resealed(status="done"),
        resealed(failure=None),
        resealed(labels=None),
    ],
)
def test_a_spoilt_record_is_set_aside_and_pending(store: Store, spoil: Spoil) -> None:
    path = store.record_path(record().key)
    store.write_record(record())
    spoil(path)
    assert store.record(record().key) is None
    assert not path.exists()
    assert (store.root / "damaged" / f"records-{path.name}").exists()
    (line,) = store.set_aside_so_far()
    assert line.startswith(f"records/{path.name}: ")
    store.write_record(record())  # running again mends it
    assert store.record(record().key) == record()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"top1": 5.0}, "less than or equal to 1"),
        ({"top1": -0.1}, "greater than or equal to 0"),
        ({"loss": float("nan")}, "finite"),
        ({"loss": float("inf")}, "finite"),
        ({"loss": -1.0}, "greater than or equal to 0"),
    ],
)
def test_an_accuracy_is_a_share_and_a_loss_is_finite(change: dict[str, float], fault: str) -> None:
    fine = {"top1": 0.9, "top5": 1.0, "loss": 0.2, "validation_top1": 0.8, "validation_loss": 0.3}
    Accuracy(**fine)
    with pytest.raises(ValidationError, match=fault):
        Accuracy(**{**fine, **change})


@pytest.mark.parametrize("suffix", [".json", ".npz", ".pt"])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_no_bit_of_shared_work_can_flip_and_no_end_can_be_missing(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, place: float, bit: int, cut: bool
) -> None:
    path = tmp_path_factory.mktemp("results") / "paths" / f"key{suffix}"
    match suffix:
        case ".json":
            write_json(path, {"budgets": {"0.5": [1, 2, 3]}})
        case ".npz":
            write_arrays(path, {"a": np.arange(9.0)})
        case ".pt":
            write_sealed(path, b"weights" * 9)
    whole = bytearray(path.read_bytes())
    at = int(place * len(whole))
    if cut:
        whole = whole[:at]
    else:
        whole[at] ^= 1 << bit
    path.write_bytes(whole)
    assert read_sealed(path) is None
    assert not path.exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_set_aside_and_not_waited_for(
    store: Store, make: Callable[[Path], None]
) -> None:
    for path in (store.path("paths", "key", ".json"), store.record_path(record().key)):
        path.parent.mkdir(parents=True)
        make(path)
    assert read_json(store.path("paths", "key", ".json")) is None
    assert store.record(record().key) is None
    assert [line.split(": ")[1].split(";")[0] for line in store.set_aside_so_far()] == [
        "it is no file"
    ] * 2
    store.write_record(record())
    assert store.record(record().key) == record()


@pytest.mark.parametrize("to", ["nowhere", "paths/key.json"])
def test_a_link_to_nowhere_or_to_itself_is_no_file(store: Store, to: str) -> None:
    path = store.path("paths", "key", ".json")
    path.parent.mkdir(parents=True)
    path.symlink_to(store.root / to)
    assert read_json(path) is None
    assert "a link to nowhere" in store.set_aside_so_far()[0]
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}


def test_one_file_does_not_pass_for_another(store: Store) -> None:
    one, other = (store.path("paths", key, ".json") for key in "ab")
    write_json(one, {"budgets": [1]})
    shutil.copy(one, other)
    assert read_json(one) == {"budgets": [1]}
    assert read_json(other) is None


def test_what_is_set_aside_again_and_again_is_all_kept(store: Store) -> None:
    path = store.path("paths", "key", ".json")
    for _ in range(3):
        write_json(path, {"a": 1})
        torn(path)
        assert read_json(path) is None
    names = sorted(file.name for file in (store.root / "damaged").iterdir())
    assert names == ["log.txt", "paths-key.json", "paths-key.json.1", "paths-key.json.2"]
    assert len(store.set_aside_so_far()) == 3


def test_looking_through_all_records_moves_none(store: Store) -> None:
    for number in range(3):
        store.write_record(record(number))
    torn(store.record_path(record(1).key))
    whole, faulty = store.all_records()
    assert ({one.key for one in whole}, faulty) == ({record(0).key, record(2).key}, 1)
    assert store.set_aside_so_far() == []


def test_a_second_lock_is_refused_and_names_the_holder(store: Store) -> None:
    other = Store(store.root)
    with store.lock():
        with pytest.raises(StoreError, match=f"process {os.getpid()}") as caught, other.lock():
            pass
        assert str(store.root) in str(caught.value)
        assert "--results" in str(caught.value)
        with pytest.raises(StoreError), other.lock():  # the refusal has not let it go
            pass
    with other.lock():
        pass


def test_a_lock_dies_with_its_process(store: Store) -> None:
    code = (
        "import os, sys; from pathlib import Path; from bench.store.store import Store\n"
        "with Store(Path(sys.argv[1])).lock(): os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.root)],
        env=toy.environment(),
        timeout=toy.PATIENCE,
        check=False,
    )
    assert done.returncode == 9
    with store.lock():
        assert store.holder() == f"{os.getpid()} on {platform.node()}"
    assert store.holder() is None


def test_an_error_inside_the_lock_stays_what_it_is(store: Store) -> None:
    with pytest.raises(PermissionError, match="not the folder"), store.lock():
        raise PermissionError("not the folder")
    with store.lock():
        pass


def test_locking_sweeps_what_a_killed_run_left_half_written(store: Store) -> None:
    store.write_record(record())
    for kind in ("records", "bases", "paths"):
        (store.root / kind).mkdir(exist_ok=True)
        (store.root / kind / ".abc.part").write_text("half")
    with store.lock():
        assert toy.left_over(store.root) == []
    assert store.record(record().key) == record()


def test_a_file_for_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="give a folder"):
        Store(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot be written"), Store(tmp_path / "file/in").lock():
        pass


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_one_clear_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refuse)
        with (
            pytest.raises(StoreError, match=f"cannot be written: {os.strerror(code)}"),
            store.lock(),
        ):
            pass
    with store.lock():  # the failure has not kept it
        pass


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_really_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir(mode=0o500)
    for store in (Store(folder), Store(folder / "inside")):
        with pytest.raises(StoreError, match="cannot be written"), store.lock():
            pass
    with pytest.raises(StoreError, match="Permission denied"):
        Store(folder).write_record(record())


def test_arrays_and_json_go_there_and_back_without_pickle(store: Store) -> None:
    path = store.path("scores", "key", ".npz")
    write_arrays(path, {"a": np.arange(3.0)})
    with np.load(path, allow_pickle=False) as found:
        assert found["a"].tolist() == [0, 1, 2]
    other = store.path("paths", "key", ".json")
    write_json(other, {"b": 1, "a": [0.1]})
    assert read_json(other) == {"a": [0.1], "b": 1}
    assert json.loads(other.read_text())["b"] == 1  # others can read it too
    assert read_arrays(path)["a"].tolist() == [0, 1, 2]


def test_work_that_was_lost_in_mid_run_says_to_run_again(store: Store) -> None:
    path = store.path("paths", "key", ".json")
    with pytest.raises(StoreError, match="run the same command again"):
        wanted(read_json, path)


ENOUGH = 200
RACING = """
import sys
from pathlib import Path
from bench.store.sealed import write_atomically
for _ in range(int(sys.argv[3])):
    write_atomically(Path(sys.argv[1]), sys.argv[2].encode() * 5000)
"""


def test_two_writers_of_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "one"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", RACING, str(path), letter, str(ENOUGH)], env=toy.environment()
        )
        for letter in "ab"
    ]
    try:
        toy.until(path.exists)
        while any(writer.poll() is None for writer in writers):
            assert path.read_bytes() in (b"a" * 5000, b"b" * 5000)
    finally:
        for writer in writers:
            writer.wait(toy.PATIENCE)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]
