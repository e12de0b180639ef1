"""What every method of a suite is held to: budgets, calibration, selection and recovery."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from .faults import fault, meant
from .section import MOST, Section

Share = Annotated[float, Field(gt=0, le=1)]
Some = Field(min_length=1, max_length=MOST)  # as many entries of a list
Shares = Annotated[list[Share], Some]
# What a budget keeps a share of; a threshold is a setting of a selector's knob.
Axis = Literal["macs", "params", "channels", "weights", "threshold", "latency", "memory"]
Runtime = Literal["eager", "compile", "onnxruntime", "openvino"]


class Deployment(Section):
    """Where a network runs: by what, on how many images at once, in how many threads."""

    runtime: Runtime = "eager"
    batch: int = Field(default=1, ge=1)
    threads: int = Field(default=1, ge=1)

    @property
    def seconds(self) -> int:
        """About what it takes to time a small network there, and its dense one."""
        return {"eager": 4, "compile": 60, "onnxruntime": 15, "openvino": 20}[self.runtime]

    @property
    def title(self) -> str:
        """As people read it.

        >>> Deployment(runtime="onnxruntime", batch=64).title
        'onnxruntime, batch 64, 1 thread'
        """
        several = "s" * (self.threads > 1)
        return f"{self.runtime}, batch {self.batch}, {self.threads} thread{several}"


class Measure(Section):
    """Where dense and pruned networks are timed: every runtime, number of threads and batch."""

    # Runtimes; none: nothing is measured but operation counts
    deployed: list[Runtime] = Field(default=["eager"])
    batch: list[Annotated[int, Field(ge=1)]] = Field(default=[1, 64], min_length=1, max_length=100)
    threads: list[Annotated[int, Field(ge=1)]] = Field(default=[1], min_length=1, max_length=100)

    def faults(self) -> Iterator[str]:
        for key, given in self:
            if len(set(given)) < len(given):
                yield f"{key}: each once"

    @property
    def deployments(self) -> list[Deployment]:
        """All, those of the first runtime first."""
        return [
            Deployment(runtime=runtime, batch=batch, threads=threads)
            for runtime, threads, batch in product(self.deployed, self.threads, self.batch)
        ]


class Budgets(Section):
    """Shares kept of one cost, or speed-ups in MACs; one axis a suite.

    `weights` prunes single weights, and every method of the suite with it; the others channels.
    `threshold` is the selectors' own knob; what that costs is found, not asked for.
    """

    macs: Shares | None = None
    params: Shares | None = None
    # Of all prunable channels, whatever each costs
    channels: Shares | None = None
    # Of all weights of convolutions and linear layers
    weights: Shares | None = None
    speedup: Annotated[list[Annotated[float, Field(ge=1)]], Some] | None = None
    threshold: Shares | None = None
    # Where `measure` says first, eager by default
    latency: Shares | None = None
    # Of weights and of activations held at once
    memory: Shares | None = None

    def faults(self) -> Iterator[str]:
        if len(self.model_dump(exclude_none=True)) != 1:
            yield "give one of " + ", ".join(Budgets.model_fields)

    @property
    def cost(self) -> Axis:
        """What shares are kept of; `threshold` for settings of a knob."""
        axis, _ = self._given
        return "macs" if axis == "speedup" else axis

    @property
    def unstructured(self) -> bool:
        """Whether single weights leave instead of channels."""
        return self.cost == "weights"

    @property
    def kept(self) -> list[float]:
        """Shares of the cost kept, or thresholds; largest first."""
        return list(self.written)

    @property
    def written(self) -> dict[float, float]:
        """What is kept, largest first, and each budget as the suite writes it."""
        axis, given = self._given
        kept = {round(1 / one, 6) if axis == "speedup" else one: one for one in given}
        return dict(sorted(kept.items(), reverse=True))

    @property
    def _given(self) -> tuple[Any, list[float]]:
        (one,) = self.model_dump(exclude_none=True).items()
        return one


def _ranks_or_blocks(scope: Any) -> Any:
    if isinstance(scope, int):
        raise ValueError('write N:M in quotes, as in scope: "2:4"; YAML takes 2:4 for a number')
    kept, _, of = str(scope).partition(":")
    blocks = kept.isdecimal() and of.isdecimal() and 0 < int(kept) < int(of)
    known = ("global", "local", "isomorphic")
    if scope not in known and not blocks:
        hint = meant(str(scope), known)
        raise ValueError(f"allowed are {', '.join(known)}, or N of M weights, as in 2:4{hint}")
    return scope


def pattern(scope: str) -> tuple[int, int] | None:
    """How many weights a scope such as `2:4` keeps of how many; None of one that ranks."""
    kept, colon, of = scope.partition(":")
    return (int(kept), int(of)) if colon else None


Scope = Annotated[str, BeforeValidator(_ranks_or_blocks)]


class LimitsSpec(Section):
    """What every group of channels keeps, whatever its scores."""

    min_channels: int = Field(default=1, ge=1)
    protect: float = Field(default=0.1, ge=0, lt=1)  # share of a group always kept
    # Shares of groups kept, to whole channels; down is int() in code
    protect_rounds: Literal["up", "down"] = "up"
    round_to: int = Field(default=1, ge=1)
    coupled: bool = True  # false keeps groups that several layers make (residual streams)
    # Shares that single layers keep at least, by their name or by that of what they lie in
    layers: dict[str, Share] = Field(default={})
    # Of a group that the ranking takes below what is kept: all but that leaves, or, as in
    # torch-pruning, nothing in that step
    emptied: Literal["floor", "skip"] = "floor"


class SelectionSpec(LimitsSpec):
    """How scores become removed channels; equal for all methods unless a method says otherwise."""

    # Rank all units, those of each group, or of isomorphic groups; or, of single weights, N:M: N of
    # every M consecutive inputs stay
    scope: Scope = "global"
    tolerance: Share = 0.01  # of the dense cost, by which a budget may be kept below
    # By budget as the suite writes it, the keys that are others there
    by_budget: dict[float, SelectionSpec] = Field(default={})

    def faults(self) -> Iterator[str]:
        if any(one.by_budget for one in self.by_budget.values()):
            yield "by_budget: what holds at one budget cannot differ by budget again"

    @property
    def identity(self) -> dict[str, Any]:
        """How one budget is selected; paths hold none that differ by budget."""
        usual = self.tolerance == SelectionSpec.model_fields["tolerance"].default
        return self.model_dump(exclude={"by_budget"} | ({"tolerance"} if usual else set()))

    def changed(self, other: SelectionSpec | None) -> SelectionSpec:
        """The same with the keys that another gives."""
        given = other.model_fields_set if other else ()
        return self.model_copy(update={key: getattr(other, key) for key in given})


class Rewind(Section):
    """Training what is left as the base was trained from an epoch on (Renda et al., ICLR 2020,
    arXiv 2003.02389): from its weights at that time, or from the trained ones."""

    what: Literal["weights", "learning_rate"]
    to: int = Field(ge=0)  # epoch of the base's training; 0: before the first

    @property
    def name(self) -> str:
        return f"rewind-{self.what.replace('_', '-')}-{self.to}"


# Keys of a recipe by which settings would cost unequally, in images, steps or time.
UNTUNED = (
    "epochs", "from_epoch", "batch_size", "drop_last", "accumulate", "distill", "amp",
    "channels_last", "compile",
)  # fmt: skip


COMBINATIONS = 10_000  # that settings are drawn from


class Tune(Section):
    """Finetuning by as many settings for every method, of which validation chooses one."""

    trials: int = Field(ge=2)  # settings tried, drawn without replacement, alike for all methods
    # Values of the recipe's keys, of which all combinations are drawn
    over: dict[str, Annotated[list[Any], Some]] = Field(min_length=1)

    def faults(self) -> Iterator[str]:
        for key, values in self.over.items():
            if key in UNTUNED:
                yield f"over: by {key} settings would cost unequally, so that is not tuned"
            elif any(one in values[:at] for at, one in enumerate(values)):
                yield f"over.{key} = {values}: each value once, or it is tried and paid for twice"
        size = math.prod(map(len, self.over.values()))
        if not self.trials <= size <= COMBINATIONS:
            yield fault("combinations", trials=self.trials, size=size, most=COMBINATIONS)

    @property
    def grid(self) -> list[dict[str, Any]]:
        """All combinations."""
        keys = sorted(self.over)  # whose order is not in the keys of trials
        values = product(*(self.over[key] for key in keys))
        return [dict(zip(keys, one, strict=True)) for one in values]


class RecoverySpec(Section):
    """What happens after removal: nothing, new BN statistics, finetuning by a recipe, rewinding."""

    kind: Literal["none", "bn", "finetune", "rewind"]
    recipe: str | None = None
    rewind: Rewind | None = None
    # Of all training since the base, a method's own phases included: equal compute
    total_epochs: int | None = Field(default=None, ge=1)
    tune: Tune | None = None

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, given: Any) -> Any:
        """`none`, `bn`, `{finetune: recipe}`, or `{rewind: what, to: epoch}`."""
        if isinstance(given, str):
            return {"kind": given}
        if isinstance(given, RecoverySpec) or (isinstance(given, Mapping) and "kind" in given):
            return given
        rest = dict(given) if isinstance(given, Mapping) else {}
        own = {"rewind", "to"} if "rewind" in rest else {"finetune", "tune"}
        if wrong := sorted(set(rest) - own - {"total_epochs"}):
            said = ", ".join(map(str, wrong))
            raise ValueError(f"{said} has no place here; {fault('recoveries')}")
        if {"rewind", "to"} <= set(rest):
            rewind = {"what": rest.pop("rewind"), "to": rest.pop("to")}
            return {"kind": "rewind", "rewind": rewind, **rest}
        if "finetune" in rest:
            return {"kind": "finetune", "recipe": rest.pop("finetune"), **rest}
        raise ValueError(f"{fault('recoveries')}, not {given!r}")

    def faults(self) -> Iterator[str]:
        asked = (self.kind == "finetune", self.kind == "rewind")
        early = self.rewind is not None and self.rewind.what == "weights"  # of one epoch for all
        total = self.total_epochs and (early or not any(asked))
        extra = total or (self.tune and not self.recipe)
        if asked != (bool(self.recipe), bool(self.rewind)) or extra:
            yield fault("recoveries")
        if self.total_epochs and self.tune:
            yield fault("tuned_alike")

    @property
    def name(self) -> str:
        trained = f"finetune-{self.recipe}" if self.recipe else self.kind
        name = self.rewind.name if self.rewind else trained
        name += f"-{self.total_epochs}" if self.total_epochs else ""
        return name + (f"-tuned{self.tune.trials}" if self.tune else "")


class Evaluation(Section):
    """How networks are run to be measured on validation and test images."""

    precision: Literal["bf16"] | None = None  # of passes forward; default: float32
    compile: bool = False  # torch.compile, anew for every network; it needs a compiler


class Calibration(Section):
    """The images that criteria may look at, drawn from train."""

    images: int = Field(default=512, ge=1)
    batch_size: int = Field(default=64, ge=1)
    augment: bool = False  # with the dataset's random crops, mirrored
    like: str | None = None  # a recipe, whose augmentation, erasing and mixing they get
    # Of passes forward and backward; default: float32, which second derivatives always have
    precision: Literal["bf16"] | None = None

    def faults(self) -> Iterator[str]:
        if self.augment and self.like:
            yield f"augment: true beside like: {self.like}, which says how; leave augment out"

    @property
    def half(self) -> bool:
        return self.precision is not None

    def keyed(self, alteration: Section) -> dict[str, Any]:
        """Which images these are, for keys: what is done to them in place of a recipe's name."""
        said = {"precision": self.precision} if self.half else {}
        return {"images": self.images, "batch_size": self.batch_size, **alteration.identity, **said}
