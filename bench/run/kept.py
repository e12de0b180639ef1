"""What a run has kept, rebuilt in a process that has seen none of it."""

import subprocess
import sys
from collections.abc import Collection

from rich.console import Console

from reports.formats import counted

from ..plan.keeping import is_kept
from ..store.store import Store
from ..terminal import say

# Prints a line about each network that cannot be loaded.
AFRESH = """
import sys, bench
for folder in sys.argv[1:]:
    try:
        bench.load(folder)
    except bench.errors.BenchError as error:
        print(error)
"""


def check_kept(keys: Collection[str], store: Store, console: Console) -> None:
    """Load the networks of these trials in a fresh process, and say what came of it."""
    folders = [store.network(key) for key in sorted(keys) if is_kept(store, key)]
    done = subprocess.run(
        [sys.executable, "-c", AFRESH, *folders], capture_output=True, text=True, check=False
    )
    faults = done.stdout.splitlines() or done.stderr.splitlines()[-1:] * (done.returncode != 0)
    for fault in faults:
        say(console, ("not kept", "red"), f" {fault}")
    size = sum(one.stat().st_size for folder in folders for one in folder.iterdir()) / 1e6
    networks = counted(len(folders) - len(faults), "pruned network")
    say(
        console,
        f"{networks} of {len(keys)} kept in {store.root / 'networks'} ({size:.1f} MB), rebuilt in "
        "a fresh process, outputs equal; bench export lists them",
    )
