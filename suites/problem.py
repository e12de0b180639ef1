"""A problem: a model on a dataset, as suites name them."""

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from .protocol import Budgets, Calibration, SelectionSpec
from .recipe import Recipe
from .section import Section, Slug, slug

Normalizing = Literal[
    "cifar", "cifar-short", "cifar-classic", "cifar100", "cifar-wide", "imagenet", "half", "none"
]


class _Named(Section):
    name: str
    label: Slug | None = Field(default=None, description="its name in tables; default: the name")

    @property
    def title(self) -> str:
        """Its name in tables and paths."""
        return self.label or slug(self.name)


class DatasetSpec(_Named):
    """A dataset by name; `imagefolder` also needs its root, relative to the data root."""

    root: str | None = None
    options: dict[str, Any] = Field(default={}, description="its reader's own")
    image_size: int | None = Field(default=None, ge=4)
    normalize: Normalizing | None = Field(
        default=None, description="mean and deviation by name; default: the dataset's"
    )
    crops: Literal["resized", "whole"] = Field(
        default="resized",
        description="of large images, a random 8 to 100 % of the area resized, or a random square "
        "as wide as the shorter side",
    )
    validation: float = Field(
        default=0.1,
        ge=0,
        lt=0.5,
        description="share held out of train; 0: all is learned from, and no epoch is best on "
        "images that it was not trained on",
    )
    train_images: int | None = Field(default=None, ge=1, description="use only so many, seeded")
    test_images: int | None = Field(default=None, ge=1, description="use only so many, seeded")
    recipes: dict[str, Recipe] = Field(
        default={}, description="its own, in place of the suite's of the same names"
    )

    @property
    def identity(self) -> dict[str, Any]:
        """Which images these are, for keys."""
        aside = {"label", "recipes"} | (set() if self.options else {"options"})
        return self.model_dump(exclude=aside)

    def held_out(self, images: int) -> int:
        """How many of so many training images are for validation: one at least, or none at 0."""
        return max(1, round(images * self.validation)) if self.validation else 0


class ModelSpec(_Named):
    """An architecture by name, and where its first weights come from."""

    options: dict[str, Any] = Field(default={})
    weights: str | None = Field(default=None, description="torchvision weights by name")
    checkpoint: str | None = Field(
        default=None, description="path or https URL of a state dict; a URL needs its sha256"
    )
    sha256: str | None = Field(default=None, description="of the checkpoint's file")
    recipe: str | Literal[False] | None = Field(
        default=None,
        description="base recipe of this model; false: take weights as they are, given or fresh",
    )
    datasets: list[str] | None = Field(
        default=None, min_length=1, description="those of the suite's that it is on; default: all"
    )
    budgets: Budgets | None = Field(default=None, description="its own, on the suite's axis")
    calibration: Calibration | None = Field(default=None, description="in place of the suite's")
    recipes: dict[str, Recipe] = Field(
        default={}, description="its own, in place of the dataset's and the suite's of these names"
    )
    selection: SelectionSpec | None = Field(
        default=None, description="its own, key by key in place of the suite's"
    )
    methods: dict[str, dict[str, Any]] = Field(
        default={}, description="of methods by name, the keys that are others here"
    )
    ignored: list[str] = Field(
        default=[], description="layers whose output channels all stay, and those inside them"
    )

    @property
    def given(self) -> bool:
        """Whether it starts from weights that something else has trained."""
        return bool(self.weights or self.checkpoint)

    @property
    def untrained(self) -> bool:
        """Whether its bases are pruned as they are initialised."""
        return self.recipe is False and not self.given

    @property
    def identity(self) -> dict[str, Any]:
        """Which network this is, for keys; what uses it stands elsewhere in them."""
        return self.model_dump(
            exclude={
                *("label", "recipe", "recipes", "checkpoint", "sha256"),
                *("datasets", "budgets", "calibration", "selection", "methods"),
            }
        )

    def faults(self) -> Iterator[str]:
        if self.weights and self.checkpoint:
            yield "give weights or checkpoint, not both"
        if self.sha256 and not self.checkpoint:
            yield "sha256 is a checkpoint's; give checkpoint as well"
        if self.sha256 and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            yield f"sha256 {self.sha256}: expected 64 digits 0-9 and a-f, as sha256sum says them"
        if self.checkpoint and "://" in self.checkpoint:
            if not self.checkpoint.startswith("https://"):
                yield f"checkpoint {self.checkpoint}: give a path or an https URL"
            if not self.sha256:
                yield (
                    f"checkpoint {self.checkpoint} needs its sha256; download it by hand, look at "
                    "it, and give what sha256sum says"
                )


def problem_name(dataset: DatasetSpec, model: ModelSpec) -> str:
    """How tables name a model on a dataset."""
    return f"{model.title} on {dataset.title}"
