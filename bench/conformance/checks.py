"""The checks: each looks at a criterion's behaviour on one family and says what holds."""

from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import extract_tb

import torch
from torch import Tensor

from criteria import Criterion, Group, Member, NotApplicable
from criteria.registry import scores_weights
from criteria.selector import Selector
from reports.formats import few

from .behaviour import Behaviour, Case, Scoring, contributes, units_of
from .finding import Finding, Verdict
from .networks import permute_

# Two ways to add the same float64 numbers differ by some 1e-15 of the largest; what solves linear
# systems loses up to a million times that. What looks at places is off by far more.
EQUIVARIANT = 1e-8
SAME_SUM = 1e-9
SINGLE_PRECISION = 1e-6  # float32 sums in another order stay below, other formulas do not

Said = tuple[Verdict, str]


def inspect(seen: Behaviour) -> list[Finding]:
    """Put one criterion to all checks on one family, in the order of `CHECKS`."""
    findings = []
    blocked = None
    for name, check in CHECKS.items():
        reason = None if name in ALWAYS else blocked
        if name in OF_CHANNELS and not seen.entry.structured:
            reason = "scores single weights, no channels"
        if name == "weights as units" and not scores_weights(seen.entry.name, {}):
            reason = "scores channels, no single weights"
        verdict, said = check(seen) if reason is None else ("not applicable", reason)
        findings.append(Finding(seen.entry.name, name, seen.family, verdict, said))
        if name in GATES and verdict == "fail" and not blocked:
            blocked = f"not looked at, as '{name}' fails"
        elif name == "runs" and verdict == "not applicable":
            blocked = said
    return findings


def runs(seen: Behaviour) -> Said:
    """It scores, or says with NotApplicable why it cannot."""
    error = seen.alone.error
    if error is None:
        return "pass", "scores every group"
    if isinstance(error, NotApplicable):
        return "not applicable", str(error)
    lines = extract_tb(error.__traceback__)
    at = f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno})" if lines else ""
    return "fail", f"{type(error).__name__}: {error}{at}"


def leaves_alone(seen: Behaviour) -> Said:
    """Parameters, buffers, gradients, flags, modes, hooks and global random states stay."""
    if not seen.changed:
        return "pass", "model, gradients, hooks and random states are as before"
    return "fail", f"{few(seen.changed, ' ')} changed while it scored"


def shape(seen: Behaviour) -> Said:
    """One tensor a group, of `[units]`; a selector's evidence as it declares it."""
    fault = shape_fault(seen.alone, units_of(seen.entry, seen.case))
    return ("fail", fault) if fault else ("pass", "one tensor a group, of the right shape")


def finite(seen: Behaviour) -> Said:
    """No NaN and no infinity."""
    fault = not_finite(seen.alone, units_of(seen.entry, seen.case))
    return ("fail", fault) if fault else ("pass", "no NaN, no infinity")


def deterministic(seen: Behaviour) -> Said:
    """The same seed gives the same bits, whoever else is scored in the same pass."""
    if seen.again.error is not None:
        return "fail", f"a second run with the same seed raises: {seen.again.error}"
    worst = _apart(seen.alone, seen.again)
    if worst == 0:
        return "pass", "same seed, same bits"
    return "fail", f"a second run with the same seed differs by {worst:.0e} of the largest score"


def equivariant(seen: Behaviour) -> Said:
    """Scores belong to channels, not to their place: permuting units permutes the scores."""
    if seen.alone.draws:
        return "not applicable", "draws random numbers, which belong to places"
    if seen.permuted.error is not None:
        return "fail", f"raises on permuted channels: {seen.permuted.error}"
    expected = [  # `[units]`, or a selector's `[units, units]`
        values[order] if values.dim() == 1 else values[order][:, order]
        for values, order in zip(seen.alone.scores, seen.case.orders, strict=True)
    ]
    off = {
        group.root: _distance(one, other)
        for group, one, other in zip(seen.case.groups, expected, seen.permuted.scores, strict=True)
    }
    worst = max(off, key=lambda root: off[root])
    if not off[worst] <= EQUIVARIANT:
        return "fail", f"scores do not follow permuted channels: group {worst}, by {off[worst]:.0e}"
    if seen.entry.selector is not None:
        return _removed_follow(seen.entry.selector, seen)
    return "pass", f"scores follow permuted channels within {EQUIVARIANT:g} of the largest"


def members(seen: Behaviour) -> Said:
    """Every member that it says it counts matters to the score (of the reduction `first`: the first
    of each group). One that has its own `scores` reduces as it likes."""
    criterion = seen.alone.criterion
    if criterion is None or seen.entry.type.scores is not Criterion.scores:
        return "not applicable", "has scores() of its own"
    first = 1 if getattr(criterion.options, "reduction", None) == "first" else None
    counted = [one for group in criterion.groups for one in criterion.counted(group)[:first]]
    if deaf := [one for one in counted if not contributes(criterion, one)]:
        places = few([f"{one.name} ({one.kind} {one.side})" for one in deaf], " ")
        return "fail", f"counts() names {places}, but the scores do not depend on it"
    every = [one for group in criterion.groups for one in group.members if one.scored]
    rest = [one for one in every if one not in counted]
    return "pass", f"leaves out {_kinds(rest)}" if rest else "every member counts"


def batch_order(seen: Behaviour) -> Said:
    """Sums over batches do not depend on the order of the batches."""
    if seen.alone.criterion is None or not seen.alone.criterion.needs:
        return "not applicable", "sees no data"
    if seen.alone.draws:
        return "not applicable", "draws random numbers batch by batch"
    if seen.reordered.error is not None:
        return "fail", f"raises on batches in another order: {seen.reordered.error}"
    worst = _apart(seen.alone, seen.reordered)
    if worst <= SAME_SUM:
        return "pass", f"the same within {SAME_SUM:g}"
    if worst <= SINGLE_PRECISION:
        return "fail", f"differs by {worst:.0e}: rounding of single precision; add up in float64"
    return "information", "depends on batch order"


def weights(seen: Behaviour) -> Said:
    """Single weights as units: finite scores of the right shapes, which follow the channels."""
    groups = seen.case.weight_groups
    for scoring in (seen.weights, seen.weights_permuted):
        if scoring.error is not None:
            return "fail", f"raises with weights as units: {scoring.error}"
        if fault := shape_fault(scoring, groups) or not_finite(scoring, groups):
            return "fail", fault
    if seen.weights.draws:
        return "pass", "finite, of the right shapes; drawn at random"
    expected = _as_parameters(seen.weights, seen.case)
    permute_(expected, seen.case.groups, seen.case.orders)
    for name, scores in _as_parameters(seen.weights_permuted, seen.case).items():
        if not _distance(expected[name], scores) <= EQUIVARIANT:
            return "fail", f"the scores of {name} do not follow permuted channels"
    return "pass", "finite, of the right shapes, and they follow permuted channels"


CHECKS: dict[str, Callable[[Behaviour], Said]] = {
    "leaves the model alone": leaves_alone, "runs": runs, "shape": shape, "finite": finite,
    "deterministic": deterministic, "permutation-equivariant": equivariant,
    "counts its members": members, "batch order": batch_order, "weights as units": weights,
}  # fmt: skip
ALWAYS = ("leaves the model alone", "runs")
GATES = ("leaves the model alone", "runs", "shape", "finite")  # the others build on these
OF_CHANNELS = ("permutation-equivariant", "counts its members")


def shape_fault(scoring: Scoring, groups: Sequence[Group]) -> str | None:
    """What is wrong about the shapes, in words."""
    if not isinstance(scoring.scores, list | tuple) or len(scoring.scores) != len(groups):
        count = len(scoring.scores) if isinstance(scoring.scores, list | tuple) else "no list"
        return f"scores() should return a list of {len(groups)} tensors, one a group: {count}"
    for group, values, expected in zip(groups, scoring.scores, scoring.shapes, strict=True):
        if not isinstance(values, Tensor):
            return f"group {group.root}: {type(values).__name__} instead of a tensor"
        if values.shape != expected:
            return f"group {group.root}: shape {tuple(values.shape)} instead of {expected}"
    return None


def not_finite(scoring: Scoring, groups: Sequence[Group]) -> str | None:
    """The first group with NaN or infinity, in words."""
    for group, values in zip(groups, scoring.scores, strict=True):
        if bad := int((~torch.isfinite(values)).sum()):
            return f"group {group.root}: {bad} of {values.numel()} values are NaN or infinite"
    return None


def _distance(one: Tensor, other: Tensor) -> float:
    """Largest difference over the largest size; infinite where there are NaN or infinities."""
    if torch.equal(one, other):
        return 0.0
    one, other = one.double(), other.double()
    distance = (one - other).abs().max() / torch.maximum(one.abs(), other.abs()).max()
    return float(distance.nan_to_num(nan=torch.inf))


def _apart(one: Scoring, other: Scoring) -> float:
    pairs = zip(one.scores, other.scores, strict=True)
    return max(_distance(first, second) for first, second in pairs)


def _removed_follow(selector: type[Selector], seen: Behaviour) -> Said:
    """Whether equal thresholds of a selector remove the same channels of the twin."""
    first, last = selector.knob
    for threshold in (first + share * (last - first) for share in (0.0, 0.25, 0.5, 0.75, 1.0)):
        for evidence, twin, order in zip(
            seen.alone.scores, seen.permuted.scores, seen.case.orders, strict=True
        ):
            gone = order[selector.removed(twin, threshold)].sort().values
            if not torch.equal(gone, selector.removed(evidence, threshold).sort().values):
                others = "other channels leave when permuted"
                return "fail", f"at {threshold:.2g} of its threshold {others}"
    return "pass", "evidence and removed sets follow permuted channels"


def _as_parameters(scoring: Scoring, at: Case) -> dict[str, Tensor]:
    """Scores of single weights, named and shaped as the parameters; a copy."""
    return {
        f"{group.root}.weight": values.reshape(
            at.model.get_submodule(group.root).get_parameter("weight").shape
        ).clone()
        for group, values in zip(at.weight_groups, scoring.scores, strict=True)
    }


def _kinds(found: Sequence[Member]) -> str:
    """`batchnorm, conv in`: kinds and sides, as the names differ from network to network."""
    kinds = {one.kind if one.side == "both" else f"{one.kind} {one.side}" for one in found}
    return ", ".join(sorted(kinds))
