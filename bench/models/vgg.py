"""VGG with batch normalisation, for small images (Simonyan and Zisserman 2015, arXiv 1409.1556).

As usual on CIFAR, one linear layer replaces the three, and convolutions before a norm have no bias
(Liu et al. 2017, arXiv 1708.06519).
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from ..errors import ModelError

# Channels of the 3x3 convolutions of each stage; 2x2 max-poolings behind stages.
VGG16 = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
VGG19 = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)


class VGG(nn.Module):
    """[n, channels, h, w] -> logits [n, classes]."""

    def __init__(
        self,
        stages: Sequence[Sequence[int]],
        classes: int,
        channels: int,
        pools: int,
        bias: bool = False,
        hidden: int | None = None,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        layers: list[nn.Module] = []
        for number, stage in enumerate(stages, 1):
            for width in stage:
                conv = nn.Conv2d(channels, width, 3, padding=1, bias=bias)
                self._draw(conv)
                layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
            if number <= pools:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden = nn.Sequential()
        for _ in range(0 if hidden is None else 2 if dropout else 1):
            assert hidden is not None
            linear = nn.Linear(channels, hidden)
            self._draw(linear)
            rest = [nn.ReLU(), nn.Dropout()] if dropout else [nn.BatchNorm1d(hidden), nn.ReLU()]
            self.hidden.extend([linear, *rest])
            channels = hidden
        self.classifier = nn.Linear(channels, classes)
        self._draw(self.classifier)

    def reset_parameters(self) -> None:
        """Draw what the layers have not drawn well themselves."""
        for module in self.modules():
            self._draw(module)

    def _draw(self, layer: nn.Module) -> None:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear) and not self.dropout:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(self.pool(self.features(x)).flatten(1)))


def vgg_bn(
    depth: Literal[16, 19],
    classes: int,
    channels: int,
    image_size: int,
    *,
    bias: bool = False,
    pools: int = 4,
    hidden: int | None = None,
    dropout: bool = False,
) -> VGG:
    """13 or 16 convolutions and one linear layer; images of 32 pixels or more.

    Options:
        bias: the convolutions have one (OBC, PruningBench, Gate-Decorator, OTOv2; not EigenDamage,
            TPP).
        pools: max-poolings behind the five stages; 3 leaves out one, so that the fifth stage works
            at 4x4 pixels of 32 (OBC, PruningBench); 5 pools it too (OTOv2).
        hidden: width of a hidden linear layer with BN before the last (RGD: 512).
        dropout: two hidden layers with dropout of 0.5 in place of BN, which start as torch draws
            them (OTOv2, with `hidden: 512`).
    """
    if not 1 <= pools <= 5:
        raise ModelError(f"vgg{depth}_bn: pools {pools} is not 1, 2, 3, 4 or 5")
    if dropout and hidden is None:
        raise ModelError(f"vgg{depth}_bn: dropout is between hidden layers; give hidden as well")
    _require(image_size, 32, f"vgg{depth}_bn")
    stages = VGG16 if depth == 16 else VGG19
    return VGG(stages, classes, channels, pools, bias, hidden, dropout)


def vgg_small(classes: int, channels: int, image_size: int, *, width: int = 32) -> VGG:
    """Six convolutions of `width`, 2 `width` and 4 `width` channels: 2.4 M MACs at 8x8 pixels."""
    _require(image_size, 8, "vgg_small")
    return VGG([(each, each) for each in (width, 2 * width, 4 * width)], classes, channels, 2)


def _require(image_size: int, least: int, name: str) -> None:
    if image_size < least:
        hint = "" if name == "vgg_small" else "; vgg_small takes 8 and more"
        raise ModelError(f"{name} needs images of {least} pixels, not {image_size}{hint}")
