"""Recipes: how networks are trained, whatever for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from .section import Section


class Distillation(Section):
    """Learning from the unpruned network as well (Hinton et al. 2015, arXiv 1503.02531)."""

    weight: float = Field(default=0.5, gt=0, le=1, description="share of the loss")
    temperature: float = Field(default=4.0, gt=0)


class Recipe(Section):
    """How a network is trained: bases, adaptation of a checkpoint, and finetuning alike."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(default=128, ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "step", "cosine"] = "cosine"
    milestones: list[float] = Field(
        default=[0.5, 0.75], description="step: shares of the epochs after which the rate drops"
    )
    gamma: float = Field(default=0.1, gt=0, le=1, description="step: factor of each drop")
    warmup_epochs: float = Field(default=0, ge=0)
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    augment: bool = True
    distill: Distillation | None = Field(default=None, description="not for bases")


@cache
def named_recipes() -> dict[str, Recipe]:
    """The recipes that every suite may name (suites/recipes.yaml)."""
    from .files import read_yaml

    return {
        name: Recipe.model_validate(recipe)
        for name, recipe in read_yaml(Path(__file__).with_name("recipes.yaml")).items()
    }
