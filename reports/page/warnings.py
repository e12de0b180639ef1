"""What to read with care: everything that a reader should know before believing a number."""

from collections import Counter
from collections.abc import Iterator
from typing import cast

import pandas as pd

from suites.problem import problem_name
from suites.protocol import Axis

from ..analysis import power
from ..analysis.against_published import summary
from ..analysis.cells import failures
from ..analysis.off_budget import off_budget, off_by_method
from ..analysis.published import published_dense
from ..analysis.results import Results
from ..formats import after, counted, number
from ..records import budget_words
from ..statistics import FEWEST_BASES
from . import latency
from .checklist import TOYS
from .findings import few, left_out
from .record_warnings import IGNORED, missing_warnings, record_warnings
from .wording import WORDS

LOST = 0.25  # share of the dense top-1 below which a method has kept nothing to compare
BEHIND = 0.5  # points below a published dense top-1 from which on it is worth a word
THIN = 0.05  # share of a layer's channels from which on it is worth a word
SHOWN_OFF = 6  # methods off their budget that are named
UNEQUAL = 1.25  # ratio of the other cost at one budget from which it is worth a word


def warnings(results: Results) -> Iterator[str]:
    """Everything a reader should know before believing a number."""
    if said := scope(results):
        yield said
    yield from missing_warnings(results.records, len(results.expected))
    lost = len(left_out(results))
    if lost:
        yield (
            f"{lost} of {len(results.paired)} comparisons on single problems are left out, because "
            "a trial of one of the two methods is missing."
        )
    yield from _failure_warnings(results)
    yield from _saturated_warnings(results)
    yield from _noise_warnings(results)
    yield from _image_warnings(results)
    if results.ignored:
        yield IGNORED.format(results.ignored)
    if results.suite.bases < FEWEST_BASES:
        yield (
            f"Only {counted(results.suite.bases, 'base')} per problem: there are no intervals, and "
            f"nothing is concluded. It takes {FEWEST_BASES}, as two can agree by chance."
        )
    yield from record_warnings(results.records)
    enough = results.paired["n_bases"].fillna(0) >= FEWEST_BASES
    flat = enough & results.paired["low"].isna()
    if flat.any():
        yield (
            f"Differences that are equal on all bases, to the last image: {flat.sum()}. Their "
            "spread is unknown, not zero. They have no interval, and nothing is concluded."
        )
    yield from _behind_published(results)
    if said := summary(results.published):
        yield f"{said} The table 'Ours and the published' names them."
    yield from _cost_warnings(results)
    yield from latency.warnings(results)
    yield from _training_warnings(results)
    yield from _width_warnings(results)


def scope(results: Results) -> str:
    """Of what nothing is said, where the problems are toys or no sample; else empty."""
    names = list(dict.fromkeys(one.name for one in results.suite.datasets))
    if set(names) <= TOYS:
        lead = f"These are small networks on {' and '.join(names)}"
    elif len(results.problems) == 1 or power.sampling_test(results.layout).why_not:
        lead = "These problems are no sample of others"
    else:
        return ""
    return f"{lead}: nothing here is said of other networks or data."


def _noise_warnings(results: Results) -> Iterator[str]:
    """Whether a method lies further from itself than what counts as a difference."""
    floor, rope = results.noise["aa_sd"].max(), results.suite.analysis.rope
    if floor > rope:
        yield (
            f"A method run again differs from itself by up to {floor:.2f} points (standard "
            f"deviation over repeats), more than the ROPE of {counted(rope, 'point')}. "
            "Differences of that size are no finding."
        )


def one_image(trials: pd.DataFrame) -> dict[str, float]:
    """What one test image is worth in points, by `digits (360 images)`; of trials that tell."""
    if trials.empty:
        return {}
    images = trials.dropna(subset=["test_images"]).groupby("dataset")["test_images"].min()
    return {f"{name} ({counted(int(n), 'image')})": 100 / n for name, n in images.items()}


def _image_warnings(results: Results) -> Iterator[str]:
    """Where accuracy moves in steps that are larger than what counts as a difference."""
    rope = results.suite.analysis.rope
    for dataset, points in one_image(results.trials).items():
        if points > rope:
            yield (
                f"One test image of {dataset} is worth {points:.2g} points, more than the ROPE of "
                f"{counted(rope, 'point')}. Smaller differences are no finding."
            )


def _saturated_warnings(results: Results) -> Iterator[str]:
    """Budgets that tell nothing and still weigh in the mean: by fixed rules, named, never dropped.

    They stay in, for a grid that depended on the results would change what was declared.
    """
    rope = results.suite.analysis.rope
    table = saturated(results.cells, rope)
    rules = {
        "alike": f"all methods lie within {counted(rope, 'point')} (the ROPE) of each other",
        "lost": f"every method has lost {100 - 100 * LOST:g} % of the dense top-1 accuracy",
    }
    for why, rule in rules.items():
        rows = table[table["why"] == why]
        places = [
            f"{row['problem']} {row['recovery']} at {budget_words(row['cost'], row['budget'])}"
            for row in rows.to_dict("records")
        ]
        if places:
            yield (
                f"Budgets at which {rule}: {few(places, ' ')}. They tell no methods apart, and "
                "stay in, as they were declared."
            )


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
        why = "lost" if group["top1"].max() < LOST * dense else "alike"
        if len(group) > 1 and (why == "lost" or kept.max() - kept.min() <= rope):
            rows.append((*key, group["cost"].iloc[0], why))
    return pd.DataFrame(rows, columns=["problem", "recovery", "budget", "cost", "why"])


def _failure_warnings(results: Results) -> Iterator[str]:
    """Who failed, how, and what that means for what may be said."""
    lost = Counter((method, how) for (_, _, method), how in failures(results.cells).items())
    if not lost:
        return
    who = ", ".join(f"{method} {how} ({n})" for (method, how), n in sorted(lost.items()))
    means = (
        "is called better nowhere, and takes the worst rank there"
        if results.suite.analysis.failures == "worst"
        else "leaves those problems out of its comparisons"
    )
    yield (
        f"Without a result, with the number of problems and recoveries: {who}. A method that "
        f"failed {means}. Differences are of the problems on which both methods have a result."
    )


def _cost_warnings(results: Results) -> Iterator[str]:
    if results.trials.empty:
        return
    axis = results.suite.budgets.cost
    if axis == "threshold":
        kept = 100 * results.trials["macs_ratio"]
        yield (
            "Budgets are settings of the methods' own threshold, so MACs kept differ: from "
            f"{kept.min():.0f} % to {kept.max():.0f} %. Only a method and its matched controls "
            "keep equal MACs."
        )
        return
    off = off_budget(results.trials, axis)
    if not off.empty:
        who = off_by_method(off, axis)
        yield (
            f"Off their budget by more than 1 % of the dense {WORDS[axis]}: "
            f"{counted(len(off), 'trial')}. "
            f"{'Farthest, by' if len(who) > SHOWN_OFF else 'By'} method: "
            f"{'; '.join(who[:SHOWN_OFF])}. Such "
            "differences are at unequal cost."
        )
    costs: tuple[Axis, ...] = ("macs", "params")
    if axis == "weights":  # which parameters follow up to a constant
        costs = ("macs",)
    for other in costs:
        if other != axis:
            yield from _unequal(results.trials.drop(off.index), axis, other)


def _unequal(met: pd.DataFrame, axis: Axis, other: Axis) -> Iterator[str]:
    """How far trials that met one budget lie apart in another cost."""
    means = 100 * met.groupby(["problem", "budget", "method"])[f"{other}_ratio"].mean().unstack()
    ratio = means.max(axis=1) / means.min(axis=1)
    each = ratio.groupby("problem").max()
    if ratio.empty or ratio.max() <= UNEQUAL:
        return
    problem, budget = cast("tuple[str, float]", ratio.idxmax())
    worst, n = means.xs((problem, budget)), int((each > UNEQUAL).sum())
    most = f", the farthest of {n} such problems" if n > 1 else ""
    yield (
        f"Equal {WORDS[axis]}, unequal {WORDS[other]}: at {100 * budget:g} % of the {WORDS[axis]} "
        f"on {problem}{most}, methods keep {worst.min():.0f} % ({worst.idxmin()}) to "
        f"{worst.max():.0f} % ({worst.idxmax()}) of the {WORDS[other]}."
    )


def _training_warnings(results: Results) -> Iterator[str]:
    """How far the training compute of methods lies apart under one recovery."""
    for recovery, rows in results.trials.groupby("recovery", sort=False):
        means = rows.groupby("method")["images_trained"].mean()
        if means.max() <= UNEQUAL * means.min() or means.max() == 0:
            continue
        most = number(means.max(), 2).text
        if means.min() == 0:
            none = int((means == 0).sum())
            yield (
                f"Unequal training {after(str(recovery))}: {none} of {len(means)} methods train "
                f"on no image after the base, {means.idxmax()} on {most}. What such methods gain "
                "may come from training."
            )
        else:
            yield (
                f"Unequal training {after(str(recovery))}: from {number(means.min(), 2).text} "
                f"images after the base ({means.idxmin()}) to {most} ({means.idxmax()}). For equal "
                "compute: {finetune: RECIPE, total_epochs: N}."
            )


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
            yield (
                f"The dense networks of {problem} reach {ours[problem]:.2f} % top-1, below "
                f"the {known.value:.2f} % of {known.source}. Gains over a weak baseline "
                "may not carry over."
            )


def _width_warnings(results: Results) -> Iterator[str]:
    done = [(one.labels, one.measurements) for one in results.records if one.measurements]
    thin = [
        (kept / channels, f"{kept} of {channels} in {root} ({labels.method}, {labels.at})")
        for labels, found in done
        for root, (kept, channels) in found.widths.items()
        if kept < THIN * channels
    ]
    if thin:
        yield (
            f"Layers that keep less than {100 * THIN:g} % of their channels: {len(thin)}, over all "
            f"trials. The thinnest keeps {min(thin)[1]}."
        )
    trimmed = [found.trimmed for _, found in done if found.trimmed]
    if trimmed:
        yield (
            "No threshold of a selector met the budget alone. Single channels beyond it were "
            f"removed in {counted(len(trimmed), 'trial')}, at most {max(trimmed)} in one."
        )
