"""Tuning a recovery: every method gets as many settings, and validation chooses one of them."""

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reports.records import Candidate, Epoch
from suites import Recipe
from suites.protocol import Tune

from ..plan.jobs import TrialJob
from ..seeds import generator
from ..training.train import Trained
from .workspace import Base, Workspace


def tuned(
    job: TrialJob,
    tune: Tune,
    workspace: Workspace,
    base: Base,
    recipe: Recipe,
    fit: Callable[[Recipe, str], tuple[nn.Module, Any, Trained]],
) -> tuple[Trained, dict[str, Tensor], list[Candidate]]:
    """Finetune by each setting drawn; whose last epoch is best on validation, or first of equals.

    The draw depends on base and repeat alone, so all methods are tried by the same. A setting whose
    loss is no finite number has lost, and counts as if it had trained to its end.

    Args:
        fit: trains the pruned network anew; the text tells checkpoints of one trial apart.

    Returns:
        the winner's training with the images and seconds of all, its weights, and all settings.

    Raises:
        FloatingPointError: the loss of every setting is not finite.
    """
    grid = tune.grid
    draw = torch.randperm(len(grid), generator=generator("tune", **job.at.axes))
    settings = [grid[place] for place in draw[: tune.trials].tolist()]
    done = workspace.checkpoint(f"{job.key}-tuned", base.sha256)
    state: dict[str, Any] = done.load() or {"tops": [], "images": 0, "seconds": 0.0, "best": None}
    tops = state["tops"]
    for at in range(len(tops), tune.trials):
        chosen, top1 = recipe.changed(settings[at]), None
        start = time.perf_counter()
        try:
            model, _, found = fit(chosen, f"-part{at}")
        except FloatingPointError:
            state["images"] += chosen.epochs * chosen.images_an_epoch(len(base.data.train))
            state["seconds"] += time.perf_counter() - start
        else:
            top1 = found.history[-1].validation_top1
            if all(one is None or one < top1 for one in tops):
                history = [one.model_dump() for one in found.history]
                weights = copy.deepcopy(model.state_dict())
                state["best"] = (at, history, found.best, weights)
            state["images"] += found.images
            state["seconds"] += found.seconds
        tops.append(top1)
        done.save(state)
    if state["best"] is None:
        raise FloatingPointError(
            f"no setting of {', '.join(tune.over)} leaves a finite loss; lower the learning rates"
        )
    won, history, at_best, weights = state["best"]
    candidates = [
        Candidate(settings=one, validation_top1=top1, won=at == won)
        for at, (one, top1) in enumerate(zip(settings, tops, strict=True))
    ]
    epochs = [Epoch(**one) for one in history]
    return Trained(epochs, at_best, state["images"], state["seconds"]), weights, candidates
