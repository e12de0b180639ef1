"""ThiNet: remove the channels whose absence the next layer notices least."""

import math
from collections.abc import Iterator

from pydantic import Field

from ..errors import NotApplicable
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..evidence.samples import patches
from ..families.activations import ActivationCriterion
from ..lazy import Tensor, functional, torch
from ..network.member import Group, Member
from ..options import Options
from ..registry import register


class ThinetOptions(Options):
    """How much of the next layer's output is looked at."""

    positions: int = Field(default=10, ge=1)
    """places in the next layer's output that are drawn from each image, ten in the paper."""
    filters: int = Field(default=8, ge=1)
    """of the next layer, that answer at each place; one in the paper."""


@register("thinet", cite="Luo et al., ICCV 2017, arXiv 1707.06342", needs=Need.ACTIVATIONS)
class Thinet(ActivationCriterion):
    """Place in the greedy order of removal that least changes the next layer's output.

    The first channels of the order are ThiNet's own set at every size. Places are over the size of
    the group, from 0 to below 1: meant for comparison within a layer.
    """

    options_type = ThinetOptions

    def begin(self) -> None:
        self.seed = int(torch.randint(2**31, (), generator=self.generator))

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            for parts in self._parts(batch, member):
                self.add(member, parts.T @ parts)

    def scores(self) -> list[Tensor]:
        return [removal_order(self._gram(group)) / group.units for group in self.groups]

    def _gram(self, group: Group) -> Tensor:
        grams = [self.member_scores(member) for member in self.counted(group)]
        if not grams:
            raise NotApplicable(f"thinet: no layer reads the channels of {group.root}")
        return torch.stack(grams).sum(0)

    def _parts(self, batch: Batch, member: Member) -> Iterator[Tensor]:
        """`[samples * positions, units]`, by filter: what each unit adds to outputs drawn."""
        layer = batch.model.get_submodule(member.name)
        seen = patches(layer, batch.layer_input(member.name))
        weight = layer.get_parameter("weight").detach()
        weight = weight.reshape(*weight.shape[:2], *seen.shape[2:4])
        blocks = getattr(layer, "groups", 1)
        draw = torch.Generator().manual_seed(self.seed)

        def drawn(below: int) -> Tensor:
            return torch.randint(below, (count,), generator=draw).to(seen.device)

        count, each = batch.size * self.options.positions, min(self.options.filters, len(weight))
        rows, columns = drawn(seen.shape[4]), drawn(seen.shape[5])
        rounds = math.ceil(count * each / len(weight))
        dealt = torch.cat([torch.randperm(len(weight), generator=draw) for _ in range(rounds)])
        sample = torch.arange(batch.size, device=seen.device)
        sample = sample.repeat_interleave(self.options.positions)
        places = seen[sample, :, :, :, rows, columns].double()  # [drawn, in, kernel, kernel]
        places = places.unflatten(1, (blocks, -1))
        for filters in dealt[: count * each].reshape(count, each).T.to(seen.device):
            products = (places * weight[filters, None].double()).sum((3, 4))
            # A filter of a grouped convolution sees its own block of the inputs, and no other.
            sees = functional.one_hot(filters // (len(weight) // blocks), blocks)
            parts = (products * sees[..., None]).flatten(1)
            yield member.per_unit(parts[:, member.indices])


def removal_order(gram: Tensor) -> Tensor:
    """`[units]`: the place of each unit when units leave one by one, each time the cheapest.

    `gram`: `[units, units]`, inner products of what the units add to the outputs. Of a removed set,
    the sum over all its pairs is the squared error.
    """
    places = torch.zeros(len(gram), dtype=gram.dtype, device=gram.device)
    growth = gram.diagonal().clone()  # of the error, if this unit leaves next
    for place in range(len(gram)):
        leaving = growth.argmin()
        places[leaving] = place
        growth += 2 * gram[leaving]
        growth[leaving] = torch.inf
    return places
