"""Any classifier of torchvision, fitted to a dataset's classes, channels and image size."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.vision import torchvision
from ..errors import ModelError, fault
from ..export.recipe import Call, call
from .adapters import logits_alone
from .vit import PrunableViT, Unit, make_prunable

AUXILIARY = ("aux1", "aux2", "AuxLogits", "aux_classifier")  # second outputs, for training


def names() -> list[str]:
    """The names of all networks of torchvision that classify images, or their pixels."""
    return [*torchvision.models.list_models(module=torchvision.models), *segmenting()]


def segmenting() -> list[str]:
    """The names of those that classify pixels, with outputs in a mapping."""
    return torchvision.models.list_models(module=torchvision.models.segmentation)


def torchvision_model(
    name: str,
    weights: str | None,
    classes: int,
    channels: int,
    image_size: int,
    *,
    attention: Unit = "head_dims",
) -> nn.Module:
    """A torchvision classifier, new or with weights by name (which may have to be downloaded).

    Its output layer has `classes` outputs, its first convolution `channels` inputs, auxiliary
    outputs are left out. Of `attention` leave channels of all heads alike, whole heads, or nothing
    (kept). Raises ModelError for weights that are unknown or cannot be fetched.
    """
    patch = int(name.rpartition("_")[2]) if name.startswith("vit_") else 1
    if image_size % patch:
        raise ModelError(f"{name}: {image_size} pixels do not divide into patches of {patch}")
    how = _arguments(name, classes, image_size)
    model = downloaded(name, weights) if weights else torchvision.models.get_model(name, **how)
    for auxiliary in AUXILIARY:
        if getattr(model, auxiliary, None) is not None:
            setattr(model, auxiliary, None)
            setattr(model, "aux_logits", False)  # noqa: B010 - mypy takes it for a module
    if isinstance(model, torchvision.models.VisionTransformer) and model.image_size != image_size:
        sizes = {"its": model.image_size, "image_size": image_size}
        raise ModelError(fault("other_pixels", name=name, weights=weights, **sizes))
    _fit_classes(model, classes)
    _fit_channels(model, channels, keep=weights is not None)
    make_prunable(model, attention)
    if isinstance(model, PrunableViT) and weights is None:
        model.draw_head()
    return logits_alone(model) if name in segmenting() else model


def _arguments(name: str, classes: int, image_size: int) -> dict[str, Any]:
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name.startswith("vit_"):
        options["image_size"] = image_size
    if name in segmenting():
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True  # without it they warn that the default will change
    return options


def torchvision_call(
    name: str, classes: int, image_size: int, attention: Unit = "head_dims"
) -> Call:
    """The constructor of `torchvision_model` as a recipe writes it: what torchvision itself has,
    made prunable where that has other layers."""
    made = call("torchvision.models:get_model", name=name, **_arguments(name, classes, image_size))
    if not name.startswith("vit_"):
        return made
    return call("bench.models.vit:make_prunable", model=made, attention=attention)


def published(name: str, weights: str) -> Any:
    """torchvision's entry of weights by name; ModelError, with the names, if there is none."""
    if name not in names():
        raise ModelError(f"no torchvision model {name!r}")
    known = torchvision.models.get_model_weights(name)
    if weights not in (*known.__members__, "DEFAULT"):
        there = ", ".join(known.__members__)
        raise ModelError(f"{name} has no weights {weights!r}; there are: {there}")
    return known[weights]


def weights_file(entry: Any) -> Path:
    """The place where torch keeps the downloaded file of an entry."""
    return Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[-1]


def downloaded(name: str, weights: str) -> nn.Module:
    """A torchvision model with weights by name, which torch fetches where they are not there yet.
    Raises ModelError for weights that are none, or cannot be fetched."""
    entry = published(name, weights)
    try:
        return torchvision.models.get_model(name, weights=entry, progress=False)
    except (OSError, RuntimeError) as error:
        which = {"name": name, "weights": weights, "file": weights_file(entry)}
        raise ModelError(fault("no_weights", **which, error=error)) from error


def _fit_classes(model: nn.Module, classes: int) -> None:
    """Outputs of given weights for other classes: a new last layer, or two that are added up."""
    layers = [each for each in model.named_modules() if isinstance(each[1], nn.Linear | nn.Conv2d)]
    beside, given = layers[-1][0].rpartition(".")[0], len(layers[-1][1].weight)
    for name, old in layers if given != classes else ():
        if name.rpartition(".")[0] == beside and len(old.weight) == given:
            sizes, pixels = (old.weight.shape[1], classes), isinstance(old, nn.Conv2d)
            model.set_submodule(name, nn.Conv2d(*sizes, 1) if pixels else nn.Linear(*sizes))


def _fit_channels(model: nn.Module, channels: int, keep: bool) -> None:
    """A first convolution for another number of input channels than three.

    Given weights become their scaled mean over inputs: gray images, repeated or not, give the same.
    """
    old = next(one for one in model.modules() if isinstance(one, nn.Conv2d))
    if old.in_channels == channels:
        return
    mean = old.weight.detach().mean(1, keepdim=True) * (old.in_channels / channels)
    old.weight = nn.Parameter(mean.repeat(1, channels, 1, 1))
    old.in_channels = channels
    if not keep:
        old.reset_parameters()
