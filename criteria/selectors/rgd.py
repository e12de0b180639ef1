"""RGD: of filters whose maps look alike, keep the largest (redundancy graph decomposition)."""

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from ..errors import NotApplicable
from ..evidence.batch import Batch, Need
from ..lazy import Tensor, torch
from ..network.member import Group, Member
from ..options import BatchNormMode, Options
from ..registry import register
from ..selector import Selector

SIDE = 8  # of the low-frequency corner that is hashed
LEAST_POSITIONS = 4  # a map of one position hashes to one bit, which is always 1


class RGDOptions(Options):
    """Which maps are hashed."""

    images: int = Field(default=100, ge=1)
    """the first so many of the calibration images, or all where there are fewer."""
    bn_mode: BatchNormMode = "eval"


@register(
    "rgd",
    cite="Li et al., Neurocomputing 2024, 128108, doi 10.1016/j.neucom.2024.128108",
    needs=Need.ACTIVATIONS,
)
class RGD(Selector):
    """Hash each filter's maps; of every dense piece of the graph of like ones keep the largest.

    The knob is theta, the share of equal hash bits from which two filters are alike. In each group
    one convolution, the leader, decides; all other members follow it.
    """

    options_type = RGDOptions
    knob = (0.3, 1.0)

    def begin(self) -> None:
        self.leaders = leaders(self.groups)
        self.kept_whole = {
            group.root: "no convolution makes its channels"
            for group in self.groups
            if group not in self.leaders
        }
        self._norms: dict[Group, Tensor] = {}
        self._agreements: dict[Group, Tensor] = {}  # [units, units]: equal bits minus unequal ones
        self._bits: dict[Group, int] = {}

    def observe(self, batch: Batch) -> None:
        wanted = self.options.images - self.images
        if wanted <= 0:
            return
        seen = batch if self.options.bn_mode == "eval" else batch.batch_norm
        for group, leader in self.leaders.items():
            if group.root in self.kept_whole:
                continue
            try:
                output = seen.layer_output(leader.name)[:wanted]
            except NotApplicable as reason:  # a layer that is used several times
                self.kept_whole[group.root] = str(reason)
                continue
            if output.dim() != 4 or math.prod(output.shape[2:]) < LEAST_POSITIONS:
                self.kept_whole[group.root] = f"the maps of {leader.name} are too small to hash"
                continue
            sides = (leader.entries_per_unit, *output.shape[2:])
            maps = leader.channels(output).unflatten(2, sides)
            signs = 2 * hash_bits(maps).float() - 1  # sums of ±1 are exact
            if group not in self._norms:
                self._norms[group] = leader.view(batch.weights).abs().sum(1).double()
                self._agreements[group] = signs.new_zeros(group.units, group.units).double()
            self._agreements[group] += signs @ signs.T
            self._bits[group] = self._bits.get(group, 0) + signs.shape[1]

    def scores(self) -> list[Tensor]:
        """`[units, units]` of every group: similarities, and L1 norms on the diagonal. Raises
        NotApplicable: no group has maps that can be hashed."""
        if not self._norms:
            why = "; ".join(f"{root}: {reason}" for root, reason in self.kept_whole.items())
            raise NotApplicable(f"{self.name} can hash the maps of no group: {why}")
        return [
            similarities(self._agreements[group], self._bits[group]).diagonal_scatter(norms)
            if (norms := self._norms.get(group)) is not None
            else torch.zeros(group.units, group.units, dtype=torch.float64)  # nothing is alike
            for group in self.groups
        ]

    @staticmethod
    def removed(evidence: Tensor, knob: float) -> Tensor:
        alike = (evidence >= knob).numpy().copy()
        np.fill_diagonal(alike, False)
        return torch.from_numpy(peel(alike, evidence.diagonal().numpy()))

    @staticmethod
    def worth(evidence: Tensor) -> Tensor:
        return evidence.diagonal()


def leaders(groups: Sequence[Group]) -> dict[Group, Member]:
    """The convolution of each group that makes its channels in the fewest layers from the image.

    In a residual group that is the projection on the shortcut, or the stem; among equals it is the
    first that the model defines. A group that no convolution makes has none.
    """
    import networkx  # not for lists and plans

    flow = networkx.DiGraph()
    for group in groups:
        for member in group.members:
            if member.side == "in":
                flow.add_edge(group, member.name)
            elif member.side == "out":
                flow.add_edge(member.name, group)
    sources = [one for one in flow if isinstance(one, str) and not flow.pred[one]]
    flow.add_edges_from(("the image", one) for one in sources)
    layers = networkx.single_source_shortest_path_length(flow, "the image") if sources else {}
    makers = {
        group: [one for one in group.members if one.kind == "conv" and one.side == "out"]
        for group in groups
    }
    return {
        group: min(convs, key=lambda one: layers.get(one.name, math.inf))
        for group, convs in makers.items()
        if convs
    }


def hash_bits(maps: Tensor) -> Tensor:
    """Perceptual hash of `[samples, units, channels, h, w]`: `[units, bits]`, true and false.

    A bit is set where an entry of the low-frequency corner of the map's unnormalised DCT-II is not
    below the corner's mean, the constant term included, as in the authors' code.
    """
    rows, columns = (_cosines(side).to(maps.device) for side in maps.shape[-2:])
    corner = rows @ maps.double() @ columns.T
    bits = corner >= corner.mean((-2, -1), keepdim=True)
    return bits.transpose(0, 1).flatten(1)


def _cosines(side: int) -> Tensor:
    """`[min(8, side), side]`: the first rows of the DCT-II, 2 cos(pi u (2 x + 1) / (2 side))."""
    u, x = torch.arange(min(SIDE, side)).double(), torch.arange(side).double()
    return 2 * torch.cos(math.pi * u[:, None] * (2 * x + 1) / (2 * side))


def similarities(agreements: Tensor, bits: int) -> Tensor:
    """Share of equal bits, from the number of equal minus that of unequal ones."""
    return (agreements + bits) / (2 * bits)


def peel(alike: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Ascending vertices that leave, until no edge is left.

    Each round takes the innermost core, and of each connected piece of it keeps the vertex with the
    largest norm, of equal ones the first. A vertex that one round keeps may leave in the next.

    `alike`: [n, n], symmetric, true where two vertices share an edge; consumed. `norms`: [n].
    """
    from scipy.sparse.csgraph import connected_components  # not for lists and plans

    gone = np.zeros(len(alike), dtype=bool)
    while alike.any():
        core = innermost_core(alike)
        _, piece = connected_components(alike[np.ix_(core, core)], directed=False)
        largest_first = np.argsort(-norms[core], kind="stable")
        _, first = np.unique(piece[largest_first], return_index=True)
        lost = np.delete(core, largest_first[first])
        gone[lost] = True
        alike[lost] = False
        alike[:, lost] = False
    return np.flatnonzero(gone)


def innermost_core(alike: np.ndarray) -> np.ndarray:
    """Ascending vertices of the non-empty k-core of the largest k.

    All vertices of least degree leave at once, over and over; the core is what was left when that
    degree last rose. On dense graphs this is a hundred times faster than networkx, its oracle.
    """
    left = np.ones(len(alike), dtype=bool)
    degrees = alike.sum(1)
    core, k = left, -1
    while left.any():
        least = degrees[left].min()
        if least > k:
            core, k = left.copy(), least
        lost = left & (degrees <= k)
        left &= ~lost
        degrees = degrees - alike[lost].sum(0)
    return np.flatnonzero(core)
