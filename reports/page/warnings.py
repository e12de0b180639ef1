"""What to read with care: everything that a reader should know before believing a number."""

from collections import Counter
from collections.abc import Iterator
from math import inf
from typing import cast

import pandas as pd

from suites.problem import problem_name
from suites.protocol import Axis
from suites.schema import AnySuite

from ..analysis import power
from ..analysis.cells import failures
from ..analysis.off_budget import off_budget, off_by_method
from ..analysis.published import published_dense
from ..analysis.results import Results
from ..formats import counted, number
from ..metric import spoken
from ..records import WORDS, budget_words
from ..statistics import FEWEST_BASES
from . import latency
from .captions import caution
from .record_warnings import missing_warnings, record_warnings
from .tables import summary
from .wording import halved

TOYS = {"digits", "mnist5k"}  # data sets on which everything works
LOST = 0.25  # share of the dense top-1 below which a method has kept nothing to compare
BEHIND = 0.5  # points below a published dense top-1 from which on it is worth a word
THIN = 0.05  # share of a layer's channels from which on it is worth a word
SHOWN_OFF = 6  # methods off their budget that are named
PAIR = ["family", "recovery", "method", "reference"]  # a comparison
UNEQUAL = 1.25  # ratio of the other cost at one budget from which it is worth a word


def warnings(results: Results) -> Iterator[str]:
    """Everything a reader should know before believing a number."""
    if said := scope(results):
        yield said
    yield from _carried_warnings(results)
    if half := halved(results.suite):
        yield caution("precision", "half", what=half)
    yield from missing_warnings(results.records, len(results.expected), results.ignored)
    if lost := (results.paired["reason"] != "").sum():
        yield caution("trials", "left_out", lost=lost, n=len(results.paired))
    yield from _failure_warnings(results)
    yield from _saturated_warnings(results)
    yield from _noise_warnings(results)
    if results.suite.bases < FEWEST_BASES:
        nothing, why = "nothing is concluded", "as two can agree by chance"
        known = {"bases": results.suite.bases, "fewest": FEWEST_BASES}
        yield caution("bases", "few", nothing=nothing, why=why, **known)
    leading = power.leading_test(results.layout)
    if not leading.why_not and (leading.detects or inf) > power.TYPICAL:
        weak = {"bases": results.suite.bases, "advice": power.advice(results.layout)[:1]}
        yield caution("bases", "weak", detects=leading.detects, **weak)
    yield from record_warnings(results.records, results.labs)
    enough = results.paired["n_bases"].fillna(0) >= FEWEST_BASES
    if n := (enough & results.paired["low"].isna()).sum():
        yield caution("bases", "flat", n=n)
    yield from _behind_published(results)
    if said := summary(results.published):
        yield f"{said} The table 'Ours and the published' names them."
    yield from _cost_warnings(results)
    yield from latency.warnings(results)
    yield from _training_warnings(results)
    yield from _width_warnings(results)


def scope(results: Results) -> str:
    """Of what nothing is said, where the problems are toys or no sample; else empty."""
    if of_toys := toys(results.suite):
        return of_toys
    alone = len(results.problems) == 1 or power.sampling_test(results.layout).why_not
    return caution("scope", "no_sample") if alone else ""


def toys(suite: AnySuite) -> str:
    """That nothing is said of other data, where all datasets are toys; else empty."""
    names = list(dict.fromkeys(one.name for one in suite.datasets))
    return caution("scope", "toys", names=names) if set(names) <= TOYS else ""


def _carried_warnings(results: Results) -> Iterator[str]:
    """Shown differences of which less than half is left without one model, or one dataset."""
    told = results.overall[results.overall["word"].isin(["better", "worse"])]
    table = results.by_factor.drop(columns="mean").merge(told[[*PAIR, "mean"]], on=PAIR)
    table["left"] = table["without"] / table["mean"]
    if it := table[table["left"] < 0.5].sort_values("left").to_dict("records"):
        yield caution("problems", "carried", it)


def _noise_warnings(results: Results) -> Iterator[str]:
    """Whether a method run again, or one image, moves by more than what counts as a difference."""
    floor, rope = results.noise["aa_sd"].max(), results.suite.analysis.rope
    if floor > rope:
        yield caution("noise", "itself", floor=floor, rope=rope)
    for dataset, points in one_image(results.trials).items():
        if points > rope:
            yield caution("noise", "one_image", dataset=dataset, points=points, rope=rope)


def one_image(trials: pd.DataFrame) -> dict[str, float]:
    """What one test image is worth in points, by `digits (360 images)`; of trials that tell."""
    if trials.empty or not spoken().counts:
        return {}
    images = trials.dropna(subset=["test_images"]).groupby("dataset")["test_images"].min()
    return {f"{name} ({counted(int(n), 'image')})": 100 / n for name, n in images.items()}


def _saturated_warnings(results: Results) -> Iterator[str]:
    """Budgets that tell nothing and still weigh in the mean: by fixed rules, named, never dropped.
    They stay in, for a grid that depended on the results would change what was declared."""
    rope = results.suite.analysis.rope
    table = saturated(results.cells, rope)
    for why in ("alike", "lost"):
        places = [
            f"{row['problem']} {row['recovery']} at {budget_words(row['cost'], row['budget'])}"
            for row in table[table["why"] == why].to_dict("records")
        ]
        if places:
            yield caution("budgets", why, places=places, rope=rope, lost=1 - LOST)


def saturated(cells: pd.DataFrame, rope: float) -> pd.DataFrame:
    """One row a (problem, recovery, budget) that tells no method from another.

    Columns: these, `cost`, and `why`: `lost`, where the best mean top-1 is below `LOST` of the
    dense one, else `alike`, where all means lie within `rope` points. Of complete cells, two or
    more; matched controls do not count.
    """
    whole = cells[cells["complete"].astype(bool) & cells["matched_to"].isna()]
    rows = []
    for key, group in whole.groupby(["problem", "recovery", "budget"], sort=False):
        kept = group["retained_top1"].astype(float)
        dense = (group["top1"] - kept).max()
        none_left = spoken().least == 0 and group["top1"].max() < LOST * dense
        why = "lost" if none_left else "alike"
        if len(group) > 1 and (why == "lost" or kept.max() - kept.min() <= rope):
            rows.append((*key, group["cost"].iloc[0], why))
    return pd.DataFrame(rows, columns=["problem", "recovery", "budget", "cost", "why"])


def _failure_warnings(results: Results) -> Iterator[str]:
    """Who failed, how, and what that means for what may be said."""
    lost = Counter((method, how) for (_, _, method), how in failures(results.cells).items())
    if not lost:
        return
    who = [f"{method} {how} ({n})" for (method, how), n in sorted(lost.items())]
    worst = results.suite.analysis.failures == "worst"
    yield caution("trials", "failures", who=who, worst=worst)


def _cost_warnings(results: Results) -> Iterator[str]:
    if results.trials.empty:
        return
    axis = results.suite.budgets.cost
    if axis == "threshold":
        kept = 100 * results.trials["macs_ratio"]
        yield caution("budgets", "threshold", low=kept.min(), high=kept.max())
        return
    off = off_budget(results.trials, axis)
    if not off.empty:
        who = off_by_method(off, axis)
        yield caution("budgets", "missed", axis=WORDS[axis], n=len(off), who=who, most=SHOWN_OFF)
    same = {axis, "params"} if axis == "weights" else {axis}  # parameters follow up to a constant
    for other in ("macs", "params"):
        if other not in same:
            yield from _unequal(results.trials.drop(off.index), axis, other)


def _unequal(met: pd.DataFrame, axis: Axis, other: Axis) -> Iterator[str]:
    """How far trials that met one budget lie apart in another cost."""
    means = 100 * met.groupby(["problem", "budget", "method"])[f"{other}_ratio"].mean().unstack()
    ratio = means.max(axis=1) / means.min(axis=1)
    each = ratio.groupby("problem").max()
    if ratio.empty or ratio.max() <= UNEQUAL:
        return
    problem, budget = cast("tuple[str, float]", ratio.idxmax())
    known = {"axis": WORDS[axis], "other": WORDS[other], "problem": problem, "budget": budget}
    kept, n = means.xs((problem, budget)), int((each > UNEQUAL).sum())
    yield caution("budgets", "unequal", n=n, kept=kept, **known)


def _training_warnings(results: Results) -> Iterator[str]:
    """How far the training compute of methods lies apart under one recovery."""
    for recovery, rows in results.trials.groupby("recovery", sort=False):
        means = rows.groupby("method")["images_trained"].mean()
        if means.max() <= UNEQUAL * means.min() or means.max() == 0:
            continue
        least, most = (number(one, 2).text for one in (means.min(), means.max()))
        idle = int((means == 0).sum())
        known = {"recovery": recovery, "means": means, "least": least, "most": most, "idle": idle}
        yield caution("training", "some" if idle else "unequal", **known)


def _behind_published(results: Results) -> Iterator[str]:
    """Dense networks that stay behind what others have published of the same."""
    if results.dense.empty:
        return
    ours = results.dense.groupby("problem")["dense_top1"].mean()
    for dataset, model in results.suite.problems:
        known = published_dense().get((dataset.name, model.name))
        problem = problem_name(dataset, model)
        if known is None or problem not in ours or dataset.test_images:
            continue
        assert known.value is not None
        if ours[problem] < known.value - BEHIND:
            known_as = {"problem": problem, "ours": ours[problem], "known": known}
            yield caution("bases", "behind_published", **known_as)


def _width_warnings(results: Results) -> Iterator[str]:
    suite = results.suite
    single = [one.name for one in suite.methods if (one.scope or suite.selection.scope) == "local"]
    if 0 < len(single) < len(suite.methods) and not suite.budgets.unstructured:
        matched = any(one.matched for one in suite.methods)
        yield caution("widths", "scopes", single=single, matched=matched)
    done = [(one.labels, one.measurements) for one in results.records if one.measurements]
    thin = [
        (kept / channels, f"{kept} of {channels} in {root} ({labels.method}, {labels.at})")
        for labels, found in done
        for root, (kept, channels) in found.widths.items()
        if kept < THIN * channels
    ]
    if thin:
        n, thinnest = len(thin), min(thin)[1]
        yield caution("widths", "thin", share=THIN, n=n, thinnest=thinnest)
    if trimmed := [(labels.method, found.trimmed) for labels, found in done if found.trimmed]:
        methods, numbers = [*dict.fromkeys(one for one, _ in trimmed)], [n for _, n in trimmed]
        yield caution("widths", "trimmed", methods=methods, trimmed=numbers)
