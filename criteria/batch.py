"""The evidence of one batch: made on first use, then shared by all criteria that look at it.

Nothing here may be changed in place. Gradients are of the batch's mean loss; whatever is called a
sample's is of that sample's own loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from .curvature import GradientGraph
from .errors import CriteriaError, NotApplicable
from .member import Member
from .meter import Meter
from .modes import batch_statistics
from .samples import fold_gradients, sample_dots
from .taps import Taps, Use
from .weights import WeightMember

Loss = Callable[[Tensor, Tensor], Tensor]
T = TypeVar("T")


class Need(Flag):
    """Evidence that a criterion asks for when it registers."""

    WEIGHTS = 0  # observed once
    GRADIENTS = auto()  # of the mean loss of each batch
    SAMPLES = auto()  # of each sample's own loss: per block, or squared per weight
    CURVATURE = auto()  # Hessian-vector products
    ACTIVATIONS = auto()  # what goes into layers and comes out of them


DATA = Need.GRADIENTS | Need.SAMPLES | Need.CURVATURE | Need.ACTIVATIONS


@dataclass
class Shared:
    """What a batch has in common with its variants.

    Attributes:
        wanted: by any criterion; decides what the passes keep.
        granted: to the criterion that looks now.
        held: every tensor handed out, and its version then; in-place changes raise it.
    """

    wanted: Need
    granted: Need
    meter: Meter = field(default_factory=Meter)
    held: list[tuple[Tensor, int]] = field(default_factory=list)

    def intact(self) -> bool:
        """Whether no criterion has changed evidence in place."""
        return all(tensor._version == version for tensor, version in self.held)


class Batch:
    """What a criterion may know of one batch. Mappings are by parameter name.

    Attributes:
        weights: the parameters.
        images, targets: of the batch; empty where only weights are observed.
        index: the batch's number in the pass.
    """

    def __init__(
        self,
        model: nn.Module,
        weights: Mapping[str, Tensor],
        images: Tensor,
        targets: Tensor,
        loss: Loss,
        shared: Shared,
        *,
        index: int = 0,
        norms: Literal["eval", "batch"] = "eval",
    ) -> None:
        self.model, self.loss, self.shared = model, loss, shared
        self.weights, self.images, self.targets = weights, images, targets
        self.index, self.norms = index, norms
        self.size = len(images)
        self._made: dict[Any, Any] = {}
        self._variants: dict[str, Batch] = {}

    # Variants of the batch, with passes of their own.

    @property
    def sampled(self) -> Batch:
        """The same images, with labels drawn from the network's own softmax (true Fisher)."""

        def draw() -> Tensor:
            with torch.no_grad():
                chances = self.model(self.images).softmax(1).cpu()
            generator = torch.Generator().manual_seed(self.index)
            return chances.multinomial(1, generator=generator)[:, 0].to(self.targets.device)

        if "sampled" not in self._variants:
            targets = self.evidence("sampled labels", DATA, draw)
            self._variants["sampled"] = self._variant(targets, self.norms)
        return self._variants["sampled"]

    @property
    def batch_norm(self) -> Batch:
        """The same batch with batch norm by its own statistics; running ones are put back."""
        if "batch_norm" not in self._variants:
            self._variants["batch_norm"] = self._variant(self.targets, "batch")
        return self._variants["batch_norm"]

    def _variant(self, targets: Tensor, norms: Literal["eval", "batch"]) -> Batch:
        return Batch(
            self.model,
            self.weights,
            self.images,
            targets,
            self.loss,
            self.shared,
            index=self.index,
            norms=norms,
        )

    # GRADIENTS

    @property
    def gradients(self) -> Mapping[str, Tensor]:
        """Of the batch's mean loss; zero for parameters that it does not depend on."""
        return self.evidence("gradients", Need.GRADIENTS | Need.SAMPLES, self._backward)

    @property
    def products(self) -> Mapping[str, Tensor]:
        """Weights times gradients."""

        def multiply() -> dict[str, Tensor]:
            with torch.no_grad():
                return {name: one * self.weights[name] for name, one in self.gradients.items()}

        return self.evidence("products", Need.GRADIENTS | Need.SAMPLES, multiply)

    def dots(self, member: Member, *, bias: bool = False) -> Tensor:
        """`[entries]`, float64: weights times gradients, summed over the block of each entry."""

        def add_up() -> Tensor:
            return member.rows(self.products, bias=bias).sum(1, dtype=torch.float64)

        return self.evidence(
            ("dots", member, bias), Need.GRADIENTS | Need.SAMPLES, lambda: add_up().detach()
        )

    # SAMPLES

    def sample_products(self, member: Member, *, bias: bool = True) -> Tensor:
        """`[samples, entries]`: each sample's weights times gradients over the block of each entry.

        A layer is linear in the block of an output (bias included), so the sum over it of weight
        times gradient is the sum over positions of output times its gradient; and for the block of
        an input, of input times its gradient through this layer alone (Euler's theorem; obc.md
        1.9 eq. 3). No sample's gradient is ever formed.
        """
        if isinstance(member, WeightMember):
            raise NotApplicable("a single weight is no block; hessian_diag squares each sample's")
        return self._channel_dots(member.name, member.side == "in", bias)[:, member.indices]

    def _channel_dots(self, name: str, into: bool, bias: bool) -> Tensor:
        """`[samples, channels]` of one side of a layer, over all its uses."""

        def add_up() -> Tensor:
            uses = [use for use in self._after_backward().uses.get(name, []) if _seen(use, into)]
            if not uses:
                raise NotApplicable(f"no gradient reaches layer {name}")
            return self.size * torch.stack([_dots(use, into, bias) for use in uses]).sum(0)

        return self.evidence(("channel dots", name, into, bias), Need.SAMPLES, add_up)

    @property
    def squared_gradients(self) -> Mapping[str, Tensor]:
        """Mean over samples of each sample's own gradient, squared: the diagonal Fisher.

        Layers without a formula for it are missing: asking for them raises NotApplicable.
        """
        return self._squares[0]

    @property
    def last_squared_gradients(self) -> Mapping[str, Tensor]:
        """The same of the batch's last sample alone."""
        return self._squares[1]

    @property
    def _squares(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        def square() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            mean: dict[str, Tensor] = {}
            last: dict[str, Tensor] = {}
            for name, uses in self._after_backward().uses.items():
                for part, total, final in _squared(uses):
                    key = f"{name}.{part}" if name else part
                    mean[key], last[key] = total * self.size, final * self.size**2
            return mean, last

        return self.evidence("squares", Need.SAMPLES, square)

    def input_gradient(self, name: str) -> Tensor:
        """Of each sample's own loss, for the input of a layer, through this layer alone."""
        return _found(self._after_backward().once(name).given_gradient, name) * self.size

    def output_gradient(self, name: str) -> Tensor:
        """Of each sample's own loss, for the output of a layer."""
        return _found(self._after_backward().once(name).made_gradient, name) * self.size

    def _after_backward(self) -> Taps:
        """What the taps have seen, gradients included."""
        self._require(Need.SAMPLES)
        if self.norms == "batch":
            raise NotApplicable("with batch statistics no sample has a loss of its own")
        _ = self.gradients
        return self._forward[1]

    # CURVATURE

    def hessian_product(self, vector: Mapping[str, Tensor] | None = None) -> Mapping[str, Tensor]:
        """Hessian of the batch's mean loss times a vector, by default the weights themselves.

        Args:
            vector: by parameter name; what is missing is zero.
        """

        if vector is None:
            return self.evidence(
                "hessian times weights",
                Need.CURVATURE,
                lambda: self.gradient_graph.hessian_product(self.weights),
            )
        with self.mode():
            return self.gradient_graph.hessian_product(vector)

    @property
    def gradient_graph(self) -> GradientGraph:
        """Of the batch's mean loss; what Hessian-vector products are made from."""
        return self.evidence(
            "gradient graph",
            Need.CURVATURE,
            lambda: GradientGraph.of(self.model, self.images, self._loss_of),
        )

    def _loss_of(self, outputs: Tensor) -> Tensor:
        return self.loss(outputs, self.targets)

    # ACTIVATIONS

    def layer_input(self, name: str) -> Tensor:
        """What went into a layer, `[samples, ...]`.

        Raises:
            NotApplicable: the layer is used several times in one forward pass.
        """
        self._require(Need.ACTIVATIONS | Need.SAMPLES)
        return self._forward[1].once(name).given.detach()

    def layer_output(self, name: str) -> Tensor:
        """What came out of a layer, ahead of any in-place activation behind it."""
        self._require(Need.ACTIVATIONS | Need.SAMPLES)
        return self._forward[1].once(name).output()

    @property
    def outputs(self) -> Tensor:
        """Of the network, `[samples, classes]`."""
        return self._forward[0].detach()

    # How evidence is made.

    def evidence(self, key: Any, need: Need, make: Callable[[], T]) -> T:
        """What `make` returns, made once for all criteria that ask for it under this key.

        It is made with autograd on and norm layers as this batch has them, and its time is charged
        to every criterion that uses it.

        Raises:
            CriteriaError: the criterion has declared none of `need`.
        """
        self._require(need)
        meter, timed = self.shared.meter, (id(self), key)
        if key not in self._made:
            with meter.timing(timed), self.mode():
                self._made[key] = make()
            self.shared.held += [(one, one._version) for one in _tensors(self._made[key])]
        meter.use(timed)
        return self._made[key]

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

    @property
    def _forward(self) -> tuple[Tensor, Taps]:
        def forward() -> tuple[Tensor, Taps]:
            wanted, taps = self.shared.wanted, Taps()
            backward = bool(wanted & (Need.GRADIENTS | Need.SAMPLES))
            tapped = bool(wanted & (Need.SAMPLES | Need.ACTIVATIONS))
            with (
                torch.set_grad_enabled(backward),
                taps.on(self.model) if tapped else nullcontext(),
            ):
                return self.model(self.images), taps

        return self.evidence("forward", DATA, forward)

    def _backward(self) -> dict[str, Tensor]:
        parameters = dict(self.model.named_parameters())
        value = self._loss_of(self._forward[0])
        found = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
        return {
            name: torch.zeros_like(parameter) if gradient is None else gradient
            for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
        }


def _seen(use: Use, into: bool) -> bool:
    return (use.given_gradient if into else use.made_gradient) is not None


def _found(gradient: Tensor | None, name: str) -> Tensor:
    if gradient is None:
        raise NotApplicable(f"no gradient reaches layer {name}")
    return gradient


def _dots(use: Use, into: bool, bias: bool) -> Tensor:
    """`[samples, channels]`: values of one side times their gradients, over all positions."""
    last = isinstance(use.module, nn.Linear | nn.LayerNorm)
    with torch.no_grad():
        if into:
            assert use.given_gradient is not None
            return sample_dots(use.given.detach(), use.given_gradient, last)
        assert use.made_gradient is not None
        dots = sample_dots(use.output(), use.made_gradient, last)
        offset = getattr(use.module, "bias", None)
        if not bias and offset is not None:
            ones = torch.ones((), dtype=dots.dtype, device=dots.device)
            dots = dots - offset.detach() * sample_dots(ones, use.made_gradient, last)
        return dots


def _squared(uses: list[Use]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(parameter, sum over samples of the squared gradient, that of the last sample)."""
    uses = [use for use in uses if use.made_gradient is not None]
    if not uses:
        return
    totals: dict[str, Tensor] = {}
    finals: dict[str, Tensor] = {}

    def square(part: str, gradients: Tensor) -> None:
        squares = gradients.square()
        totals[part] = totals[part] + squares.sum(0) if part in totals else squares.sum(0)
        finals[part] = squares[-1].clone()

    with torch.no_grad():
        if len(uses) == 1:
            (use,) = uses
            assert use.made_gradient is not None
            fold_gradients(use.module, use.given.detach(), use.made_gradient, square)
        else:  # a sample's gradient is the sum over uses: it has to be whole before it is squared
            whole: dict[str, list[list[Tensor]]] = {}
            for at, use in enumerate(uses):
                assert use.made_gradient is not None

                def keep(part: str, gradients: Tensor, at: int = at) -> None:
                    whole.setdefault(part, [[] for _ in uses])[at].append(gradients)

                fold_gradients(use.module, use.given.detach(), use.made_gradient, keep)
            for part, chunks in whole.items():
                square(part, torch.stack([torch.cat(one) for one in chunks]).sum(0))
    for part in totals:
        yield part, totals[part], finals[part]


def _tensors(made: Any) -> Iterator[Tensor]:
    """Every tensor in a piece of evidence."""
    if isinstance(made, Tensor):
        yield made
    elif isinstance(made, Mapping):
        for one in made.values():
            yield from _tensors(one)
    elif isinstance(made, tuple | list):
        for one in made:
            yield from _tensors(one)
