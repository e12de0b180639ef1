"""Packed records: found wherever a file would be, and never lost, whatever happens to the pack."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import toy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from bench.command.cli import app
from bench.errors import StoreError
from bench.run.reporting import saying_damage
from bench.store.pack import keys_in, write_pack
from bench.store.store import Store
from reports.records import Failure, Labels, Record, content_key
from reports.seal import seal_json

LABELS = Labels(
    suite="toy", dataset="digits", model="vgg_small", method="l1", recovery="none", cost="macs",
    budget=0.5, base=0, repeat=0,
)  # fmt: skip


def record(number: int, message: str = "ü") -> Record:
    identity = {"number": number}
    return Record(
        key=content_key(identity),
        identity=identity,
        labels=LABELS,
        status="failed",
        failure=Failure(kind="Oops", message=message, traceback="…" * 500),
        provenance={},
    )


RECORDS = [record(number) for number in range(12)]
KEYS = {one.key for one in RECORDS}


def files(store: Store) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (store.root / "records").glob("*")}


def found(store: Store) -> list[Record]:
    """As every way of asking has it."""
    known = store.records(KEYS)
    assert {key: store.record(key) for key in known} == known
    assert store.record_keys() == known.keys()
    assert store.all_records() == ([known[key] for key in sorted(known)], 0)
    return [known[one.key] for one in RECORDS if one.key in known]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With every record as a file, one of them written as `to_json` would not."""
    made = Store(tmp_path / "results")
    for one in RECORDS:
        made.write_record(one)
    by_hand = json.dumps(RECORDS[1].model_dump(mode="json"), indent=2)
    made.record_path(RECORDS[1].key).write_bytes(seal_json(by_hand))
    return made


@pytest.fixture
def packed(store: Store) -> Path:
    return store.pack()


def test_packed_records_are_found_and_come_back_byte_for_byte(store: Store) -> None:
    before = files(store)
    path = store.pack()
    assert (files(store), list(path.parent.iterdir())) == ({}, [path])
    assert found(store) == RECORDS
    assert store.record("f" * 64) is None
    assert store.pack() == path  # there is nothing to do
    for _ in range(2):
        assert store.unpack() == store.root / "records"
        assert (files(store), list(path.parent.iterdir())) == (before, [])


def test_a_record_that_was_written_later_counts(store: Store, packed: Path) -> None:
    again, new = record(3, "mended"), record(99)
    store.write_record(again)
    store.write_record(new)
    assert store.record(again.key) == again
    assert store.records({again.key, new.key}) == {again.key: again, new.key: new}
    whole = [*RECORDS[:3], again, *RECORDS[4:]]
    (store.record_path(new.key)).unlink()
    assert found(store) == whole
    repacked = store.pack()
    assert list(packed.parent.iterdir()) == [repacked]
    assert found(store) == whole
    store.unpack()
    assert found(store) == whole


def test_unpacking_leaves_a_later_file_as_it_is(store: Store, packed: Path) -> None:
    again = record(3, "mended")
    store.write_record(again)
    store.unpack()
    assert store.record(again.key) == again


def test_packs_of_several_folders_may_lie_in_one(tmp_path: Path) -> None:
    parts = [Store(tmp_path / name) for name in "ab"]
    for at, one in enumerate(RECORDS):
        parts[at % 2].write_record(one)
    for part in parts:
        part.pack()
        shutil.copytree(part.root, tmp_path / "both", dirs_exist_ok=True)
    both = Store(tmp_path / "both")
    assert found(both) == RECORDS
    both.pack()
    assert len(list((both.root / "packs").iterdir())) == 1
    assert found(both) == RECORDS


# --- damage ---------------------------------------------------------------------------------------


def overwritten(at: Callable[[bytes], int], *what: int) -> Callable[[bytes], bytes]:
    def damage(content: bytes) -> bytes:
        place = at(content)
        return content[:place] + bytes(what) + content[place + len(what) :]

    return damage


PAGE = 4096
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "a word of a record": (overwritten(lambda whole: whole.index(b'"Oops"') + 2, 7), 11),
    "a page": (overwritten(lambda _: 9 * PAGE, *[255] * PAGE), 9),
    "its head": (overwritten(lambda _: 0, *[0] * 100), 0),
    "its first page": (overwritten(lambda _: 0, *[7] * PAGE), 0),
    "its end": (lambda whole: whole[: len(whole) // 2], 0),
    "all": (lambda _: b"", 0),
    "another file": (lambda _: b"a,b\n1,2\n" * 1000, 0),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_pack_is_set_aside_and_what_holds_of_it_kept(
    store: Store, packed: Path, what: str
) -> None:
    damage, fewest = DAMAGE[what]
    before = packed.read_bytes()
    packed.write_bytes(damage(before))
    with Console().capture() as _, saying_damage(store, Console()):
        known = store.records(KEYS)
    assert known.items() <= {one.key: one for one in RECORDS}.items()
    assert fewest <= len(known)
    (line,) = store.set_aside_so_far()
    assert line.startswith(f"packs/{packed.name}: ")
    assert "; what holds of it is in packs/" in line
    (aside,) = (store.root / "damaged").glob("packs-*")
    assert aside.read_bytes() == damage(before)
    assert found(store) == [one for one in RECORDS if one.key in known]  # and says nothing more
    assert len(store.set_aside_so_far()) == 1


def test_the_keys_of_lost_records_are_said(store: Store, packed: Path) -> None:
    damage, _ = DAMAGE["a word of a record"]
    packed.write_bytes(damage(packed.read_bytes()))
    looked, faulty = store.all_records()
    assert (len(looked), faulty) == (len(RECORDS) - 1, 1)
    (lost,) = KEYS - store.records(KEYS).keys()
    (line,) = store.set_aside_so_far()
    assert f"lost: {lost[:12]}; set aside" in line
    assert "not what its SHA-256 says" in line


def test_a_row_that_has_lost_its_key_is_none(tmp_path: Path) -> None:
    path = write_pack(tmp_path, [("a" * 64, b"{}"), (None, b"{}"), (7, b"{}")])  # type: ignore[list-item]
    assert keys_in(path) == {"a" * 64, "7"}, (
        "SQLite makes texts of numbers, and takes no key as well"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(at=st.floats(0, 1, exclude_max=True), what=st.binary(min_size=1, max_size=64))
def test_whatever_is_damaged_no_record_is_other_than_it_was(
    at: float, what: bytes, tmp_path_factory: pytest.TempPathFactory, whole_pack: Path
) -> None:
    store = Store(tmp_path_factory.mktemp("damaged"))
    path = store.root / "packs" / "ab.sqlite"
    path.parent.mkdir()
    whole = whole_pack.read_bytes()
    place = int(at * len(whole))
    path.write_bytes(whole[:place] + what + whole[place + len(what) :])
    looked, _ = store.all_records()
    known = store.records(KEYS)
    was = {one.key: one for one in RECORDS}
    assert known.items() <= was.items()
    assert {one.key: one for one in looked}.items() <= was.items()
    assert store.record_keys() >= known.keys()
    assert len(known) == len(RECORDS) or store.set_aside_so_far()


@pytest.fixture(scope="module")
def whole_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Store(tmp_path_factory.mktemp("whole"))
    for one in RECORDS:
        made.write_record(one)
    return made.pack()


def test_a_damaged_file_is_set_aside_and_not_packed(store: Store) -> None:
    torn = store.record_path(RECORDS[0].key)
    torn.write_bytes(torn.read_bytes()[:-9])
    store.pack()
    assert found(store) == RECORDS[1:]
    (line,) = store.set_aside_so_far()
    assert line.startswith(f"records/{torn.name}: ")


# --- interruptions --------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["pack", "unpack"])
@pytest.mark.parametrize("after", range(0, 16, 3))
def test_killed_at_any_moment_it_loses_nothing(store: Store, verb: str, after: int) -> None:
    """SIGKILL at the n-th file that is opened, put in place or deleted."""
    before = files(store)
    if verb == "unpack":
        store.pack()
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from bench.store.store import Store\n"
        "left = int(sys.argv[2])\n"
        "def hook(event, args):\n"
        "    global left\n"
        "    if event in ('os.rename', 'os.remove', 'sqlite3.connect') and results in str(args):\n"
        "        left -= 1\n"
        "        if left < 0: os.kill(os.getpid(), 9)\n"
        "store, results = Store(Path(sys.argv[1])), sys.argv[1]\n"
        "with store.lock():\n"
        "    sys.addaudithook(hook)\n"
        f"    store.{verb}()\n"
    )
    command = [sys.executable, "-c", code, str(store.root), str(after)]
    done = subprocess.run(command, env=toy.environment(), timeout=toy.PATIENCE, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    assert (done.returncode == 0) == (after > 13)
    assert found(store) == RECORDS
    with store.lock():
        assert toy.left_over(store.root) == []
        store.unpack()
    assert files(store) == before


def test_a_full_disk_is_one_message_and_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sqlite3.connect

    def small(*args: object, **more: object) -> sqlite3.Connection:
        database = real(*args, **more)  # type: ignore[call-overload]
        database.execute("PRAGMA max_page_count = 5")
        return database  # type: ignore[no-any-return]

    before = files(store)
    monkeypatch.setattr("bench.store.pack.sqlite3.connect", small)
    with pytest.raises(StoreError, match="cannot be written: database or disk is full"):
        store.pack()
    assert files(store) == before
    assert toy.left_over(store.root) == []


@pytest.mark.parametrize("verb", ["pack", "unpack"])
def test_who_reads_meanwhile_finds_every_record(
    store: Store, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The folder changes between a look at what there is and the reading of it."""
    if verb == "unpack":
        store.pack()
    reader, change = Store(store.root), [getattr(store, verb)]
    look = Store._files

    def looked(self: Store) -> set[str]:
        there = look(self)
        if self is reader and change:
            change.pop()()
        return there

    monkeypatch.setattr(Store, "_files", looked)
    assert reader.records(KEYS) == {one.key: one for one in RECORDS}


def test_a_pack_that_may_not_be_read_is_no_damage(
    store: Store, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StoreError, match=f"{packed.name} cannot be read: Permission denied"):
        store.records(KEYS)


# --- the verb -------------------------------------------------------------------------------------


def test_every_verb_reads_a_packed_folder(session: Path, tmp_path: Path) -> None:
    results = toy.copied(session, tmp_path / "results")
    ask = CliRunner()
    said = {
        verb: ask.invoke(app, [*verb.split(), "--results", str(results)]).output
        for verb in ("status toy", "status", "compare --suite toy taylor l1")
    }
    n, records = toy.count(results), toy.records(results)
    packed = ask.invoke(app, ["pack", "--results", str(results)])
    assert f"{n}recordsin{results}/packs/" in "".join(packed.output.split())
    assert toy.count(results) == 0
    for verb, before in said.items():
        assert ask.invoke(app, [*verb.split(), "--results", str(results)]).output == before
    unpacked = ask.invoke(app, ["pack", "--unpack", "--results", str(results)])
    assert f"{n}recordsin{results}/records" in "".join(unpacked.output.split())
    assert toy.records(results) == records


def test_a_folder_without_records_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["pack", "--results", str(tmp_path / "nowhere")])
    assert "there are no records" in str(done.exception)
    assert not (tmp_path / "nowhere").exists()
