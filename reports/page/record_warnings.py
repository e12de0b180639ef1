"""What is wrong with the records themselves: trials that are missing, and differences in how they
were made.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..records import Labels, Record
from .findings import few, provenance

LOW_DENSE_TOP1 = 50.0  # percent; a base below it is hardly trained
IGNORED = "Records left out, as they belong to no trial of the plan: {}."
# Parts of provenance names: differences here may move results; a host's name does not.
_TOLD_APART = ("version", "package", "python", "git", "platform", "device", "cpu", "gpu", "thread")


def missing_warnings(records: Sequence[Record], expected: int) -> Iterator[str]:
    """How many trials of the plan did not finish, and how they ended."""
    status = Counter(one.outcome for one in records)
    if status["done"] < expected:
        parts = [
            f"{status[one]} {one}" for one in ("failed", "timed out", "infeasible") if status[one]
        ]
        parts.append(f"{expected - len(records)} not run")
        missing = expected - status["done"]
        yield f"{missing} of {expected} trials are missing: {', '.join(parts)}."


def record_warnings(records: Sequence[Record]) -> Iterator[str]:
    """What differs between records that should not, and bases that are hardly trained."""
    yield from differences(records)
    dense: dict[tuple[str, int], float] = {}
    for record in records:
        measured = record.measurements or record.fidelity
        if measured is not None:
            place = (record.labels.problem, record.labels.base)
            dense.setdefault(place, 100 * measured.dense.top1)
    for (problem, base), top1 in dense.items():
        if top1 < LOW_DENSE_TOP1:
            yield (
                f"Base {base} of {problem} has {top1:.1f} % dense top-1. "
                "Pruning a poorly trained network says little."
            )
    yield from _constant(records)
    for names in twins(records):
        yield (
            f"One method under several names: {few(names)} left the same units in every trial. "
            "Count them once."
        )


def _constant(records: Sequence[Record]) -> Iterator[str]:
    """Criteria that gave all units of a group one score."""
    lost = Counter(
        one.labels.method for one in records if one.measurements and one.measurements.constant
    )
    if lost:
        yield (
            f"Constant scores, with the number of trials: "
            f"{few([f'{name} ({n})' for name, n in lost.most_common()])}. All units of some layer "
            "had one score, so their place alone decided which were removed."
        )


def twins(records: Iterable[Record]) -> list[list[str]]:
    """Names of methods that left the same units in each of their trials.

    Where records of old do not tell units: the same widths, and the same accuracy and loss. Of
    methods that train on their way also the same accuracy, as equal units have unequal weights.
    """
    left: dict[str, dict[Labels, Any]] = defaultdict(dict)
    for one in records:
        if (found := one.measurements) is None or not (found.widths or found.weights):
            continue
        place = one.labels.model_copy(update={"method": "", "matched_to": None})
        units: Any = found.kept_sha256
        if not units:
            units = (*found.widths.items(), *found.weights.items(), found.pruned.loss)
        end = found.pruned.top1 if found.phases or not found.kept_sha256 else None
        left[one.labels.method][place] = units, end
    alike: dict[Any, list[str]] = defaultdict(list)
    for method, trials in left.items():
        alike[frozenset(trials.items())].append(method)
    return [sorted(names) for names in alike.values() if len(names) > 1]


def differences(records: Sequence[Record]) -> Iterator[str]:
    """What differs between records that should not.

    Pairing rests on one network a base; records made apart may hold several under one name.
    """
    weights: dict[tuple[str, int], set[str]] = defaultdict(set)
    for record in records:
        sha = record.provenance.get("base_sha256")  # after its preparation, where there is one
        prepared = record.measurements is not None and "prepare" in record.measurements.phases
        if sha and not prepared:
            weights[record.labels.problem, record.labels.base].add(str(sha))
    for (problem, base), several in sorted(weights.items()):
        if len(several) > 1:
            yield (
                f"Base {base} of {problem} is {len(several)} different networks, as its records "
                "were made apart. Differences between methods on it are not paired."
            )
    for name, values in sorted(provenance(records).items()):
        if len(values) > 1 and any(word in name.lower() for word in _TOLD_APART):
            yield f"The records differ in {name}: {', '.join(_brief(values))}."


def _brief(values: Iterable[str]) -> list[str]:
    """Hashes by their first letters."""
    return [one[:10] if set(one) <= set("0123456789abcdef") else one for one in sorted(values)]
