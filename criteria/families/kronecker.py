"""Kronecker factors of each layer's Fisher matrix, and what criteria over them share.

For a layer with weights W `[out, in]` (a convolution's inputs are its patches, `in` times kernel)
the gradient of one sample's loss is the sum over positions of g a', with a the inputs and g the
gradient of the outputs at a position. K-FAC (Martens & Grosse 2015; for convolutions Grosse &
Martens 2016, arXiv 1602.01407) takes a and g as independent, positions as alike and
their gradients as uncorrelated. Then the Fisher matrix, the mean over samples of the outer product
of a sample's own gradient with itself, is A (x) G:

    A = E[a a'], the mean over samples and positions;
    G = E[sum over positions of g g'], the mean over samples.

With one position and a independent of g this is exact. EigenDamage divides A by the count of
positions and multiplies G by it; the product is the same. A bias is the weight of an input that is
always 1, the last of A.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch, Labels
from ..evidence.needs import Need
from ..evidence.samples import CHUNK, patches
from ..lazy import Tensor, nn, torch
from ..network.member import Member
from ..options import Only


@dataclass(frozen=True)
class Factors:
    """The two factors of one layer; in a grouped convolution, of each block of its channels."""

    # A, `[blocks, in, in]`, patches ordered as the weight: channel, then kernel; the bias last,
    # where it counts.
    inputs: Tensor
    outputs: Tensor  # G, `[blocks, out, out]`


def factors(sources: Sequence[Batch], name: str, *, bias: bool = False) -> Factors:
    """Kronecker factors of a layer's weights over one batch.

    `sources`: variants of the batch, over which G is added up: see `Batch.labelled`. `bias`: A has
    one input more, which is 1; for layers without a bias nothing changes.

    Raises NotApplicable: neither linear nor a zero-padded 2d convolution, or used several times.
    """
    layer = sources[0].model.get_submodule(name)
    blocks = (getattr(layer, "groups", 1), -1)

    def inputs() -> tuple[Tensor, Tensor]:
        seen = patches(layer, sources[0].layer_input(name)).unflatten(1, blocks)
        squares = second_moment(seen) / (seen.shape[-2] * seen.shape[-1])
        return squares, seen.mean((0, -2, -1)).flatten(1)

    def outputs(source: Batch) -> Tensor:
        gradient = source.output_gradient(name)
        if isinstance(layer, nn.Linear):  # positions last, as a convolution has them
            gradient = gradient.reshape(len(gradient), -1, gradient.shape[-1]).mT[..., None]
        return second_moment(gradient.unflatten(1, blocks))

    need = Need.ACTIVATION_GRADIENTS
    squares, means = sources[0].evidence(("kronecker inputs", name), need, inputs)
    if bias and layer.bias is not None:
        edge = torch.cat([means, torch.ones_like(means[:, :1])], 1)[:, None]
        squares = torch.cat([torch.cat([squares, means[:, None]], 1), edge.mT], 2)
    key = ("kronecker outputs", name)
    found = [one.evidence(key, need, partial(outputs, one)) for one in sources]
    return Factors(squares, torch.stack(found).sum(0))


def second_moment(values: Tensor) -> Tensor:
    """`[blocks, features, features]`: mean over samples of the sum over positions of v v'.

    `values`: `[samples, blocks, ...features, height, width]`, of any strides; copied some samples
    at a time, so that the copy stays in the processor's cache.
    """
    samples, blocks = values.shape[:2]
    features = values.shape[2:-2].numel()
    total = values.new_zeros(blocks, features, features)
    room = values.new_empty(*values.shape[1:-2], min(CHUNK, samples), *values.shape[-2:])
    for some in values.split(CHUNK):
        kept = room if len(some) == room.shape[-3] else room.narrow(-3, 0, len(some))
        columns = kept.copy_(some.movedim(0, -3)).reshape(blocks, features, -1)
        total.baddbmm_(columns, columns.transpose(1, 2))
    return total / samples


def damped(factor: Tensor, damping: float) -> Tensor:
    """A factor `[blocks, n, n]` with `damping` times its mean diagonal added to its diagonal.

    The mean is over the whole layer, so that a dead block is damped as the others are.
    """
    mean = factor.diagonal(dim1=1, dim2=2).mean().clamp(min=1e-100)  # all dead: still invertible
    return factor + damping * mean * torch.eye(factor.shape[-1]).to(factor)


def inverse(factor: Tensor) -> Tensor:
    """The inverse of a damped factor, block by block."""
    return torch.cholesky_inverse(torch.linalg.cholesky(factor))


def unit_blocks(matrix: Tensor, elements: Tensor) -> Tensor:
    """`[units, elements, elements]`: what of a block-diagonal matrix lies between a unit's own.

    `matrix`: its blocks `[blocks, n, n]`. `elements`: `[units, elements]`, rows of the whole
    matrix, of `blocks` times n.
    """
    size, across = matrix.shape[-1], elements[:, :, None]
    block, at = across // size, across % size
    same = block == block.transpose(1, 2)
    return matrix[block, at, at.transpose(1, 2)] * same.to(matrix)


class SideOptions(MemberOptions):
    """Whose Fisher, and which layers of a group count."""

    labels: Labels = "expected"
    """of the loss: expected, the mean over all that could be drawn from the network's softmax (true
    Fisher); sampled, one drawn from it; true, as given (empirical)."""
    bias: bool = True
    """whether a layer's bias is a weight like others, which goes with its filter."""
    side: Annotated[
        Literal["out", "in", "both"], Only("channels", "a single weight has no side")
    ] = "out"
    """out: the filters that make the channel; in: what its consumers hold against it; both."""


class Sided(Criterion):
    """Scores convolutions and linear layers of one side; a depthwise one is of either."""

    def counts(self, member: Member) -> bool:
        side = self.options.side
        mine = side == "both" or member.side in (side, "both")
        return member.kind in ("conv", "linear") and mine


class KroneckerCriterion(Sided):
    """Averages the factors over all batches; a subclass scores a member by them."""

    def begin(self) -> None:
        self._totals: dict[str, Factors] = {}
        self._weights: dict[str, Tensor] = {}

    def observe(self, batch: Batch) -> None:
        sources = batch.labelled(self.options.labels)
        for name in dict.fromkeys(member.name for member in self.members):
            found = factors(sources, name, bias=self.options.bias)
            inputs, outputs = batch.size * found.inputs, batch.size * found.outputs
            if name in self._totals:
                inputs += self._totals[name].inputs
                outputs += self._totals[name].outputs
            self._totals[name] = Factors(inputs, outputs)
            for part in (f"{name}.weight", f"{name}.bias"):
                if part in batch.weights:
                    self._weights[part] = batch.weights[part].to(torch.float64, copy=True)

    def factors(self, name: str) -> Factors:
        """Factors of a layer, over all images, in float64."""
        total = self._totals[name]
        return Factors(total.inputs.double() / self.images, total.outputs.double() / self.images)

    def matrix(self, name: str) -> Tensor:
        """Weights of a layer as `[blocks, out, in]`, between the two factors, in float64.

        Where a bias counts it is the last column.
        """
        blocks, columns, _ = self._totals[name].inputs.shape
        matrix = self._weights[f"{name}.weight"].reshape(blocks, -1, self.fan_in(name))
        if matrix.shape[2] == columns:
            return matrix
        return torch.cat([matrix, self._weights[f"{name}.bias"].reshape(blocks, -1, 1)], 2)

    def layered(self, name: str, matrix: Tensor) -> dict[str, Tensor]:
        """`[blocks, out, in]` as `matrix` has it, by name, in the shapes of weight and bias."""
        shape, columns = self._weights[f"{name}.weight"].shape, self.fan_in(name)
        parts = {f"{name}.weight": matrix[..., :columns].reshape(shape)}
        if matrix.shape[2] > columns:
            parts[f"{name}.bias"] = matrix[..., columns].flatten()
        return parts

    def fan_in(self, name: str) -> int:
        """How many weights, without its bias, an output of a layer has."""
        return self._weights[f"{name}.weight"][0].numel()
