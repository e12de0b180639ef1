"""`bench pack`, `bench merge` and `bench verify`: results as files that travel."""

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from rich.console import Console

from reports.analysis.labs import as_other_seeds, shared
from reports.formats import counted
from reports.records import Record

from ..errors import BenchError, fault
from ..run.packing import PACK, Pack
from ..run.reporting import saying_damage
from ..store.store import Store
from ..terminal import say


def pack_up(
    console: Console, what: str, store: Store, out: Path | None, lab: str, *, unpack: bool
) -> None:
    """Put a suite into a file, or that back; of no suite, all records into one file of the store.
    Raises BenchError where there is nothing to pack, or the file is called otherwise."""
    path = out or Path(f"{what}{PACK}")
    if out and out.suffix != PACK:
        raise BenchError(f"--out {out}: the name of a pack ends in {PACK}")
    if not what and not store.record_keys():
        raise BenchError(f"--results {store.root}: there are no records; make some with bench run")
    with store.lock(), saying_damage(store, console):
        if not what:
            where = store.unpack() if unpack else store.pack()
            say(console, f"{counted(len(store.record_keys()), 'record')} in {where}")
        elif unpack:
            added = Pack.read(Path(what)).unpack(store)
            say(console, f"{counted(added, 'record')} put into {store.root}; what was there stays")
        else:
            packed = Pack.of_results(store, what, lab or path.stem)
            packed.write(path)
            say(console, f"{counted(len(packed.rows), 'record')} of {what} in {path}")


def join(console: Console, packs: Sequence[Path], out: Path) -> None:
    """Write the packs as one, and print the trials of which labs have found something else."""
    whole = reduce(Pack.joined, map(Pack.read, packs))
    whole.write(out)
    both = shared({lab: [record for _, record in whole.labs[lab].values()] for lab in whole.labs})
    apart = [str(one) for one in both if one.apart]
    for one in apart:
        say(console, ("otherwise:", "yellow"), f" {one}")
    kept = f"{counted(len(whole.rows), 'record')} of {whole.name} in {out}"
    say(console, f"{kept}; {counted(len(both), 'trial')} run by several, {len(apart)} otherwise")


def hold(console: Console, pack: Path, sample: int, seed: int, data_root: Path) -> bool:
    """Whether a pack holds, and a sample of its trials finds the same when it is run again."""
    whole = Pack.read(pack)
    held = f"{counted(len(whole.rows), 'record')} of {whole.name}"
    say(console, f"every digest and key of {held} holds")
    from ..run.session import run_again  # loads torch
    from ..steps.workspace import Settings

    both = run_again(whole, sample, seed, Settings(Path(), data_root.resolve()), console)
    for one in both:
        say(console, ("different", "red") if one.apart else ("equal", "green"), f" {one}")
    say(console, f"{counted(len(both), 'trial')} run again")
    odd = [one for one in both if one.apart]
    if odd and (there := _made_on(odd[0].mine)) != (here := _made_on(odd[0].theirs)):
        spreads = as_other_seeds(both, [one for _, one in whole.rows.values()])
        say(console, fault("elsewhere", there=there, here=here, spreads=spreads))
    return not odd


def _made_on(one: Record) -> str:
    return f"{one.provenance.get('cpu')}, torch {one.provenance.get('packages', {}).get('torch')}"
