"""ImageNet's ResNets (He et al. 2016, arXiv 1512.03385, table 1) with the stem for small images.

As usual on CIFAR: a 3x3 convolution without stride and no pooling in place of the 7x7 stem, widths
64 to 512 unchanged. PruningBench's and OTOv2's ResNet-18 and ResNet-50 on CIFAR.
"""

from __future__ import annotations

from torch import nn

from ..data.vision import torchvision


def cifar_resnet(depth: int, classes: int, channels: int, image_size: int) -> nn.Module:
    """Images [n, channels, h, w] -> logits [n, classes]; torchvision's names of parameters."""
    model = torchvision.models.get_model(f"resnet{depth}", weights=None, num_classes=classes)
    model.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    return model
