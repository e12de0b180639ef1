"""Claims as data, one entry a sentence: those of the papers in `claims.yaml`, and questions of ours
that are asked before a suite runs."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError, model_validator

from suites.files import SuiteError, read_yaml
from suites.protocol import Axis
from suites.section import Section, Slug

DENSE = "dense"  # the unpruned network as what a method is held against
FILE = Path(__file__).with_name("claims.yaml")
Range = Annotated[
    list[float], Field(min_length=2, max_length=2, description="shares kept, smallest first")
]


class Also(Section):
    """Another suite that can make a claim's comparison, on problems that are not the paper's."""

    suite: Slug
    recovery: str
    budgets: dict[Axis, Range] = Field(min_length=1, max_length=1)
    method: str | None = None  # None: as in the claim, here and below
    against: list[str] | None = None
    beyond: Range | None = None


class Claim(Section):
    """One sentence as a comparison that a suite can make."""

    paper: str = ""  # none: a question of ours
    claim: str
    further: bool = False  # a question of ours that does not stand among the first
    suite: Slug
    problems: list[str] = Field(min_length=1)  # the paper's: MODEL on DATASET
    recovery: str  # none, bn, finetune, or a recovery's whole name
    budgets: dict[Axis, Range] = Field(min_length=1, max_length=1)
    method: str | None = None
    against: list[str] = Field(default=[])  # methods, or `dense`; each a row
    # In place of both: a row each, the first against the second
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(default=[])
    beyond: Range | None = None  # the difference must be larger than in this other range
    above: float = 0.0  # points that the difference must exceed
    nobody_wins: bool = False  # instead: every method is told from a better one somewhere
    size: str = ""  # what the paper reports, in words
    source: str = ""
    also: list[Also] = Field(default=[])

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        asked = (bool(self.method and self.against), bool(self.pairs), self.nobody_wins)
        if sum(asked) != 1:
            raise ValueError("give method and against, or pairs, or nobody_wins: true")
        if self.paper and (self.further or not (self.size and self.source)):
            raise ValueError("what a paper claims has its size and source, and is not `further`")
        for low, high in filter(None, [self.span, self.beyond]):
            if not 0 < low <= high <= 1:
                raise ValueError(f"a range of shares kept is 0 < low <= high <= 1, not {low, high}")
        _ = self.moved  # as valid as it is
        return self

    @property
    def compared(self) -> list[tuple[str, str]]:
        """Every method with what it is held against."""
        given = [(one, other) for one, other in self.pairs]
        return given or [(self.method, one) for one in self.against if self.method]

    @property
    def moved(self) -> list[Self]:
        """The same comparison in the other suites, on whatever problems they have."""
        own = self.model_dump(exclude={"also", "beyond"})
        return [self.model_validate(own | one.model_dump(exclude_none=True)) for one in self.also]

    @property
    def axis(self) -> Axis:
        return next(iter(self.budgets))

    @property
    def span(self) -> Range:
        return self.budgets[self.axis]


class Place(Section):
    """Where methods are looked at: under a recovery of a suite, or in a fidelity suite."""

    suite: Slug
    recovery: str = ""  # as of a claim; none in a fidelity suite
    problems: list[str] = Field(default_factory=list)  # of the suite; none: all of them


class Relation(Section):
    """Whether methods stand in one order in two places, such as before and after finetuning."""

    claim: str
    further: bool = False
    places: list[Place] = Field(min_length=2, max_length=2)


KINDS = ("a claim", "a relation")
Asked = Annotated[
    Annotated[Claim, Tag(KINDS[0])] | Annotated[Relation, Tag(KINDS[1])],
    Discriminator(lambda given: KINDS[isinstance(given, Mapping) and "places" in given]),
]


def known_claims(path: Path = FILE) -> tuple[Claim, ...]:
    """The claims of a file. Raises SuiteError: not YAML, or an entry that is no claim."""
    return tuple(one for one in asked(path) if isinstance(one, Claim))


@cache
def asked(path: Path) -> tuple[Claim | Relation, ...]:
    """All that a file asks, in its order. Raises SuiteError: not YAML, or an entry that is neither
    claim nor relation."""
    try:
        return tuple(TypeAdapter(list[Asked]).validate_python(read_yaml(path)))
    except ValidationError as error:
        faults = (
            f"{path}: {'.'.join(str(at) for at in one['loc'] if at not in KINDS)}: {one['msg']}"
            for one in error.errors()
        )
        raise SuiteError("\n".join(faults)) from None
