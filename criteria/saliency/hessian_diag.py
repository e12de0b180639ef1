"""Diagonal second order: optimal brain damage with the Fisher matrix in the Hessian's place."""

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch, Labels
from ..evidence.needs import Need
from ..options import Bias
from ..registry import register
from .magnitude import TorchPruningOptions


class HessianDiagOptions(MemberOptions):
    """Whether biases count, and whose Fisher."""

    bias: Bias = False
    labels: Labels = "true"
    """true: as given (empirical Fisher); sampled: drawn from the network's softmax (Fisher);
    expected: the mean over all labels that could be drawn."""


@register(
    "hessian_diag",
    cite="LeCun et al. (OBD), NeurIPS 1989; per-sample empirical Fisher as in Theis et al., "
    "arXiv 1801.05787",
    needs=Need.SQUARES,
    aliases=("obd_diag",),
    unstructured=True,
)
class HessianDiag(Criterion):
    """Half the squared weights times the mean squared gradient of single samples, summed."""

    options_type = HessianDiagOptions
    mean_over = "images"

    def observe(self, batch: Batch) -> None:
        bias = self.options.bias
        for squares in [one.squared_gradients for one in batch.labelled(self.options.labels)]:
            for member in self.members:
                weights = member.view(batch.weights, bias=bias).double()
                terms = 0.5 * weights.square() * member.view(squares, bias=bias)
                self.add(member, batch.size * terms.sum(1))


@register("hessian_diag_tp", cite="torch-pruning 1.6.1, GroupHessianImportance", needs=Need.SQUARES)
class HessianDiagTP(Criterion):
    """Squared weights times the squared gradient of the very last sample, as in torch-pruning."""

    options_type = TorchPruningOptions

    def observe(self, batch: Batch) -> None:
        self._sums.clear()  # the defect: what earlier samples gave is overwritten
        for member in self.members:
            weights = member.view(batch.weights).double()
            self.add(member, (weights.square() * member.view(batch.last_squared_gradients)).sum(1))
