"""Published results, one CSV a paper in `published/`: each row with its source, doubts as marks."""

import csv
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from suites.faults import explained
from suites.files import SuiteError

FOLDER = Path(__file__).parents[1] / "published"
DENSE = "dense"  # the file of unpruned networks, whose models are named as the registry does
Metric = Literal["top1", "top5", "train_top1", "loss", "map"]
Share = Annotated[float, Field(gt=0, le=1)]


class PublishedError(SuiteError):
    """A file of published numbers that cannot be used: which line and column, and why."""


class Published(BaseModel):
    """One published number; empty cells are None or empty.

    Percent for `top1`, `top5`, `train_top1` and `map` (mAP 50-95), nats for `loss`; `drop` is
    dense minus value, in the same unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suites: tuple[str, ...] = ()  # of our library; none where no suite repeats the row
    dataset: str
    model: str
    method: str = ""  # of these suites; empty where it holds no such method
    method_in_paper: str
    setting: str = ""  # what else tells rows of the paper apart
    recovery: str  # `none`, `bn` or `finetune`, or the whole name of a recovery of the suite
    speedup: Annotated[float, Field(ge=1)] | None = None
    macs_kept: Share | None = None
    params_kept: Share | None = None
    channels_kept: Share | None = None
    metric: Metric
    value: Annotated[float, Field(ge=0)] | None = None
    dense: Annotated[float, Field(ge=0)] | None = None
    drop: float | None = None
    spread: Annotated[float, Field(ge=0)] | None = None  # standard deviation over runs, as printed
    runs: Annotated[int, Field(ge=1)] | None = None
    source: str = Field(min_length=1)
    mark: str = ""  # why the row is doubtful

    @field_validator("suites", mode="before")
    @classmethod
    def _names(cls, given: Any) -> Any:
        return tuple(given.split()) if isinstance(given, str) else given

    def kept(self, cost: str) -> float | None:
        """Share kept of `macs` (from the speed-up, where that is printed), `params`, `channels`."""
        if cost == "macs" and self.speedup is not None:
            return 1 / self.speedup
        found: float | None = getattr(self, f"{cost}_kept", None)
        return found

    @property
    def problem(self) -> str:
        return f"{self.model} on {self.dataset}"


def read_published(path: Path) -> list[Published]:
    """All rows of one file.

    Raises:
        PublishedError: a column is missing or unknown, or a cell holds what it may not.
    """
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file, restkey="", strict=True)
        return [_row(one, f"{path}, line {lines.line_num}") for one in lines]


def _row(cells: dict[str, str], place: str) -> Published:
    if "" in cells or None in cells.values():
        raise PublishedError(f"{place}: as many cells as columns are needed")
    try:
        return Published.model_validate({name: cell for name, cell in cells.items() if cell})
    except ValidationError as error:
        raise PublishedError(f"{place}: {explained(error, Published)}") from None


@cache
def published() -> tuple[Published, ...]:
    """Rows of all papers; those of dense networks are `published_dense`."""
    files = sorted(path for path in FOLDER.glob("*.csv") if path.stem != DENSE)
    return tuple(row for path in files for row in read_published(path))


def published_for(suite: str) -> list[Published]:
    """Rows that a suite repeats, at whichever scale: NAME, or NAME-reduced."""
    name = suite.removesuffix("-reduced")
    return [row for row in published() if name in row.suites]


@cache
def published_dense() -> dict[tuple[str, str], Published]:
    """(dataset, model, as the registries name them) -> the unpruned network's top-1."""
    return {(row.dataset, row.model): row for row in read_published(FOLDER / f"{DENSE}.csv")}
