"""What Blalock et al. 2020 (MLSys, arXiv 2003.03033) ask of an evaluation of pruning, and why what
a suite was measured to do meets or misses it; what is alike for all suites is in docs/report.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ..analysis.results import Results
from ..formats import counted, few
from . import latency, wording
from .findings import provenance
from .record_warnings import differences

Met = Literal["yes", "partly", "no"]
Said = tuple[Met, str]

TOYS = {"digits", "mnist5k"}  # data sets on which everything works
MAGNITUDE = {"l1", "l2"}
# Criteria whose formula was published before 2010: OBD (1990), OBS (1993).
OLD = {"hessian_diag", "hessian_diag_tp", "c_obd", "c_obs", "kron_obd", "kron_obs"}
COLLAPSE = 10.0  # points lost at the smallest budget from which on a curve is seen to fall
PAIRS, POINTS, SEEDS = 3, 5, 5  # that the list asks for


@dataclass(frozen=True)
class Item:
    """One thing asked, whether it is met, and why."""

    asked: str
    met: Met
    why: str


def measured(results: Results) -> list[Item]:
    """What this suite and its records meet, in the order of the list."""
    return [Item(asked, *answer(results)) for asked, answer in MEASURED.items()]


def _pairs(results: Results) -> Said:
    suite = results.suite
    real = sum(dataset.name not in TOYS for dataset, _ in suite.problems)
    toys = sorted(TOYS & {one.name for one in suite.datasets})
    why = f"{real} of {counted(len(results.problems), 'problem')} count"
    why += f": {', '.join(toys)} {'are toys' if len(toys) > 1 else 'is a toy'}" if toys else ""
    return ("yes" if real >= PAIRS else "no"), why


def _dense(results: Results) -> Said:
    if results.dense.empty:
        return "no", "no trial has finished"
    n = counted(len(results.dense), "base")
    return "yes", f"{n}, measured by the same code on the same data"


def _points(results: Results) -> Said:
    kept = min(results.budgets.values(), key=len)
    tightest = results.cells["problem"].map(results.tightest)
    cells = results.cells[results.cells["budget"] == tightest]
    known = cells["retained_top1"].notna().any()
    lost = max(0.0, -float(cells["retained_top1"].min())) if known else 0.0
    falls = lost >= COLLAPSE
    n = counted(len(kept), "budget")
    why = f"{n}; at the smallest the worst method loses {lost:.0f} points"
    enough = len(kept) >= POINTS
    return ("yes" if enough and falls else "partly" if enough or len(kept) > 2 else "no"), why


def _curves(results: Results) -> Said:
    n = min(map(len, results.budgets.values()))
    return ("yes", "figure of accuracy against cost, all methods in it") if n > 1 else (
        "no", "one budget is a point, not a curve"
    )  # fmt: skip


def _seeds(results: Results) -> Said:
    suite = results.suite
    given = wording.given(suite)
    why = f"{counted(suite.bases, 'base')} per problem, {counted(suite.repeats, 'repeat')} of each"
    if given:
        why += f"; those of {', '.join(given)} start from one checkpoint"
    if suite.bases >= SEEDS and not given:
        return "yes", why
    return ("partly" if suite.bases * suite.repeats > 1 else "no"), why


def _spread(results: Results) -> Said:
    if results.suite.bases == 1:
        return "no", "one base has no spread"
    return "yes", "standard deviations and intervals over bases; captions give n and the meaning"


def _control(names: set[str], said: str, results: Results) -> Said:
    methods = results.suite.methods
    plain = any(one.criterion in names and not one.trains for one in methods)
    others = [one for one in methods if one.criterion not in names]
    matched = [one for one in others if names & set(one.matched)]
    why = f"{said} {'is' if plain else 'is not'} among the methods; "
    why += f"others that have it at their own layer widths: {len(matched)} of {len(others)}"
    if plain and len(matched) == len(others):
        return "yes", why
    return ("partly" if plain or matched else "no"), why


_random = partial(_control, {"random"}, "random")
_magnitude = partial(_control, MAGNITUDE, "L1 or L2")


def _old_and_new(results: Results) -> Said:
    names = {one.criterion for one in results.suite.methods}
    old = sorted(names & OLD)
    why = "all numbers were made here, none is copied; "
    if not old:
        return "partly", why + "no criterion from before 2010"
    return "yes", why + f"from before 2010: {', '.join(old)}"


def _identical(results: Results) -> Said:
    apart = list(differences(results.records))
    if apart:
        return "partly", f"{counted(len(apart), 'difference')} between records, see the warnings"
    return "yes", "same bases, images, batches and recipes for all methods; one program"


def _hardware(results: Results) -> Said:
    made = provenance(results.records)
    wanted = {"packages.torch": "library", "device": "device"}
    missing = [said for name, said in wanted.items() if name not in made]
    if missing:
        return "no", f"not in the records: {', '.join(missing)}"
    if "True" in made["git_dirty"]:
        return "yes", "under Provenance; the code had changes that no commit holds"
    return "yes", "under Provenance"


def _operations(results: Results) -> Said:
    timed = latency.timings(results)
    if not timed:
        return "partly", "MACs; latency was not measured, so nothing is said about speed"
    bad = sum(not one.reliable for one in timed)
    if bad:
        return "partly", f"MACs; latency is unreliable for {bad} of {len(timed)} shapes timed"
    if places := latency.within_noise(results):
        return "partly", f"MACs; latency does not separate methods on {few(places)}"
    return "yes", (
        f"MACs, and latency at batch size {timed[0].batch_size} of {counted(len(timed), 'shape')}, "
        f"timed alone; a copy of the dense network took {latency.aa_range(timed)} % of its time"
    )


def _pitfalls(results: Results) -> Said:
    suite = results.suite
    varied = {
        "dataset": len(suite.datasets),
        "model": len(suite.models),
        "base": suite.bases,
        "budget": min(map(len, results.budgets.values())),
        "recovery": len(suite.recoveries),
    }
    why = ", ".join(counted(n, what) for what, n in varied.items())
    why += "; tables are by problem and recovery"
    return ("yes" if min(varied.values()) > 1 else "partly"), why


MEASURED: dict[str, Callable[[Results], Said]] = {
    "At least three pairs of dataset and architecture, toys not counted": _pairs,
    "The unpruned network, in the same library and with the same data code": _dense,
    "At least five operating points, up to visible collapse": _points,
    "The whole trade-off curve, beside competitors'": _curves,
    "Several runs with seeds and first weights of their own": _seeds,
    "Means with a defined measure of spread": _spread,
    "Random pruning, global and at each method's layer-wise proportions": _random,
    "Magnitude pruning, global or uniform and at each method's proportions": _magnitude,
    "Recent methods and some from before 2010, and how each number was made": _old_and_new,
    "Identical library, data loading, augmentation, schedule and first weights": _identical,
    "Libraries and hardware": _hardware,
    "Operation counts, and latency where speed is claimed": _operations,
    "Whether dataset, architecture, initial model or metric change the ranking": _pitfalls,
}
