"""The evidence of one batch: made on first use, then shared by all criteria that look at it.

Nothing here may be changed in place. Gradients are of the batch's mean loss; whatever is called a
sample's is of that sample's own loss.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from ..errors import CriteriaError, NotApplicable, fault
from ..lazy import Tensor, nn, pytree, torch
from ..network.given import tensors
from ..network.member import Member
from ..network.modes import batch_statistics, in_autograd
from ..network.weights import WeightMember
from .backward import BackwardPass
from .curvature import GradientGraph, residual_of
from .meter import Meter
from .needs import BACKWARD, DATA, Need
from .samples import full, of_samples

Inputs = Any  # of a network: a tensor, or several in a tuple or mapping
Loss = Callable[[Any, Any], Tensor]  # of outputs and targets
Labels = Literal["true", "sampled", "expected"]
T = TypeVar("T")

# What channels last make faster, without a criterion seeing anything of it.
ALIKE = Need.GRADIENTS | Need.SAMPLES
PARTS = 2  # of the expectation over labels: what two leave of chance ranks alike at .98


@dataclass
class Shared:
    """What a batch has in common with its variants."""

    wanted: Need  # by any criterion; decides what the passes keep
    granted: Need  # to the criterion that looks now
    seed: int = 0  # of the labels and signs that are drawn for all criteria
    half: bool = False  # whether the passes that criteria share are in bfloat16
    meter: Meter = field(default_factory=Meter)
    # Every tensor handed out, and its version then; in-place changes raise it.
    held: list[tuple[Tensor, int]] = field(default_factory=list)

    def intact(self) -> bool:
        """Whether no criterion has changed evidence in place."""
        return all(tensor._version == version for tensor, version in self.held)


def samples_in(inputs: Inputs) -> int:
    """How many samples a batch of inputs holds."""
    return len(tensors(inputs)[0])


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over the batch: the loss where none is given."""
    return torch.nn.functional.cross_entropy(outputs, targets)


class Batch:
    """What a criterion may know of one batch. Mappings are by parameter name.

    Attributes:
        weights: the parameters.
        images, targets: of the batch; empty where only weights are observed. Images are what the
            network takes: a tensor, or several in a tuple or mapping. Targets are what the loss
            takes: labels, or probabilities `[samples, classes]` of images that are mixed.
        index: the batch's number in the pass.
    """

    def __init__(
        self,
        model: nn.Module,
        weights: Mapping[str, Tensor],
        images: Inputs,
        targets: Tensor,
        loss: Loss,
        shared: Shared,
        *,
        index: int = 0,
        norms: Literal["eval", "batch"] = "eval",
    ) -> None:
        self.model, self.loss, self.shared = model, loss, shared
        self.weights, self.targets, self._given = weights, targets, images
        self.images = pytree.tree_map_only(torch.Tensor, torch.Tensor.contiguous, images)
        self.index, self.norms = index, norms
        self.size = samples_in(images)
        self._made: dict[Any, Any] = {}
        self._variants: dict[Hashable, Batch] = {}

    # Variants of the batch, with passes of their own.

    def labelled(self, labels: Labels) -> list[Batch]:
        """Batches whose squares of samples' gradients add up to those under such labels."""
        if labels == "expected":
            return self.expected(PARTS)
        return [self if labels == "true" else self.sampled]

    @property
    def sampled(self) -> Batch:
        """This batch with labels drawn from the network's own softmax (true Fisher)."""

        def draw() -> Tensor:
            return self._chances().multinomial(1, generator=self._draw())[:, 0]

        labels = self.evidence("sampled labels", DATA, draw)
        return self._variant("sampled", targets=labels.to(self.targets.device))

    def expected(self, parts: int) -> list[Batch]:
        """Batches whose squares, added up, expect those over all labels from the softmax p.

        A label y has the gradient e_y - p by the outputs, of second moment diag(p) - pp'. So have
        signs s at random in sum over k of s_k sqrt(p_k) (e_k - p), where chance is in products of
        different classes only. Classes are dealt to the parts by rank of p, and no product across
        parts is left: the likeliest are apart, and as many parts as classes leave none to chance.
        """

        def draw() -> list[Tensor]:
            chances = self._chances()
            signs = 2 * torch.randint(2, chances.shape, generator=self._draw()) - 1
            dealt = min(parts, chances.shape[1])
            turns = chances.argsort(1, descending=True).argsort(1) % dealt
            roots = [signs * chances.sqrt() * (turns == part) for part in range(dealt)]
            return [one - chances * one.sum(1, keepdim=True) for one in roots]

        def loss(outputs: Tensor, slope: Tensor) -> Tensor:
            return (outputs * slope).sum(1).mean()

        slopes = self.evidence(("expected labels", parts), DATA, draw)
        like = next(iter(self.weights.values()))
        return [
            self._variant(("expected", parts, at), targets=slope.to(like), loss=loss)
            for at, slope in enumerate(slopes)
        ]

    @property
    def batch_norm(self) -> Batch:
        """This batch with batch norm by its own statistics; running ones are put back."""
        return self._variant("batch_norm", norms="batch")

    def _variant(self, name: Hashable, **other: Any) -> Batch:
        """The batch of that name, which differs from this one in what is given."""
        if name not in self._variants:
            own = {one: getattr(self, one) for one in ("targets", "loss", "index", "norms")}
            place = (self.model, self.weights, self._given)
            self._variants[name] = Batch(*place, shared=self.shared, **own | other)
        return self._variants[name]

    def _chances(self) -> Tensor:
        """`[samples, classes]` on the CPU, where all is drawn: the network's softmax. Raises
        NotApplicable: the targets are no classes, one a sample, or probabilities of them."""
        with torch.no_grad():
            outputs = self._run()
        flat = isinstance(outputs, torch.Tensor) and outputs.dim() == 2
        classes = self.targets.dim() == 1
        if self.targets.is_floating_point():
            sums = self.targets.flatten(1).sum(1)
            classes = self.targets.dim() == 2 and bool((sums - 1).abs().max() < 1e-3)
        if not flat or not classes:
            raise NotApplicable(fault("no_classes"))
        return outputs.softmax(1).cpu()

    def first(self, samples: int) -> Inputs:
        """The inputs of so many samples."""
        return pytree.tree_map(lambda one: one[:samples], self.images)

    def _draw(self) -> torch.Generator:
        seed = 1_000_003 * self.shared.seed + self.index  # the CPU's generator takes 32 bits of it
        return torch.Generator().manual_seed(seed % 2**32)

    # GRADIENTS

    @property
    def gradients(self) -> Mapping[str, Tensor]:
        """Gradients of the batch's mean loss; zero for parameters that it does not depend on."""
        self._require(Need.GRADIENTS)
        return self._backward

    @property
    def products(self) -> Mapping[str, Tensor]:
        """Weights times gradients."""

        def multiply() -> dict[str, Tensor]:
            with torch.no_grad():
                return {name: one * self.weights[name] for name, one in self.gradients.items()}

        return self.evidence("products", Need.GRADIENTS, multiply)

    def dots(self, member: Member, *, bias: bool = False) -> Tensor:
        """`[entries]`, float64: weights times gradients, summed over the block of each entry."""

        def add_up() -> Tensor:
            return member.rows(self.products, bias=bias).sum(1, dtype=torch.float64).detach()

        return self.evidence(("dots", member, bias), Need.GRADIENTS, add_up)

    # SAMPLES and SQUARES, made while the gradients pass by

    def sample_products(self, member: Member) -> Tensor:
        """`[samples, entries]`: each sample's weights times gradients over the block of each entry.

        A layer is linear in the block of an output (bias included), so the sum over it of weight
        times gradient is the sum over positions of output times its gradient; and for the block of
        an input, of input times its gradient through this layer alone (Euler's theorem). No
        sample's gradient is ever formed.
        """
        if isinstance(member, WeightMember):
            raise NotApplicable("a single weight is no block; hessian_diag squares each sample's")
        dots = self._passed_by(Need.SAMPLES).dots.get((member.name, member.side == "in"))
        if dots is None:
            raise NotApplicable(f"no gradient reaches layer {member.name}")
        return self.size * dots[:, member.indices]

    @property
    def squared_gradients(self) -> Mapping[str, Tensor]:
        """Mean over samples of each sample's own gradient, squared: the diagonal Fisher. Raises
        NotApplicable: a layer has no formula for it."""
        return self._squares("squares", self.size)

    @property
    def last_squared_gradients(self) -> Mapping[str, Tensor]:
        """Squared gradients of the batch's last sample alone."""
        return self._squares("last_squares", self.size**2)

    def _squares(self, which: str, scale: int) -> Mapping[str, Tensor]:
        layers = [[*one.parameters(recurse=False)] for one in self.model.modules()]
        if sum(map(len, layers)) > len(self.weights):
            raise NotApplicable("layers share a weight, of which each sees its own part alone")

        def scaled() -> dict[str, Tensor]:
            squares = getattr(self._passed_by(Need.SQUARES), which)
            return {name: one * scale for name, one in squares.items()}

        return self.evidence(which, Need.SQUARES, scaled)

    def output_gradient(self, name: str) -> Tensor:
        """The gradient of each sample's own loss by the output of a layer, `[samples, ...]`.

        Raises:
            NotApplicable: no gradient reaches the layer, or it is used several times in one pass.
        """
        hooks = self._passed_by(Need.ACTIVATION_GRADIENTS).hooks
        gradient = hooks.once(name).made_gradient
        if gradient is None:
            raise NotApplicable(f"no gradient reaches layer {name}")
        return full(of_samples(gradient, name, self.size)) * self.size

    def _passed_by(self, need: Need) -> BackwardPass:
        """What was made of the gradients on their way back, for `need`."""
        self._require(need)
        if self.norms == "batch":
            raise NotApplicable("with batch statistics no sample has a loss of its own")
        _ = self._backward
        passage = self._forward[1]
        self.shared.meter.use(passage.charge(need))
        if need in passage.failures:
            raise NotApplicable(passage.failures[need])
        return passage

    # CURVATURE

    def hessian_product(
        self, vector: Mapping[str, Tensor] | None = None, *, residual: bool = False
    ) -> Mapping[str, Tensor]:
        """Hessian of the batch's mean loss times a vector, by default the weights themselves.

        `vector`: by parameter name; what is missing is zero. `residual`: see `gradient_graph`.
        """
        graph, key = self.gradient_graph(residual=residual), ("hessian times weights", residual)
        if vector is None:
            return self.evidence(key, Need.CURVATURE, lambda: graph.hessian_product(self.weights))
        with self.mode():
            return graph.hessian_product(vector)

    def gradient_graph(self, *, residual: bool = False) -> GradientGraph:
        """The gradient of the batch's mean loss, or of its `residual_of`, with its graph."""
        loss = residual_of(self.loss_of) if residual else self.loss_of
        return self.evidence(
            ("gradient graph", residual),
            Need.CURVATURE,
            lambda: GradientGraph.of(self.model, self.images, loss),
        )

    def loss_of(self, outputs: Tensor) -> Tensor:
        """The batch's mean loss, as a function of the network's outputs. Raises CriteriaError: the
        loss fails, or gives more than one number."""
        try:
            value = self.loss(outputs, self.targets)
        except Exception as error:  # of the user's code
            kind = type(error).__name__
            raise CriteriaError(fault("loss_fails", kind=kind, error=error)) from error
        if value.dim():
            raise CriteriaError(fault("loss_shape", shape=[*value.shape]))
        return value

    # ACTIVATIONS

    def layer_input(self, name: str) -> Tensor:
        """What went into a layer, `[samples, ...]`. Raises NotApplicable: the layer is used several
        times in one forward pass."""
        self._require(Need.ACTIVATIONS | Need.ACTIVATION_GRADIENTS)
        return of_samples(self._forward[1].hooks.once(name).input(), name, self.size)

    def layer_output(self, name: str) -> Tensor:
        """What came out of a layer, ahead of any in-place activation behind it."""
        self._require(Need.ACTIVATIONS | Need.ACTIVATION_GRADIENTS)
        return of_samples(self._forward[1].hooks.once(name).output(), name, self.size)

    @property
    def outputs(self) -> Tensor:
        """Outputs of the network, `[samples, classes]`."""
        return self._forward[0].detach()

    # How evidence is made.

    def evidence(self, key: Any, need: Need, make: Callable[[], T]) -> T:
        """What `make` returns, made once for all criteria that ask for it under this key.

        It is made with autograd on and norm layers as this batch has them, and its time is charged
        to every criterion that uses it.

        Raises CriteriaError: the criterion has declared none of `need`.
        """
        self._require(need)
        meter, timed = self.shared.meter, (id(self), key)
        if key not in self._made:
            with meter.timing(timed), self.mode():
                self._made[key] = make()
            self.shared.held += [(one, one._version) for one in tensors(self._made[key])]
        meter.use(timed)
        return self._made[key]

    def release(self) -> None:
        """Let go of all evidence at once; what is left to the collector piles up over batches."""
        for variant in self._variants.values():
            variant.release()
        _, passage = self._made.get("forward", (None, None))
        if passage is not None:
            passage.hooks.release()
        self._made.clear()
        self.shared.held.clear()

    def _require(self, need: Need) -> None:
        if not self.shared.granted & need:
            names = " or ".join(str(one.name) for one in need)
            raise CriteriaError(f"this evidence has to be asked for: register with needs={names}")

    @contextmanager
    def mode(self) -> Iterator[None]:
        """Autograd on, norm layers as this batch has them."""
        norms = batch_statistics(self.model) if self.norms == "batch" else nullcontext()
        with norms, torch.enable_grad():
            yield

    def _run(self) -> Any:
        """The network's outputs, as criteria share them."""
        given = self._given if self.shared.wanted in ALIKE else self.images
        device = tensors(given)[0].device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.shared.half):
            found = self.model(given)
        return pytree.tree_map_only(torch.Tensor, full, found) if self.shared.half else found

    @property
    def _forward(self) -> tuple[Tensor, BackwardPass]:
        def forward() -> tuple[Tensor, BackwardPass]:
            wanted = self.shared.wanted
            passage = BackwardPass(wanted, self.shared.meter, self.size)
            hooked = bool(wanted & (DATA ^ Need.GRADIENTS ^ Need.CURVATURE))
            with (
                torch.set_grad_enabled(bool(wanted & BACKWARD)),
                nullcontext() if Need.GRADIENTS in wanted else in_autograd(self.model, False),
                passage.hooks.on(self.model) if hooked else nullcontext(),
            ):
                return self._run(), passage

        return self.evidence("forward", DATA, forward)

    @property
    def _backward(self) -> Mapping[str, Tensor]:
        """The pass back; the parameters' gradients, a third of its time, only where wanted."""

        def backward() -> dict[str, Tensor]:
            outputs, passage = self._forward
            parameters = dict(self.model.named_parameters())
            of_weights = Need.GRADIENTS in self.shared.wanted
            ends = [*parameters.values()] if of_weights else passage.hooks.first
            found = torch.autograd.grad(
                self.loss_of(outputs), ends, allow_unused=True, materialize_grads=of_weights
            )
            with torch.no_grad():
                passage.finish()
            plain = (one.contiguous() for one in found)
            return dict(zip(parameters, plain, strict=True)) if of_weights else {}

        return self.evidence("gradients", BACKWARD, backward)
