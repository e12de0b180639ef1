"""What is wrong with the records themselves: trials that are missing, and differences in how they
were made.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..analysis.labs import shared
from ..formats import counted
from ..metric import spoken
from ..records import Record
from .captions import caution
from .findings import provenance

# Parts of provenance names: differences here may move results; a host's name does not.
_MADE_BY = ("version", "package", "python", "git", "platform")
_TOLD_APART = (*_MADE_BY, "device", "cpu", "gpu", "thread", "memory_format")


def missing_warnings(records: Sequence[Record], expected: int, ignored: int) -> Iterator[str]:
    """How many trials of the plan did not finish, how they ended, and what is of no plan."""
    status = Counter(one.outcome for one in records)
    if missing := expected - status["done"]:
        known = {"missing": missing, "expected": expected, "not_run": expected - len(records)}
        yield caution("trials", "missing", status=status, **known)
    if ignored:
        yield caution("trials", "ignored", n=ignored)


def record_warnings(
    records: Sequence[Record], labs: Mapping[str, Sequence[Record]] = MappingProxyType({})
) -> Iterator[str]:
    """What differs between records that should not, be it in another lab; hardly trained bases."""
    yield from differences(records)
    dense, metric = dict[str, dict[int, float]](), spoken()
    for record in records:
        measured = record.measurements or record.fidelity
        if measured is not None and (top1 := metric.scale * measured.dense.top1) < metric.poor:
            dense.setdefault(record.labels.problem, {})[record.labels.base] = top1
    for problem, bases in sorted(dense.items()):
        yield caution("bases", "poor", problem=problem, bases=bases, limit=metric.poor)
    if who := list(_constant(records)):
        yield caution("methods", "constant", who=who)
    for names in twins(records):
        yield caution("methods", "twins", names=names)
    both = shared(labs)
    if apart := [str(one) for one in both if one.apart]:
        yield caution("records", "labs", apart, of=len(both))


def _constant(records: Sequence[Record]) -> Iterator[str]:
    """`l2 (on 3 of 6 paths)`: who gave all units of some layer one score; most paths first."""
    paths, lost = defaultdict[str, set[Any]](set), defaultdict[str, set[Any]](set)
    for one in records:
        if one.measurements:
            path = one.labels.problem, one.labels.base, one.labels.repeat
            paths[one.labels.method].add(path)
            if one.measurements.constant:
                lost[one.labels.method].add(path)
    for name in sorted(lost, key=lambda name: -len(lost[name])):
        yield f"{name} (on {len(lost[name])} of {counted(len(paths[name]), 'path')})"


def twins(records: Iterable[Record]) -> list[list[str]]:
    """Names of methods that left the same units, and the same accuracy, in each of their trials:
    equal units have unequal weights where they were trained in other ways."""
    left: dict[str, set[Any]] = defaultdict(set)  # repeats may be one or many
    for one in records:
        if (found := one.measurements) is None or not found.kept_sha256:
            continue
        of = one.labels
        place = of.problem, of.recovery, of.cost, of.budget, of.base
        left[of.method].add((place, found.kept_sha256, found.pruned.top1))
    alike: dict[Any, list[str]] = defaultdict(list)
    for method, trials in left.items():
        alike[frozenset(trials)].append(method)
    return [sorted(names) for names in alike.values() if len(names) > 1]


def differences(records: Sequence[Record]) -> Iterator[str]:
    """What differs between records that should not. Pairing rests on one network a base; records
    made apart may hold several under one name."""
    weights: dict[tuple[str, int], set[str]] = defaultdict(set)
    for record in records:
        sha = record.provenance.get("base_sha256")  # after its preparation, where there is one
        prepared = record.measurements is not None and "prepare" in record.measurements.phases
        if sha and not prepared:
            weights[record.labels.problem, record.labels.base].add(str(sha))
    for (problem, base), several in sorted(weights.items()):
        if len(several) > 1:
            yield caution("bases", "several", problem=problem, base=base, n=len(several))
    for name, values in sorted(provenance(records).items()):
        if len(values) > 1 and any(word in name.lower() for word in _TOLD_APART):
            hashes = set("0123456789abcdef")  # by their first letters
            brief = [one[:10] if set(one) <= hashes else one for one in sorted(values)]
            yield caution("records", "differ", name=name, values=brief)
