"""One file that travels: what goes in comes out, and what was edited is refused by its name."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import packed
import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture

from bench.errors import StoreError
from bench.run.packing import Pack
from bench.store.store import Store

FIRST = "random · 70 % · none · base 0 · repeat 0"  # the first trial of the toy suite


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return packed.results(tmp_path / "results")


@pytest.fixture
def pack(store: Store, tmp_path: Path) -> Path:
    path = tmp_path / "mine.pack"
    Pack.of_results(store, "toy", "mine").write(path)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_a_pack_holds_its_suite_and_no_other(store: Store, tmp_path: Path) -> None:
    packed.results(store.root, suite="other", methods=["l1"], analysis={"control": "l1"})
    toys = {one.key for one in Pack.of_results(store, "toy", "mine").outline.trials}
    Pack.of_results(store, "other", "mine").write(tmp_path / "other.pack")
    found = Pack.read(tmp_path / "other.pack")
    assert found.name == "other"
    assert found.rows.keys() == {one.key for one in found.outline.trials}
    assert found.rows.keys() < toys  # as it asks for a part of the same
    assert packed.members(tmp_path / "other.pack").keys() == {
        "pack.json", "suite.json", "declared.json", "records/mine.json",
    }  # fmt: skip


def test_a_pack_says_what_it_holds(pack: Path) -> None:
    about = json.loads(packed.members(pack)["pack.json"])
    assert about["suite"] == "toy"
    assert about["trials"] == {"done": toy.TRIALS, "missing": 0}
    assert about["hours"] == round(toy.TRIALS * 2 / 3600, 4)
    assert about["labs"] == {"mine": toy.TRIALS}
    assert about["last_trial"] == packed.DATE
    assert about["made_by"]["git_sha"] == ["0123abc"]
    assert about["made_by"]["packages.torch"] == ["2.13.0"]


def test_the_same_content_gives_the_same_bytes(store: Store, pack: Path, tmp_path: Path) -> None:
    Pack.of_results(store, "toy", "mine").write(tmp_path / "again.pack")
    store.pack()  # where records lie decides nothing
    Pack.of_results(store, "toy", "mine").write(tmp_path / "packed.pack")
    assert (tmp_path / "again.pack").read_bytes() == pack.read_bytes()
    assert (tmp_path / "packed.pack").read_bytes() == pack.read_bytes()


def test_there_and_back_byte_for_byte(
    bench: Command, store: Store, pack: Path, tmp_path: Path
) -> None:
    assert bench("pack", "--unpack", pack, "--results", tmp_path / "new").code == 0
    assert bench("pack", "--unpack", "--results", tmp_path / "new").code == 0
    assert files(tmp_path / "new" / "records") == files(store.root / "records")
    assert len(files(store.root / "records")) == toy.TRIALS
    assert (
        bench("pack", "toy", "--results", "new", "--out", "mine2.pack", "--lab", "mine").code == 0
    )
    assert Path("mine2.pack").read_bytes() == pack.read_bytes()


def test_what_is_there_stays(bench: Command, pack: Path, tmp_path: Path) -> None:
    half = packed.results(tmp_path / "half", lambda at: at < 5, more=1)
    before = files(half.root / "records")
    done = bench("pack", "--unpack", pack, "--results", half.root)
    assert "15 records put into" in done.out
    assert files(half.root / "records") == before
    assert len(half.record_keys()) == toy.TRIALS
    whole = half.records(half.record_keys())
    assert all(whole[Path(name).stem].to_json() == file for name, file in before.items())


def test_another_suite_of_that_name_is_not_mixed_in(
    bench: Command, pack: Path, tmp_path: Path
) -> None:
    other = packed.results(tmp_path / "other", budgets={"macs": [0.6]})
    before = files(other.root)
    done = bench("pack", "--unpack", pack, "--results", other.root)
    assert done.code == 74
    assert "there is another toy in" in done.err
    assert files(other.root).keys() - before.keys() <= {".lock", ".holder"}


@pytest.mark.parametrize(
    "verb",
    [
        ("status", "{}"), ("status", "--results", "{}"), ("report", "toy", "--results", "{}"),
        ("compare", "--suite", "{}", "taylor", "l1"), ("claims", "--results", "{}"),
        ("explain", "--results", "{}", "taylor 70% none base 0"),
        ("explain", "{}", "taylor", "70%", "none", "base 0"),
    ],
)  # fmt: skip
def test_verbs_that_read_take_a_pack_for_a_folder(
    bench: Command, store: Store, pack: Path, verb: tuple[str, ...]
) -> None:
    of_pack = bench(*(one.format(pack) for one in verb))
    assert (of_pack.code, of_pack.err) == (0, "")
    assert (f"alone: after bench pack --unpack {pack}" in of_pack.out) == (verb[0] == "explain")
    if verb[-1] == "{}" or verb[0] == "compare":
        same = [one.format(pack) for one in verb if one not in ("{}", "--results", "--suite")]
        same += ["--results", store.root, *(["toy"] if verb[0] == "status" else [])]
        same += ["--suite", "toy"] if verb[0] == "compare" else []
        if verb[0] != "report":
            assert of_pack.out == bench(*same).out


def test_code_that_a_pack_does_not_run_is_not_said_to_have_changed(
    bench: Command, pack: Path, tmp_path: Path
) -> None:
    whole, older = Pack.read(pack), tmp_path / "older.pack"
    recorded = whole.recorded.model_copy(update={"code": "of yesterday"})
    replace(whole, recorded=recorded).write(older)
    assert "has changed" not in bench("status", older).out


def test_the_report_of_a_pack_is_that_of_its_folder(
    bench: Command, store: Store, pack: Path, tmp_path: Path
) -> None:
    assert f"report: {tmp_path / 'toy' / 'index.html'}" in bench("report", pack).out
    assert bench("report", pack, "--out", tmp_path / "again").code == 0
    assert bench("report", "toy", "--results", store.root, "--out", tmp_path / "other").code == 0
    once = files(tmp_path / "toy")
    assert {"index.html", "headline.json", "trials.csv"} < once.keys()
    assert once == files(tmp_path / "again") == files(tmp_path / "other")


ALONE = """
import sys
from bench.command import cli
sys.argv[1:] = ["report", {pack!r}]
try:
    cli.main()
finally:
    print(sorted({{"torch", "torchvision", "torch_pruning", "mlflow"}} & set(sys.modules)))
"""


def test_a_report_of_a_pack_loads_no_torch_and_leaves_nothing(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(pack=str(pack))],
        capture_output=True, text=True, timeout=toy.PATIENCE, check=False,
        env=toy.environment(TMPDIR=str(tmp_path / "tmp")),
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]", done
    assert (tmp_path / "toy" / "index.html").exists()
    assert not list((tmp_path / "tmp").glob("bench-*"))


@pytest.mark.parametrize(
    "verb",
    [
        ("run", "toy", "--results", "{}"), ("run", "{}"), ("sync", "{}"), ("plan", "{}"),
        ("sync", "toy", "--results", "{}"), ("pull", "toy", "--from", "x", "--results", "{}"),
        ("pack", "--results", "{}"), ("pack", "toy", "--results", "{}"), ("fetch", "{}"),
        ("doctor", "--results", "{}"), ("export", "--results", "{}"),
    ],
)  # fmt: skip
def test_verbs_that_write_refuse_a_pack(
    bench: Command, pack: Path, verb: tuple[str, ...], tmp_path: Path
) -> None:
    before = pack.read_bytes(), sorted(tmp_path.iterdir())
    done = bench(*(one.format(pack) for one in verb))
    assert done.code in (2, 74)
    assert "A pack is only read" in done.err
    assert (pack.read_bytes(), sorted(tmp_path.iterdir())) == before


def test_options_without_a_suite_are_refused(bench: Command, store: Store, pack: Path) -> None:
    said = "are of the file of a SUITE"
    assert said in bench("pack", "--out", "a.pack", "--results", store.root).err
    assert said in bench("pack", "--unpack", pack, "--lab", "x", "--results", "new").err
    no_pack = bench("pack", "toy", "--out", "a.zip", "--results", store.root)
    assert "ends in .pack" in no_pack.err
    unknown = bench("pack", "tou", "--results", store.root)
    assert "did you mean toy?" in unknown.err
    assert not Path("a.zip").exists()


def no_more(text: bytes, old: bytes, new: bytes) -> bytes:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("member", "old", "new", "said"),
    [
        ("records/mine.json", b'"top1": 0.5,', b'"top1": 0.6,', f"{FIRST}): its content is not"),
        ("records/mine.json", b'"repeat": 0', b'"repeat": 1', f"{FIRST}): its content is not"),
        ("records/mine.json", b'"key": "', b'"key": "0', "none of the suite's trials"),
        ("suite.json", b'"suite": "', b'"suite": "\\n', "suite.json is not what its SHA-256"),
        ("declared.json", b'"finished": 0', b'"finished": 1', "declared.json is not what its"),
        ("pack.json", b'"hours": 0', b'"hours": 9', "its content is not what its SHA-256 says"),
    ],
)  # fmt: skip
def test_an_edited_member_is_named(
    pack: Path, tmp_path: Path, member: str, old: bytes, new: bytes, said: str
) -> None:
    held = packed.members(pack)
    held[member] = no_more(held[member], old, new)
    with pytest.raises(StoreError) as told:
        Pack.read(packed.rewrite(tmp_path / "edited.pack", held))
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda one: no_more(one, b'"top1": 0.5,', b'"top1": 0.501,'), "180.360 of its test"),
        (lambda one: no_more(one, b'"top1": 0.5,', b'"top1": 1.5,'), "no valid record (measu"),
        (lambda one: no_more(one, b'"tune": null', b'"tune": 1'), "does not hash to its key"),
    ],
)  # fmt: skip
def test_a_record_that_no_longer_fits_is_named_though_all_seals_hold(
    pack: Path, tmp_path: Path, edit: Callable[[bytes], bytes], said: str
) -> None:
    out = tmp_path / "forged.pack"
    packed.forge(pack, out, "records/mine.json", lambda all_: packed.resealed(all_, edit))
    with pytest.raises(StoreError) as told:
        Pack.read(out)
    assert FIRST in str(told.value)
    assert said in str(told.value)


def test_a_forged_pack_with_nothing_edited_is_read(pack: Path, tmp_path: Path) -> None:
    """So that what the tests above refuse is what they have edited."""
    out = tmp_path / "forged.pack"
    packed.forge(pack, out, "records/mine.json", lambda all_: packed.resealed(all_, lambda x: x))
    assert Pack.read(out).rows == Pack.read(pack).rows


def test_a_member_that_is_gone_or_too_many_is_refused(pack: Path, tmp_path: Path) -> None:
    held = packed.members(pack)
    for name in held:
        rest = {one: content for one, content in held.items() if one != name}
        with pytest.raises(StoreError, match=name):
            Pack.read(packed.rewrite(tmp_path / "less.pack", rest))
    for name in ("../../evil", "records/more.json", "/etc/x"):
        with pytest.raises(StoreError, match=name):
            Pack.read(packed.rewrite(tmp_path / "more.pack", held | {name: b""}))


def test_damage_anywhere_is_one_sentence(pack: Path, tmp_path: Path) -> None:
    whole, draw = pack.read_bytes(), random.Random(0)
    damaged = tmp_path / "damaged.pack"
    for _ in range(25):
        at = draw.randrange(len(whole))
        damaged.write_bytes(
            whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1 :]
        )
        with pytest.raises(StoreError, match="is no whole pack"):
            Pack.read(damaged)
        damaged.write_bytes(whole[:at])
        with pytest.raises(StoreError, match="is no whole pack"):
            Pack.read(damaged)
    with pytest.raises(StoreError, match="No such file"):
        Pack.read(tmp_path / "none.pack")


def test_plugins_do_not_travel(store: Store, tmp_path: Path) -> None:
    """Their paths tell of a machine, and would name files on the reader's."""
    from bench.plan.outline import record_suite
    from bench.plan.plan import make_plan

    record_suite(make_plan(toy.suite()), [tmp_path / "secret.py"], store)
    path = tmp_path / "mine.pack"
    Pack.of_results(store, "toy", "mine").write(path)
    assert b"secret" not in b"".join(packed.members(path).values())

    def name_one(suite: bytes) -> bytes:
        return no_more(suite, b'"plugins": []', b'"plugins": ["/x.py"]')

    packed.forge(path, tmp_path / "forged.pack", "suite.json", name_one)
    assert Pack.read(tmp_path / "forged.pack").recorded.plugins == ()
