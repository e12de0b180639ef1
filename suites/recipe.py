"""Recipes: how networks are trained, whatever for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from .faults import explained, fault, no_such
from .files import read_yaml
from .section import Section


class Distillation(Section):
    """Learning from the unpruned network as well (Hinton et al. 2015, arXiv 1503.02531)."""

    weight: float = Field(default=0.5, gt=0, le=1)  # share of the loss
    temperature: float = Field(default=4.0, gt=0)


class Averaging(Section):
    """A running mean of the weights, which is evaluated and kept in their place.

    Polyak and Juditsky 1992; while the learning rate warms up it follows the weights.
    """

    decay: float = Field(gt=0, lt=1)  # what is left of the mean at each updating
    every: int = Field(default=1, ge=1)  # steps from one updating to the next


class Alteration(Section):
    """What is done to images, and with them to labels, before they are learned from."""

    # The dataset's random crops and mirroring; with TrivialAugmentWide (Mueller and Hutter 2021) or
    # RandAugment (Cubuk et al. 2020) on top
    augment: bool | Literal["trivial", "randaugment"] = True
    # How far brightness, contrast, saturation and hue may change
    color_jitter: list[Annotated[float, Field(ge=0, le=1)]] | None = Field(
        default=None, min_length=4, max_length=4
    )
    # Probability for an image (Zhong et al. 2020)
    random_erasing: float = Field(default=0, ge=0, le=1)
    mixup: float | None = Field(default=None, gt=0)  # alpha of its Beta (Zhang et al. 2018)
    # Alpha of its Beta (Yun et al. 2019); beside mixup, a batch gets one of them
    cutmix: float | None = Field(default=None, gt=0)

    def faults(self) -> Iterator[str]:
        if self.color_jitter and (not self.augment or self.color_jitter[3] > 0.5):
            yield fault("color_jitter", given=self.color_jitter)


class Recipe(Alteration):
    """How a network is trained: bases, adaptation of a checkpoint, and finetuning alike."""

    epochs: int = Field(ge=1)
    # Epochs of the schedule that came before, in another training
    from_epoch: int = Field(default=0, ge=0)
    batch_size: int = Field(default=128, ge=1)  # images a step of the optimizer
    drop_last: bool = False  # an epoch's last batch is left out where it is not full
    # Micro-batches of a batch, one after the other: the gradient is that of the whole batch, but
    # for batch norm, whose statistics are of each by itself
    accumulate: int = Field(default=1, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "step", "cosine", "triangle"] = "cosine"
    # step: shares of the epochs after which the rate drops
    milestones: list[float] = Field(default=[0.5, 0.75])
    # step: factor of each drop; triangle: share of the rate at both ends
    gamma: float = Field(default=0.1, gt=0, le=1)
    warmup_epochs: float = Field(default=0, ge=0)
    # Share of the rate that the linear warm-up begins at
    warmup_factor: float | None = Field(default=None, gt=0, le=1)
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    distill: Distillation | None = None  # not for bases
    ema: Averaging | None = None
    # Longest gradient, of all parameters together
    grad_clip: float | None = Field(default=None, gt=0)
    # Mixed precision of forward and loss; that of evaluation is the suite's
    amp: Literal["bf16", "fp16"] | None = None
    channels_last: bool = False
    compile: bool = False  # torch.compile; it needs a compiler

    @property
    def alteration(self) -> Alteration:
        """What it does to images."""
        return Alteration(**{name: getattr(self, name) for name in Alteration.model_fields})

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        """A named recipe, for instance as a model's own in place of the suite's."""
        if not isinstance(given, str):
            return given
        named = named_recipes()
        if given not in named:
            raise ValueError(no_such("named recipe", given, named))
        return named[given].model_dump()

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if self.from_epoch and self.schedule == "constant" and not self.warmup_epochs:
            yield "from_epoch: a constant rate is the same from any epoch; leave it out"
        if self.accumulate > self.batch_size:
            yield fault("accumulate", parts=self.accumulate, images=self.batch_size)

    @property
    def scheduled(self) -> int:
        """Epochs that the learning rate's schedule spans."""
        return self.from_epoch + self.epochs

    def rewound(self, to: int) -> Recipe:
        """The same training from the end of one of its epochs on."""
        left, begin = self.epochs - to, self.from_epoch + to
        return self.model_copy(update={"epochs": left, "from_epoch": begin})

    def lasting(self, epochs: int) -> Recipe:
        """The same for so many epochs; what is the end of a training stays its end.

        >>> tail = named_recipes()["base"].rewound(150).lasting(20)
        >>> tail.from_epoch, tail.epochs, tail.scheduled
        (180, 20, 200)
        """
        begin = max(self.scheduled - epochs, 0) if self.from_epoch else 0
        return self.model_copy(update={"epochs": epochs, "from_epoch": begin})

    def changed(self, settings: Mapping[str, Any]) -> Recipe:
        """With some keys set anew; raises ValueError where that is no recipe."""
        try:
            return Recipe.model_validate({**self.model_dump(), **settings})
        except ValidationError as error:
            raise ValueError(explained(error, Recipe)) from error

    def batches(self, images: int) -> int:
        """Steps of an epoch over so many images; raises ValueError where there are none."""
        if self.drop_last and images < self.batch_size:
            raise ValueError(fault("nothing_left", samples=images, batch=self.batch_size))
        return images // self.batch_size if self.drop_last else math.ceil(images / self.batch_size)

    def images_an_epoch(self, images: int) -> int:
        """How many of so many images an epoch trains on."""
        return self.batches(images) * self.batch_size if self.drop_last else images


@cache
def named_recipes() -> dict[str, Recipe]:
    """The recipes that every suite may name (suites/recipes.yaml)."""
    return {
        name: Recipe.model_validate(recipe)
        for name, recipe in read_yaml(Path(__file__).with_name("recipes.yaml")).items()
    }
