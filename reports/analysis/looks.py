"""Which trials a suite needs that is decided look by look: a function of its records alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from suites.schema import AnySuite, Suite

from ..records import Labels, Record, of_its_metric


@dataclass(frozen=True)
class Course:
    """How far a suite has come."""

    # Trials up to the look that comes next, or to the last that was needed, in the order of the
    # plan; those that have run among them.
    needed: list[Labels]
    looks: list[int]  # numbers of bases
    taken: list[Counter[str]]  # comparisons that are called what, at each look that was taken
    going: frozenset[tuple[str, str, str]]  # (recovery, method, reference) of the next look
    planned: int  # trials, were nothing decided before the last look

    @property
    def ended(self) -> bool:
        """Whether no more trials are needed."""
        return bool(self.taken) and not self.going

    @property
    def last_look(self) -> str:
        """What the last look has found."""
        return self._told("last_look", methods=len({method for _, method, _ in self.going}))

    @property
    def outcome(self) -> str:
        """What has come of it, once no more trials are needed."""
        return self._told("outcome")

    def _told(self, part: str, **known: int) -> str:
        from ..words import Words  # loads pandas

        words = self.taken[-1]
        open_ = words["undecided"] + words["not compared"]
        told = Words("looks.yaml")
        return told("looks", part, of=self, words=words, open=open_, **known)


@of_its_metric
def course(suite: AnySuite, records: Sequence[Record], expected: Sequence[Labels]) -> Course:
    """What the looks of a suite ask for, after what its records say.

    Up to the first look all trials are needed. At a look, once all of its trials have ended, the
    comparisons are decided that can be; those that cannot go on to the next with both of their
    methods, under the recovery in question. A comparison that failures leave undecided for good
    does not go on. A suite without looks needs its whole plan, of which `expected` are the labels.
    """
    if not isinstance(suite, Suite) or not suite.analysis.looks:
        return Course(list(expected), [], [], frozenset(), len(expected))
    from .cells import scores  # loads pandas
    from .over_problems import overall

    looks = suite.analysis.looks
    upto = {(one.recovery, one.method): looks[0] for one in expected}
    going: set[tuple[str, str, str]] = set()
    taken: list[Counter[str]] = []
    by_labels = {one.labels: one for one in records}
    for bases in looks:
        for recovery, *both in going:
            upto |= dict.fromkeys([(recovery, one) for one in both], bases)
        wanted = [one for one in expected if one.base < upto[one.recovery, one.method]]
        if not by_labels.keys() >= set(wanted):
            break
        at_look = scores(suite, [by_labels[one] for one in wanted], wanted)
        table = overall(at_look)
        taken.append(Counter(table["word"]))
        # What is undecided at this look, and not for want of results, goes on to the next.
        open_ = table[(table["word"] == "undecided") & (table["look"] == bases)]
        who = open_[["recovery", "method", "reference"]].itertuples(index=False, name=None)
        going = set(who) if bases < looks[-1] else set()
        if not going:
            break
    return Course(wanted, looks, taken, frozenset(going), len(expected))
