"""The pruned architecture from fresh weights: what the surviving weights are worth."""

from __future__ import annotations

from ..errors import NotApplicable, fault
from ..lazy import nn, torch
from ..phases import register_phase
from .recovery import Recovery


@register_phase("scratch", cite="Liu et al., ICLR 2019, arXiv 1810.05270")
class Scratch(Recovery):
    """Training of the same small network from fresh weights.

    Every module that has a `reset_parameters` draws its weights, inner modules first, so that a
    network that defines one for itself has the last word.
    """

    def begin(self, model: nn.Module) -> None:
        """
        Raises NotApplicable: some parameters are drawn anew by no module.
        """
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(torch.nan)  # what is still so afterwards was not drawn
        with torch.random.fork_rng(devices=[]):
            seed = int(torch.randint(2**62, (), generator=self.generator))
            # torch.manual_seed would also seed the generators of every GPU.
            torch.default_generator.manual_seed(seed)
            for module in reversed(list(model.modules())):
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
        left = [name for name, one in model.named_parameters() if one.isnan().any()]
        if left:
            known = {"names": ", ".join(left), "model": type(model).__name__}
            raise NotApplicable(fault("not_drawn", **known))
