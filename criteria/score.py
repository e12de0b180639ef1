"""The public call: a model and a criterion in, scores per group out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from .errors import CriteriaError
from .evidence.batch import Inputs, Loss, cross_entropy
from .gather import score_alone
from .lazy import Tensor, nn, torch
from .network.cut import verify
from .network.given import given
from .network.groups import find_structure
from .network.member import Group, Member
from .registry import create, find, require


@dataclass(frozen=True, eq=False)
class GroupScores:
    """Scores of one group."""

    group: Group  # what leaves together
    # `[units]`, float64 on the CPU; low leaves first. A unit is a channel of the root, or the
    # channels at one position of all blocks (grouped convolution, attention heads).
    values: Tensor

    @property
    def root(self) -> str:
        """Name of the layer whose output channels these are."""
        return self.group.root

    @property
    def members(self) -> tuple[Member, ...]:
        """The layers' sides that are coupled to the root."""
        return self.group.members


def score(
    model: nn.Module,
    example_inputs: Any,
    criterion: str,
    batches: Iterable[tuple[Inputs, Any]] = (),
    ignored: Collection[nn.Module] = (),
    *,
    generator: torch.Generator | None = None,
    loss: Loss = cross_entropy,
    **options: Any,
) -> list[GroupScores]:
    """Score every prunable unit of a network; the network is left as it was found.

    Args:
        model: any network that torch-pruning can trace; of weights behind masks and
            parametrizations those that act are scored.
        example_inputs: one batch for tracing: a tensor, a tuple of the forward's arguments, or a
            mapping of them by name; `batches` hold inputs of the same kind.
        criterion: a registered name; see `criteria.criteria()`.
        batches: (inputs, targets) for criteria that need data.
        ignored: layers whose outputs are never pruned, such as the classifier.
        generator: for criteria that draw random numbers; default: seed 0.
        loss: mean loss of (outputs, targets).
        **options: the criterion's own, among them `reduction` and `normalizer`.

    Raises CriteriaError: unknown names or options, a network that cannot be traced, or from which
    channels cannot be removed, missing or unfit data, bad scores.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 4))
        >>> x, y = torch.ones(8, 3), torch.zeros(8, dtype=torch.long)
        >>> (group,) = score(network, x[:1], "taylor", [(x, y)], ignored=[network[2]])
        >>> group.root, group.values.shape
        ('0', torch.Size([2]))
    """
    if find(criterion).selector is not None:
        raise CriteriaError(f"{criterion} picks sets and gives no scores; use bench.prune")
    require(criterion, options, "channels")
    generator = generator or torch.Generator().manual_seed(0)
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        plain = given(model, example_inputs)
        structure = find_structure(plain.model, plain.inputs, plain.copies(ignored))
        verify(plain.model, plain.inputs, structure)
        one = create(criterion, structure.groups, options, generator)
        values, _ = score_alone(plain.model, one, batches, loss)
    return [GroupScores(*pair) for pair in zip(structure.groups, values, strict=True)]
