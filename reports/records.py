"""The contract between runner and report: the JSON of one trial, and how many become one frame.

It lies here, and not with the runner, because reports must not import the engine. A record is
written once, atomically, by the trial itself; everything that is drawn or tested comes from records
alone. Its key is the SHA-256 of the canonical JSON of its identity; its seal holds all of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import re
import statistics
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, get_args
from weakref import WeakValueDictionary

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from suites.protocol import Axis, Deployment, Runtime

from .metric import STEM, TOP1, Metric, possible, renamed, speaking_of, spoken
from .seal import LENGTH, Unsealed, seal_json, unseal

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 4

# Share by which a network may be off its own copy, and an interval reach beyond its number, where
# latency can be relied on.
LATENCY_BOUND = 0.05

_LAST = "images_trained"  # of the columns that frames of every task have

Status = Literal["done", "failed", "infeasible"]
# How a trial ended; one that has no record was not run.
Outcome = Literal["done", "failed", "timed out", "infeasible"]

Share = Annotated[float, Field(ge=0, le=1)]
Primary = Annotated[float, AfterValidator(possible)]  # of the metric that is spoken of
Loss = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Above = Annotated[float, Field(gt=0)]
T = TypeVar("T", bound=Callable[..., Any])
Kept = tuple[Count, Positive]  # of so many


class RecordError(ValueError):
    """A file that is no valid record: torn, edited, of another schema, or out of range."""


def content_key(identity: Any) -> str:
    """SHA-256 of canonical JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def is_key(text: str) -> bool:
    """Whether that may be a record's key: what comes from elsewhere becomes a path."""
    return re.fullmatch("[0-9a-f]{64}", text) is not None


WORDS: dict[str, str] = {axis: axis for axis in get_args(Axis)}
WORDS |= {"macs": "MACs", "params": "parameters", "threshold": "thresholds"}


def budget_words(cost: str | None, budget: float | None) -> str:
    """`70 %`, or `threshold 0.7` where that is the axis; `none` where nothing is cut."""
    if budget is None:
        return "none"
    return f"threshold {budget:g}" if cost == "threshold" else f"{100 * budget:g} %"


def budget_of(cost: str, budget: float) -> str:
    """`70 % of MACs`, or `threshold 0.7`."""
    return budget_words(cost, budget) + ("" if cost == "threshold" else f" of {WORDS[cost]}")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Labels(_Frozen):
    """How people name a trial. Names decide nothing, so they are not part of the key."""

    suite: str
    dataset: str
    model: str
    method: str
    recovery: str
    cost: Axis | None  # what the budget is given on; None where nothing is cut
    budget: float | None  # share of that cost kept, or the selector's threshold; in (0, 1]
    base: int
    repeat: int  # 0 of one that stands for all
    # Of a method that looks at no image, draws nothing and is not trained: whatever the repeat
    all_repeats: bool = Field(default=False, exclude_if=operator.not_)
    matched_to: str | None = None  # a control with the layer widths of that method

    @property
    def problem(self) -> str:
        return f"{self.model} on {self.dataset}"

    @property
    def brief(self) -> str:
        """The trial on one line, without base and repeat."""
        if self.budget is None:
            return f"{self.problem} · {self.method}"
        return f"{self.problem} · {self.method} · {self.at} · {self.recovery}"

    @property
    def whole(self) -> str:
        """The same with both."""
        repeat = "all repeats" if self.all_repeats else f"repeat {self.repeat}"
        return f"{self.brief} · base {self.base} · {repeat}"

    @property
    def at(self) -> str:
        """The budget in words."""
        return budget_words(self.cost, self.budget)


class Accuracy(_Frozen):
    """How well one network does on the test and the validation split; losses are means.

    `top1` is the task's primary metric: of classification the share of images that are right. In
    the JSON of another task it has that metric's name. None: nothing is held out for validation.
    """

    top1: Primary
    top5: Share | None = Field(default=None, exclude_if=lambda x: x is None)
    loss: Loss
    validation_top1: Primary | None
    validation_loss: Loss | None
    others: dict[str, float] = Field(default={}, exclude_if=operator.not_)  # the task's, on test


class TrainAccuracy(_Frozen):
    """How well it does on the training split, without augmentation, before and after."""

    dense_top1: Primary
    dense_loss: Loss
    top1: Primary
    loss: Loss


class Epoch(_Frozen):
    """One epoch of recovery."""

    epoch: Count
    train_loss: float
    validation_top1: Primary | None  # None: no images are held out


class Candidate(_Frozen):
    """One of the settings that a recovery was tuned over, with what chose among them."""

    settings: dict[str, Any]  # keys of the recipe
    validation_top1: Primary | None  # after its last epoch; None: its loss was no finite number
    won: bool  # the best, and the first drawn of equals; the trial is what came of it


class Latency(_Frozen):
    """Milliseconds a batch, of networks timed in turn, round by round, with nothing beside them."""

    runtime: Runtime = "eager"
    version: str = ""  # of the runtime; records of old do not tell
    batch_size: Positive
    threads: Positive = 1
    dense_ms: Above  # median over rounds, of the fastest batch of each
    pruned_ms: Above
    percentiles_ms: tuple[Above, Above, Above] | None = None  # pruned: 10, 50, 90 % of all batches
    peak_bytes: tuple[Count | None, Count | None] = (None, None)  # pruned, dense
    file_bytes: tuple[Count | None, Count | None] = (None, None)
    ratios: Annotated[list[Above], Field(min_length=1)]  # pruned / dense, of every round
    aa_ratio: Above  # a copy of the dense network / the dense one: what noise alone makes

    @property
    def deployment(self) -> str:
        """Where it was measured, as people read it."""
        return Deployment(runtime=self.runtime, batch=self.batch_size, threads=self.threads).title

    @property
    def numbers(self) -> dict[str, float | None]:
        """What is shown of the pruned network, and how long the dense one takes."""
        low, _, high = self.percentiles_ms or (None, None, None)
        peak, file = (kept and kept / 2**20 for kept, _ in (self.peak_bytes, self.file_bytes))
        return {
            "ms": self.pruned_ms, "p10_ms": low, "p90_ms": high, "dense_ms": self.dense_ms,
            "kept_percent": 100 * self.ratio, "images_s": 1000 * self.batch_size / self.pruned_ms,
            "peak_mb": peak, "file_mb": file,
        }  # fmt: skip

    @property
    def ratio(self) -> float:
        """Latency kept: the median round."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """That of the median at 95 % or more, by order statistics; below six rounds, all rounds."""
        n, rounds = len(self.ratios), sorted(self.ratios)
        tails = accumulate(2 * math.comb(n, below) / 2**n for below in range(n))
        beyond = max(sum(tail <= 0.05 for tail in tails) - 1, 0)  # rounds at either end
        return rounds[beyond], rounds[-1 - beyond]

    @property
    def off(self) -> float:
        """How far the interval reaches beyond the ratio, as a share of it."""
        low, high = self.interval
        return max(high / self.ratio - 1, 1 - low / self.ratio)

    @property
    def reliable(self) -> bool:
        """Whether a network is as fast as its own copy, and rounds agree."""
        return max(self.off, abs(self.aa_ratio - 1)) <= LATENCY_BOUND


class BudgetCheck(_Frozen):
    """What came of a budget of latency: shares of the dense network's."""

    asked: Share
    predicted: Above  # by the table of single operations
    latency: Latency  # as measured
    round_to: Positive  # that kept channels are multiples of
    tries: Positive  # networks measured, each chosen with the last one's miss taken off
    table: str  # SHA-256

    @property
    def off(self) -> float:
        """How far the measured share is from the asked one, as a share of it."""
        return self.latency.ratio / self.asked - 1


class Measurements(_Frozen):
    """What a finished trial found."""

    dense: Accuracy
    pruned: Accuracy  # after recovery, last epoch
    train: TrainAccuracy | None = None  # only where the suite asks for it
    test_images: Positive | None = None  # that accuracies are of; records of old do not tell
    classes: Positive | None = None  # of the dataset; records of old do not tell
    best_validation_top1: Primary | None  # on test, of the epoch best on validation
    macs: Positive  # of one image, by torch's dispatcher on the pruned network; of kept weights
    dense_macs: Positive
    params: Positive  # of masks: those not masked
    dense_params: Positive
    torch_pruning_macs: Count | None  # torch-pruning's own count, which knows no masks; as papers
    widths: dict[str, Kept]  # group root -> channels kept, dense; none for masks
    weights: dict[str, Kept] = {}  # layer -> weights kept, dense; only for masks
    kept_sha256: str = ""  # of which units or weights stayed; records of old do not tell
    constant: list[str] = []  # group roots of which all units had one score, which ranks none
    layer_sparsity: dict[str, Share]  # layer -> share of its parameters removed
    latency: list[Latency]
    undeployed: dict[str, str] = {}  # deployment -> why it could not be measured
    budget_check: BudgetCheck | None = None  # of a budget of latency
    memory: Kept | None = None  # bytes that a budget of memory is about, pruned and dense
    knobs: dict[str, float | None] = {}  # a selector's: group root -> its setting; None keeps all
    trimmed: Count = 0  # units that left beyond these settings, to meet the budget
    images_scored: Count  # images seen while scoring, over all steps
    phases: dict[str, Count] = {}  # training images of the phases before recovery
    notes: dict[str, float] = {}  # what a procedure says of itself: releases, rounds
    images_trained: Count  # images seen by recovery
    history: list[Epoch]
    tuned: list[Candidate] = []  # in the order drawn; none where nothing was tuned

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings that won; none where nothing was tuned."""
        return next((one.settings for one in self.tuned if one.won), {})

    @property
    def timed(self) -> Latency | None:
        """The latency that reports speak of; None: none was measured. That of a latency budget;
        else, of the first runtime and threads, that at the largest batch."""
        if self.budget_check is not None:
            return self.budget_check.latency
        places = [(one.runtime, one.threads) for one in self.latency]
        first = [one for one, place in zip(self.latency, places, strict=True) if place == places[0]]
        return max(first, key=lambda one: one.batch_size, default=None)


class Fidelity(_Frozen):
    """What each unit's removal alone did to the loss, and what a criterion had said of it. The
    lists have one entry a unit: those of a fidelity suite's sample, group by group."""

    dense: Accuracy
    dense_loss: Loss  # mean over the held-out images
    images: int  # held-out images, of the validation split
    roots: list[str]  # of all groups
    group: list[int]  # place in `roots`
    unit: list[int]
    change: list[float]  # mean loss without the unit, minus `dense_loss`
    halves: tuple[list[float], list[float]]  # the same on every second image, and on the others
    score: list[float]
    images_scored: Count
    spanned: list[str]  # roots of groups that a layer norm spans: zeroing them is not removing them

    @model_validator(mode="after")
    def _an_entry_a_unit(self) -> Fidelity:
        lists = (self.group, self.unit, self.change, *self.halves, self.score)
        if len({len(one) for one in lists}) > 1 or not {*self.group} <= {*range(len(self.roots))}:
            raise ValueError("its lists are not of the same units")
        return self


class Costs(_Frozen):
    """Seconds and bytes: all that may differ between two runs of one trial."""

    score_s: Seconds  # evidence and scores, as if the criterion had run alone
    score_peak_bytes: Count | None  # growth of resident memory while scoring; None where unknown
    phases_s: Seconds = 0.0  # training before recovery
    recovery_s: Seconds
    total_s: Seconds
    # Key of the record of an equal network, whose recovery and test these are
    equal_to: str | None = Field(default=None, exclude_if=lambda x: x is None)


class Failure(_Frozen):
    """Why a trial has no measurements."""

    kind: str  # exception class, "crashed" or "timeout"
    message: str
    traceback: str
    infeasible: bool = False  # nothing broke: what was asked for cannot be had


class Record(_Frozen):
    """One trial: what it was, where it ran, what it found or why it failed."""

    schema_version: int = SCHEMA_VERSION
    key: str
    identity: dict[str, Any]
    labels: Labels
    task: str = Field(default="classification", exclude_if="classification".__eq__)
    metric: Metric = Field(default=TOP1, exclude_if=TOP1.__eq__)
    status: Status
    measurements: Measurements | None = None  # of a comparison
    fidelity: Fidelity | None = None  # of a fidelity suite
    costs: Costs | None = None
    failure: Failure | None = None
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _whole(self) -> Record:
        """A finished trial has its measurements and costs, any other its reason."""
        measured = self.measurements is not None or self.fidelity is not None
        if self.status == "done" and not (measured and self.costs is not None):
            raise ValueError("a finished trial without measurements")
        if self.status != "done" and self.failure is None:
            raise ValueError(f"{self.status}, without a reason")
        return self

    @property
    def outcome(self) -> Outcome:
        """How it ended, in words: a trial that ran out of time did not fail."""
        if self.failure is not None and self.failure.kind == "timeout":
            return "timed out"
        return self.status

    def to_json(self) -> bytes:
        """The record's file: its JSON, sealed."""
        if self.metric == TOP1:
            return seal_json(self.model_dump_json(indent=1))
        named = renamed(self.model_dump(mode="json"), STEM, self.metric.name)
        return seal_json(json.dumps(named, indent=1))


_IN_USE = WeakValueDictionary[bytes, Record]()  # by their seals: parsed once


def parse_record(content: bytes, source: str, key: str) -> Record:
    """A record from its file's content, checked; `source` is how errors name it. Raises RecordError
    where the file is torn, edited, of another schema version, or out of range."""
    try:
        inside, sealed = unseal(content), content[-LENGTH:]
        if (known := _IN_USE.get(sealed)) and known.key == key:
            return known
        record = _parsed(inside)
    except Unsealed as fault:
        raise RecordError(f"{source}: {fault}") from fault
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the record"
        raise RecordError(f"{source}: no valid record ({where}: {first['msg']})") from error
    if record.schema_version != SCHEMA_VERSION:
        other = f"schema version {record.schema_version}, this program reads {SCHEMA_VERSION}"
        raise RecordError(f"{source}: {other}")
    try:
        own = content_key(record.identity)
    except ValueError:  # not a number, which no identity holds
        own = ""
    if not own == record.key == key:
        raise RecordError(f"{source}: its identity does not hash to its key; it has been edited")
    return _IN_USE.setdefault(sealed, record)


def _parsed(content: bytes) -> Record:
    """By the names and limits of the metric that it is of."""
    if b'\n "metric": ' not in content:
        return Record.model_validate_json(content)
    found = json.loads(content)
    metric = Metric.model_validate(found["metric"])
    with speaking_of(metric):
        return Record.model_validate(renamed(found, metric.name, STEM))


def of_its_metric(speak: T) -> T:
    """A function of (suite, records, ...) that speaks of the metric that these are of."""

    def speaking(suite: Any, records: Any, *rest: Any, **named: Any) -> Any:
        with speaking_of(records[0].metric if records else spoken()):
            return speak(suite, records, *rest, **named)

    return cast(T, wraps(speak)(speaking))


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Finished trials of comparisons as one row each, sorted by their labels.

    Accuracies are in percent, the primary metric of another task in its own unit. Columns: the
    labels, `problem`, `key`, and per trial `top1`, `dense_top1`, `retained_top1` (points against
    the dense network: top1 - dense_top1), `test_images`, `top5`, `loss`, `validation_top1`,
    `train_top1` (where asked for), `best_validation_top1`, `macs_ratio`, `params_ratio`, as counts
    `macs`, `params`, `dense_macs`, `dense_params`, `channels_ratio` (of pruned channels),
    `weights_ratio` (of masks), `memory_ratio` (where budgets are of it), `speedup` (in MACs),
    `latency_ratio` (of `Measurements.timed`) with its 95 % interval (`latency_low_ratio`,
    `latency_high_ratio`), `latency_aa_ratio` (of a copy of the dense network), `score_s`,
    `phases_s`, `recovery_s`, `total_s`, `images_scored`, `images_phases` (trained on before
    recovery), `images_trained` (of all phases and recovery), and what else the task measures.
    """
    import pandas as pd

    rows = [row_of(record) for record in records if record.measurements is not None]
    labels = list(Labels.model_fields)
    if not rows:
        return pd.DataFrame(columns=[*labels, "problem", "key"])
    return pd.DataFrame(rows).sort_values([*labels, "key"], ignore_index=True)


def others(trials: pd.DataFrame) -> list[str]:
    """The columns of what else the task measures."""
    return [str(one) for one in trials][1 + [*trials, _LAST].index(_LAST) :]


def row_of(record: Record) -> dict[str, Any]:
    """What `frame` has of a finished trial of a comparison."""
    found, costs = record.measurements, record.costs
    assert found is not None
    assert costs is not None
    timed, scale = found.timed, record.metric.scale
    low, high = timed.interval if timed else (None, None)
    return {
        **dict(record.labels),
        "problem": record.labels.problem,
        "key": record.key,
        "top1": scale * found.pruned.top1,
        "dense_top1": scale * found.dense.top1,
        "retained_top1": scale * (found.pruned.top1 - found.dense.top1),
        "test_images": found.test_images,
        "top5": _scaled(found.pruned.top5),
        "loss": found.pruned.loss,
        "validation_top1": _scaled(found.pruned.validation_top1, scale),
        "train_top1": _scaled(found.train.top1 if found.train else None, scale),
        "best_validation_top1": _scaled(found.best_validation_top1, scale),
        **{one: getattr(found, one) for one in ("macs", "params", "dense_macs", "dense_params")},
        "macs_ratio": found.macs / found.dense_macs,
        "params_ratio": found.params / found.dense_params,
        "channels_ratio": _kept(found.widths),
        "weights_ratio": _kept(found.weights),
        "memory_ratio": found.memory[0] / found.memory[1] if found.memory else None,
        "speedup": found.dense_macs / found.macs,
        "latency_ratio": timed.ratio if timed else None,
        "latency_low_ratio": low,
        "latency_high_ratio": high,
        "latency_aa_ratio": timed.aa_ratio if timed else None,
        **costs.model_dump(exclude={"score_peak_bytes", "equal_to"}),
        "images_scored": found.images_scored,
        "images_phases": sum(found.phases.values()),
        _LAST: sum(found.phases.values()) + found.images_trained,
        **found.pruned.others,
    }


def _scaled(value: float | None, scale: float = 100) -> float | None:
    return None if value is None else scale * value


def _kept(counts: Mapping[str, tuple[int, int]]) -> float | None:
    """Share kept of (kept, dense) counts; None where nothing was counted."""
    dense = sum(all_ for _, all_ in counts.values())
    return sum(kept for kept, _ in counts.values()) / dense if dense else None
