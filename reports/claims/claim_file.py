"""The papers' claims as data: one entry a sentence, in `claims.yaml`."""

from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from suites.files import SuiteError, read_yaml
from suites.protocol import Axis
from suites.section import Section, Slug

DENSE = "dense"  # the unpruned network as what a method is held against
FILE = Path(__file__).with_name("claims.yaml")
Range = Annotated[
    list[float], Field(min_length=2, max_length=2, description="shares kept, smallest first")
]


class Claim(Section):
    """One sentence of a paper as a comparison that a suite can make."""

    paper: str
    claim: str
    suite: Slug
    problems: list[str] = Field(min_length=1)  # the paper's: MODEL on DATASET
    recovery: str  # none, bn, finetune, or a recovery's whole name
    budgets: dict[Axis, Range] = Field(min_length=1, max_length=1)
    method: str | None = None
    against: list[str] = Field(default=[])  # methods, or `dense`; each a row
    beyond: Range | None = None  # the difference must be larger than in this other range
    above: float = 0.0  # points that the difference must exceed
    nobody_wins: bool = False  # instead: every method is told from a better one somewhere
    size: str  # what the paper reports, in words
    source: str

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if self.nobody_wins == bool(self.method and self.against):
            raise ValueError("give method and against, or nobody_wins: true")
        for low, high in filter(None, [self.span, self.beyond]):
            if not 0 < low <= high <= 1:
                raise ValueError(f"a range of shares kept is 0 < low <= high <= 1, not {low, high}")
        return self

    @property
    def axis(self) -> Axis:
        return next(iter(self.budgets))

    @property
    def span(self) -> Range:
        return self.budgets[self.axis]


@cache
def known_claims(path: Path = FILE) -> tuple[Claim, ...]:
    """The claims of a file. Raises SuiteError: not YAML, or an entry that is no claim."""
    try:
        return tuple(TypeAdapter(list[Claim]).validate_python(read_yaml(path)))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SuiteError("\n".join(f"{path}: {one}" for one in faults)) from None
