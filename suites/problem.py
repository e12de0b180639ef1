"""A problem: a model on a dataset, as suites name them."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from .faults import fault
from .protocol import Budgets, Calibration, SelectionSpec
from .recipe import Recipe
from .section import ByName, Chosen, Section, Slug, slug

Normalizing = Literal[
    "cifar", "cifar-short", "cifar-classic", "cifar100", "cifar-wide", "imagenet", "half", "none"
]


class _Named(Section):
    name: str
    label: Slug | None = None  # its name in tables; default: the name

    @property
    def title(self) -> str:
        """Its name in tables and paths."""
        return self.label or slug(self.name)


class DatasetSpec(_Named):
    """A dataset by name; `imagefolder` also needs its root, relative to the data root."""

    root: str | None = None
    options: dict[str, Any] = Field(default={})  # its reader's own
    # What networks are for there: what is trained by, and what they are compared by; a name, or
    # {name, options}; default: the dataset's own
    task: Annotated[Chosen, ByName] | None = None
    image_size: int | None = Field(default=None, ge=4)
    normalize: Normalizing | None = None  # mean and deviation by name; default: the dataset's
    # Of large images, a random 8 to 100 % of the area resized, or a random square as wide as the
    # shorter side
    crops: Literal["resized", "whole"] = "resized"
    # Share held out of train; 0: all is learned from, and no epoch is best on images that it was
    # not trained on
    validation: float = Field(default=0.1, ge=0, lt=0.5)
    train_images: int | None = Field(default=None, ge=1)  # use only so many, seeded
    test_images: int | None = Field(default=None, ge=1)  # use only so many, seeded
    # Its own, in place of the suite's of the same names
    recipes: dict[str, Recipe] = Field(default={})

    @property
    def identity(self) -> dict[str, Any]:
        """Which images these are, for keys."""
        unsaid = {name for name in ("options", "task") if not getattr(self, name)}
        return self.model_dump(exclude={"label", "recipes", *unsaid})

    def held_out(self, images: int) -> int:
        """How many of so many training images are for validation: one at least, or none at 0."""
        return max(1, round(images * self.validation)) if self.validation else 0


class ModelSpec(_Named):
    """An architecture by name, and where its first weights come from."""

    options: dict[str, Any] = Field(default={})
    weights: str | None = None  # torchvision weights by name
    checkpoint: str | None = None  # path or https URL of a state dict; a URL needs its sha256
    sha256: str | None = None  # of the checkpoint's file
    # Base recipe of this model; false: take weights as they are, given or fresh
    recipe: str | Literal[False] | None = None
    # Those of the suite's that it is on; default: all
    datasets: list[str] | None = Field(default=None, min_length=1)
    budgets: Budgets | None = None  # its own, on the suite's axis
    calibration: Calibration | None = None  # in place of the suite's
    # Its own, in place of the dataset's and the suite's of these names
    recipes: dict[str, Recipe] = Field(default={})
    selection: SelectionSpec | None = None  # its own, key by key in place of the suite's
    # Of methods by name, the keys that are others here
    methods: dict[str, dict[str, Any]] = Field(default={})
    # Layers whose output channels all stay, and those inside them
    ignored: list[str] = Field(default=[])

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
        aside = {"label", "recipe", "recipes", "checkpoint", "sha256"}
        aside |= {"datasets", "budgets", "calibration", "selection", "methods"}
        return self.model_dump(exclude=aside)

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
                yield fault("no_sha256", checkpoint=self.checkpoint)


def problem_name(dataset: DatasetSpec, model: ModelSpec) -> str:
    """How tables name a model on a dataset."""
    return f"{model.title} on {dataset.title}"
