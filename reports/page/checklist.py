"""What Blalock et al. 2020 (MLSys, arXiv 2003.03033) ask of an evaluation of pruning, and why what
a suite was measured to do meets or misses it; what is alike for all suites is in docs/report.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ..analysis.results import Results
from ..words import Words
from . import latency, wording
from .findings import provenance
from .record_warnings import differences

Met = Literal["yes", "partly", "no"]
Found = tuple[Met, Mapping[str, Any]]  # and what the words name

TOYS = {"digits", "mnist5k"}  # data sets on which everything works
MAGNITUDE = {"l1", "l2"}
# Criteria whose formula was published before 2010: OBD (1990), OBS (1993).
OLD = {"hessian_diag", "hessian_diag_tp", "c_obd", "c_obs", "kron_obd", "kron_obs"}
COLLAPSE = 10.0  # points lost at the smallest budget from which on a curve is seen to fall
PAIRS, POINTS, SEEDS = 3, 5, 5  # that the list asks for
WORDS = Words("checklist.yaml", latency.aa_range)


@dataclass(frozen=True)
class Item:
    """One thing asked, whether it is met, and why."""

    asked: str
    met: Met
    why: str


def measured(results: Results) -> list[Item]:
    """What this suite and its records meet, in the order of the list."""
    items = []
    for name, check in CHECKS.items():
        met, known = check(results)
        why = WORDS(name, "why", results=results, suite=results.suite, **known)
        items.append(Item(WORDS(name, "asked"), met, why))
    return items


def _pairs(results: Results) -> Found:
    suite = results.suite
    real = sum(dataset.name not in TOYS for dataset, _ in suite.problems)
    toys = sorted(TOYS & {one.name for one in suite.datasets})
    return "yes" if real >= PAIRS else "no", {"real": real, "toys": toys}


def _dense(results: Results) -> Found:
    return "no" if results.dense.empty else "yes", {"bases": len(results.dense)}


def _points(results: Results) -> Found:
    kept = len(min(results.budgets.values(), key=len))
    tightest = results.cells["problem"].map(results.tightest)
    cells = results.cells[results.cells["budget"] == tightest]
    known = cells["retained_top1"].notna().any()
    lost = max(0.0, -float(cells["retained_top1"].min())) if known else 0.0
    falls, enough = lost >= COLLAPSE, kept >= POINTS
    met: Met = "yes" if enough and falls else "partly" if enough or kept > 2 else "no"
    return met, {"budgets": kept, "lost": lost}


def _curves(results: Results) -> Found:
    n = min(map(len, results.budgets.values()))
    return "yes" if n > 1 else "no", {"budgets": n}


def _seeds(results: Results) -> Found:
    suite = results.suite
    given = wording.given(suite)
    several: Met = "partly" if suite.bases * suite.repeats > 1 else "no"
    return "yes" if suite.bases >= SEEDS and not given else several, {"given": given}


def _spread(results: Results) -> Found:
    return "no" if results.suite.bases == 1 else "yes", {}


def _control(names: set[str], results: Results) -> Found:
    methods = results.suite.methods
    plain = any(one.criterion in names and not one.trains for one in methods)
    others = [one for one in methods if one.criterion not in names]
    matched = sum(bool(names & set(one.matched)) for one in others)
    some: Met = "partly" if plain or matched else "no"
    known = {"plain": plain, "matched": matched, "others": len(others)}
    return "yes" if plain and matched == len(others) else some, known


def _old_and_new(results: Results) -> Found:
    old = sorted({one.criterion for one in results.suite.methods} & OLD)
    return "yes" if old else "partly", {"old": old}


def _identical(results: Results) -> Found:
    apart = len(list(differences(results.records)))
    return "partly" if apart else "yes", {"apart": apart}


def _hardware(results: Results) -> Found:
    made = provenance(results.records)
    wanted = {"packages.torch": "library", "device": "device"}
    missing = [said for name, said in wanted.items() if name not in made]
    changed = "True" in made["git_dirty"]
    return "no" if missing else "yes", {"missing": missing, "changed": changed}


def _operations(results: Results) -> Found:
    timed, places = latency.timings(results), latency.within_noise(results)
    bad = sum(not one.reliable for one in timed)
    met: Met = "yes" if timed and not bad and not places else "partly"
    return met, {"timed": timed, "bad": bad, "places": places}


def _pitfalls(results: Results) -> Found:
    suite = results.suite
    varied = {
        "dataset": len(suite.datasets),
        "model": len(suite.models),
        "base": suite.bases,
        "budget": min(map(len, results.budgets.values())),
        "recovery": len(suite.recoveries),
    }
    return "yes" if min(varied.values()) > 1 else "partly", {"varied": varied}


CHECKS: dict[str, Callable[[Results], Found]] = {
    "pairs": _pairs,
    "dense": _dense,
    "points": _points,
    "curves": _curves,
    "seeds": _seeds,
    "spread": _spread,
    "random": partial(_control, {"random"}),
    "magnitude": partial(_control, MAGNITUDE),
    "old_and_new": _old_and_new,
    "identical": _identical,
    "hardware": _hardware,
    "operations": _operations,
    "pitfalls": _pitfalls,
}
