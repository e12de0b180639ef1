"""Networks of large images for small ones: early layers keep the resolution, as usual on CIFAR.

GoogLeNet (Szegedy et al. 2015, arXiv 1409.4842, table 1) with two 3x3 convolutions in place of each
5x5, batch norm, no auxiliary outputs and, as RGD has it, no biases. MobileNets: Howard et al. 2017,
arXiv 1704.04861, table 1; Sandler et al. 2018, arXiv 1801.04381, table 2.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.vision import torchvision

# Widths of each Inception: 1x1; 1x1 and 3x3; 1x1 and 5x5; 1x1 behind pooling.
INCEPTIONS = (
    *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    *((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)),
    *((112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128)),
    *((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
HALVED = (2, 7)  # Inceptions before which pooling halves the resolution
# Width and stride of each depthwise-separable convolution.
SEPARABLE = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5),
    *((1024, 2), (1024, 1)),
)
# Expansion, width, blocks and the first one's stride, of each stage of inverted residuals.
INVERTED = (
    *((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)
Projected = Literal["widened", "all"]


def conv_norm(
    inputs: int, outputs: int, side: int = 1, stride: int = 1, **options: Any
) -> nn.Sequential:
    """[n, inputs, h, w] -> [n, outputs, h / stride, w / stride], zero-padded; `side` is odd."""
    kind = torchvision.ops.Conv2dNormActivation
    return kind(inputs, outputs, side, stride, inplace=None, **options)


class Averaged(nn.Module):
    """Layers that make `width` channels, averaged: [n, channels, h, w] -> logits [n, classes]."""

    def __init__(self, layers: list[nn.Module], width: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


class Inception(nn.Module):
    """Four branches, one behind the other: [n, inputs, h, w] -> [n, sum of theirs, h, w]."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        one, in3, three, in5, five, pooled = widths
        self.one = conv_norm(inputs, one)
        self.three = nn.Sequential(conv_norm(inputs, in3), conv_norm(in3, three, 3))
        self.five = nn.Sequential(
            conv_norm(inputs, in5), conv_norm(in5, five, 3), conv_norm(five, five, 3)
        )
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_norm(inputs, pooled))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


class InvertedResidual(nn.Module):
    """Wider, depthwise, narrower; of stride 1 beside a shortcut: [n, c, h, w] -> [n, out, ...]."""

    def __init__(self, inputs: int, outputs: int, expand: int, stride: int, project: bool) -> None:
        super().__init__()
        width = expand * inputs
        self.body = nn.Sequential(
            conv_norm(inputs, width, activation_layer=nn.ReLU6),
            conv_norm(width, width, 3, stride, groups=width, activation_layer=nn.ReLU6),
            conv_norm(width, outputs, activation_layer=nn.Identity),
        )
        self.shortcut: nn.Module | None = None
        if stride == 1 and project:
            self.shortcut = conv_norm(inputs, outputs)
        elif stride == 1 and inputs != outputs:
            self.shortcut = conv_norm(inputs, outputs, activation_layer=nn.Identity)
        elif stride == 1:
            self.shortcut = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) if self.shortcut is None else self.body(x) + self.shortcut(x)


def googlenet_cifar(classes: int, channels: int, image_size: int) -> Averaged:
    """Nine Inceptions, at a whole, a half and a quarter of the image's side."""
    width, layers = 192, list[nn.Module]([conv_norm(channels, 192, 3)])
    for number, widths in enumerate(INCEPTIONS):
        layers += [nn.MaxPool2d(3, 2, 1)] if number in HALVED else []
        layers.append(Inception(width, widths))
        width = widths[0] + widths[2] + widths[4] + widths[5]
    return Averaged(layers, width, classes)


def mobilenet_v1(classes: int, channels: int, image_size: int) -> Averaged:
    """13 depthwise-separable convolutions, of 64 to 1024 channels."""
    width, layers = 32, list[nn.Module]([conv_norm(channels, 32, 3)])
    for outputs, stride in SEPARABLE:
        layers += [conv_norm(width, width, 3, stride, groups=width), conv_norm(width, outputs)]
        width = outputs
    return Averaged(layers, width, classes)


def mobilenet_v2_cifar(
    classes: int, channels: int, image_size: int, *, projected: Projected = "widened"
) -> Averaged:
    """17 inverted residuals, of 16 to 320 channels.

    Options:
        projected: which blocks of stride 1 have a 1x1 convolution and BN as their shortcut: those
            whose width grows (widened), or all, with a ReLU behind it (RGD).
    """
    width, layers = 32, list[nn.Module]([conv_norm(channels, 32, 3)])
    for expansion, outputs, blocks, first in INVERTED:
        for stride in (first, *(1,) * (blocks - 1)):
            layers.append(InvertedResidual(width, outputs, expansion, stride, projected == "all"))
            width = outputs
    return Averaged([*layers, conv_norm(width, 1280)], 1280, classes)


BLOCKS = 3


class Dense(nn.Module):
    """BN-ReLU-conv, put behind its input: [n, inputs, h, w] -> [n, inputs + growth, h, w]."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(F.relu(self.norm(x)))], 1)


class Transition(nn.Module):
    """BN-ReLU-conv 1x1 and pooling: [n, c, h, w] -> [n, c, h/2, w/2]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(nn.Module):
    """[n, channels, h, w] -> logits [n, classes]."""

    def __init__(self, depth: int, growth: int, stem: int, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, stem, 3, padding=1, bias=False)
        width = stem
        layers: list[nn.Module] = []
        for block in range(BLOCKS):
            if block:
                layers.append(Transition(width))
            for _ in range((depth - BLOCKS - 1) // BLOCKS):
                layers.append(Dense(width, growth))
                width += growth
        self.features = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw what the layers have not drawn well themselves."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.features(self.stem(x))))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def densenet40(
    classes: int, channels: int, image_size: int, *, growth: int = 12, stem: int = 16
) -> DenseNet:
    """The paper's smallest: every layer adds `growth` channels to the `stem` (RGD's has 24)."""
    return DenseNet(40, growth, stem, classes, channels)


def cifar_resnet(depth: int, classes: int, channels: int, image_size: int) -> nn.Module:
    """Images [n, channels, h, w] -> logits [n, classes]; torchvision's names of parameters.

    He et al. 2016, arXiv 1512.03385, table 1, with a 3x3 convolution without stride and no pooling
    in place of the 7x7 stem: PruningBench's and OTOv2's ResNet-18 and ResNet-50 on CIFAR.
    """
    model = torchvision.models.get_model(f"resnet{depth}", weights=None, num_classes=classes)
    model.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    return model
