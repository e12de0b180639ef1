"""A network for its data: others' are first made plain, and refused where they do not fit."""

from __future__ import annotations

from criteria import StructureError
from criteria.lazy import Tensor, nn, torch
from criteria.network.given import copied, given
from suites.problem import ModelSpec

from ..errors import ModelError
from ..tasks.task import Task, logits_in
from .adapters import logits_alone
from .registry import build_model, code_of


def fresh(spec: ModelSpec, seed: int, inputs: Tensor, task: Task, **shape: int) -> nn.Module:
    """A network where its inputs are, in training mode, which gives what its task takes.

    Of others' weights behind masks and parametrizations become those that act, in float32.

    Raises:
        ModelError: see `build_model`; it does not run on such inputs, or gives something else.
    """
    model = build_model(spec, seed=seed, **shape).to(inputs.device)
    if code_of(spec) is None:
        return model
    try:
        plain = given(model, inputs).model
    except StructureError as error:
        raise ModelError(f"{spec.name}, on inputs {list(inputs.shape)}: {error}") from error
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for when, twin in (("", copied(plain).eval()), (" in training", copied(plain).train())):
            if misfit := task.misfit(found := twin(inputs), inputs, shape):
                raise ModelError(f"{spec.name} gives{when} {misfit}")
    if logits_in(found) is not found:  # criteria that look at outputs know nothing of mappings
        plain = logits_alone(plain)
    return plain.train()
