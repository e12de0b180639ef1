"""The one door to torchvision.

Beside a CPU-only torch, torchvision's CUDA build cannot load its compiled operators, and its import
then fails with "operator torchvision::nms does not exist". Nothing here needs those operators, so
their schemas are declared, and the import is tried again.
"""

import torch

try:
    import torchvision
except RuntimeError:
    _DECLARED = torch.library.Library("torchvision", "DEF")  # they last as long as it does
    _DECLARED.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DECLARED.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

__all__ = ["torchvision"]
