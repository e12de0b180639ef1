"""What the consumers of a channel read: its activations, behind norm and non-linearity."""

from typing import ClassVar

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor
from ..network.member import Member
from ..options import Options
from ..reduce import Reduction


class ActivationOptions(MemberOptions):
    """Consumers of a channel often read the very same map; their mean does not count it twice."""

    reduction: Reduction = "mean"


class ActivationCriterion(Criterion):
    """Base of criteria that look at what goes into the layers behind a channel.

    These are convolutions and linear layers that read it; depthwise ones pass it on.
    """

    options_type: ClassVar[type[Options]] = ActivationOptions
    kinds = ("conv", "linear")
    sides = ("in",)


def maps(batch: Batch, member: Member) -> Tensor:
    """`[samples, units, channels, *space]`: what a consumer reads, ahead of pooling or flattening.

    A classifier behind a global pooling reads one number a channel; the papers mean the map that
    was pooled. `space` is (height, width), or (tokens,), or nothing where a vector is all there is.
    A unit has several channels only where channels are tied (grouped convolutions, heads).
    """
    from .pooling import pooled_maps

    pooled = batch.evidence("maps ahead of pooling", Need.ACTIVATIONS, lambda: pooled_maps(batch))
    entries = member.indices[member.units.argsort(stable=True)].reshape(member.unit_count, -1)
    source = pooled.get(member.name)
    if source is not None and member.width % source.shape[1] == 0:
        share = member.width // source.shape[1]  # features that a flattened channel became
        return source[:, entries[:, ::share] // share]
    given = batch.layer_input(member.name)
    return (given.movedim(-1, 1) if member.kind == "linear" else given)[:, entries]
