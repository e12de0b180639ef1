"""HAP: a channel's mean curvature times its size."""

from collections.abc import Mapping

from pydantic import Field

from ..criterion import Criterion
from ..errors import NotApplicable
from ..evidence.batch import PARTS, Batch
from ..evidence.curvature import GradientGraph
from ..evidence.needs import Need
from ..lazy import Tensor, torch
from ..registry import register
from .magnitude import FilterOptions


class HapOptions(FilterOptions):
    """How much of the traces is left to chance. The filter that makes the channel counts alone."""

    parts: int = Field(default=PARTS, ge=1)
    """passes back a batch for the curvature of the loss, among which classes are dealt; as many as
    classes leave nothing to chance."""
    probes: int = Field(default=4, ge=1)
    """random vectors a layer and batch for the curvature of activations, which piecewise linear
    networks (ReLU) do not have: they take none."""


@register(
    "hap",
    cite="Yu et al., WACV 2022, arXiv 2101.08940",
    needs=Need.SQUARES | Need.CURVATURE,
    unstructured=True,
)
class Hap(Criterion):
    """trace(H_p) / (2 p) * |w_p|^2 over the p weights of a channel.

    H is Gauss-Newton and a rest. Gauss-Newton's diagonal is that of the Fisher matrix under the
    softmax's labels: see `Batch.expected`. The rest has nothing within one layer where activations
    are piecewise linear, as the outputs are then linear in each layer's weights; elsewhere random
    signs over one layer at a time estimate it (Hutchinson), so that no other layer adds noise.
    """

    options_type = HapOptions
    kinds = ("conv", "linear")
    mean_over = "images"

    def begin(self) -> None:
        self._bent: list[str] | None = None  # weights with curvature of activations

    def observe(self, batch: Batch) -> None:
        diagonals = [one.squared_gradients for one in batch.expected(self.options.parts)]
        if self._bent is None:
            self._bent = self._curved(batch)
        rest = self._rest(batch, self._bent)
        for member in self.members:
            name = f"{member.name}.weight"
            parts = [*diagonals, rest] if name in rest else diagonals
            traces = torch.stack([member.view(one).sum(1, dtype=torch.float64) for one in parts])
            sizes = member.view(batch.weights).double().square().mean(1)
            self.add(member, batch.size * traces.sum(0) * sizes / 2)

    def _curved(self, batch: Batch) -> list[str]:
        """Names of weights in which the outputs are not linear, seen on one image. Raises
        NotApplicable: the loss is no cross-entropy of a softmax."""
        chances = batch.outputs.softmax(1)
        along = torch.linspace(-1, 1, chances.shape[1]).to(chances).expand_as(chances)
        expected = chances * (along - (chances * along).sum(1, keepdim=True))
        with batch.mode():
            _, bend = torch.autograd.functional.hvp(batch.loss_of, batch.outputs, along)
            graph = GradientGraph.of(batch.model, batch.first(1), torch.sum)
        if not torch.allclose(batch.size * bend, expected, rtol=1e-3, atol=1e-3):
            raise NotApplicable("hap: the loss is no cross-entropy of the outputs' softmax")
        names = dict.fromkeys(f"{member.name}.weight" for member in self.members)
        return [name for name in names if graph.own_product(name, batch.weights[name]).any()]

    def _rest(self, batch: Batch, names: list[str]) -> Mapping[str, Tensor]:
        """Estimated diagonal of the Hessian without Gauss-Newton, of these weights."""
        if not names:
            return {}
        graph = batch.gradient_graph(residual=True)
        rest = {name: torch.zeros_like(batch.weights[name]) for name in names}
        for name in names * self.options.probes:
            drawn = torch.randint(2, rest[name].shape, generator=self.generator)  # on the CPU
            signs = (2 * drawn - 1).to(rest[name])
            rest[name] += signs * graph.own_product(name, signs) / self.options.probes
        return rest
