"""Each sample's own gradient, from a layer's input and the gradient of its output."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import NotApplicable
from ..lazy import Tensor, functional, nn, torch

CHUNK = 8  # samples taken at a time, so that copies of them stay in the processor's cache

Fold = Callable[[str, Tensor], None]


def fold_gradients(module: nn.Module, given: Tensor, gradient: Tensor, fold: Fold) -> None:
    """Form each sample's gradient of a layer's parameters and hand it on, some samples at a time.

    Args:
        module: convolution, linear, batch norm in eval mode, or layer norm.
        given: the layer's input `[samples, ...]`.
        gradient: of the loss with respect to its output, same leading dimension.
        fold: takes ("weight" or "bias", `[some samples, *shape of the parameter]`), in order.

    Raises:
        NotApplicable: no formula for this layer.
    """
    match module:
        case nn.Conv2d() if module.padding_mode == "zeros" and not isinstance(module.padding, str):
            _fold_conv(module, given, gradient, fold)
            bias = gradient.flatten(2).sum(2)
        case nn.Linear():
            flat = gradient.flatten(1, -2) if gradient.dim() > 2 else gradient[:, None]
            inputs = given.flatten(1, -2) if given.dim() > 2 else given[:, None]
            fold("weight", flat.transpose(1, 2) @ inputs)
            bias = flat.sum(1)
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d() if module.track_running_stats:
            plain = functional.batch_norm(
                given, module.running_mean, module.running_var, training=False, eps=module.eps
            )
            fold("weight", (plain * gradient).reshape(*given.shape[:2], -1).sum(2))
            bias = gradient.reshape(*given.shape[:2], -1).sum(2)
        case nn.LayerNorm():
            plain = functional.layer_norm(given, module.normalized_shape, eps=module.eps)
            shape = (len(given), -1, *module.normalized_shape)
            fold("weight", (plain * gradient).reshape(shape).sum(1))
            bias = gradient.reshape(shape).sum(1)
        case _:
            raise NotApplicable(f"per-sample gradients of {module} are not known")
    if getattr(module, "bias", None) is not None:
        fold("bias", bias)


def unfold(module: nn.Conv2d, given: Tensor) -> Tensor:
    """`[samples, in, kh, kw, height, width]`: what each output position sees, without a copy.

    `module`: zero-padded, the padding given in numbers. `given`: its input.
    """
    assert not isinstance(module.padding, str)
    pad_h, pad_w = module.padding
    windows = functional.pad(given, (pad_w, pad_w, pad_h, pad_h))
    sides = zip(module.kernel_size, module.dilation, module.stride, strict=True)
    for at, (size, dilation, stride) in enumerate(sides):
        windows = windows.unfold(2 + at, dilation * (size - 1) + 1, stride)[..., ::dilation]
    return windows.permute(0, 1, 4, 5, 2, 3)


def _fold_conv(module: nn.Conv2d, given: Tensor, gradient: Tensor, fold: Fold) -> None:
    """Patches times output gradients, per block of a grouped convolution."""
    patches = unfold(module, given)
    outputs = gradient.flatten(2).unflatten(1, (module.groups, -1))  # [n, g, out/g, positions]
    room = patches.new_empty(CHUNK, *patches.shape[1:])  # reused: fresh memory costs more than math
    for start in range(0, len(patches), CHUNK):
        some = patches[start : start + CHUNK]
        columns = (
            room[: len(some)].copy_(some).reshape(len(some), module.groups, -1, outputs.shape[3])
        )
        found = outputs[start : start + CHUNK] @ columns.transpose(2, 3)
        fold("weight", found.reshape(len(some), *module.weight.shape))


def of_samples(values: Tensor, name: str, samples: int) -> Tensor:
    """What a layer works on, checked to hold one entry a sample, which windows would not.

    Raises:
        NotApplicable: its first dimension is another.
    """
    if len(values) != samples:
        raise NotApplicable(
            f"the first dimension of what layer {name} works on is {len(values)}, not the "
            f"{samples} samples of the batch"
        )
    return values


def sample_dots(values: Tensor, gradients: Tensor, last: bool) -> Tensor:
    """`[samples, channels]`: products of a layer's values and gradients, summed over positions.

    `last`: channels are the last dimension (linear, layer norm), not the second (conv).
    """
    if values.dim() == 2:
        return values * gradients
    at = 1 if last else 2  # positions, all as one dimension
    values, gradients = (one.flatten(at, -2 if last else -1) for one in (values, gradients))
    pairs = zip(values.split(CHUNK), gradients.split(CHUNK), strict=True)
    return torch.cat([torch.linalg.vecdot(some, theirs, dim=at) for some, theirs in pairs])
