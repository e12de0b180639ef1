"""Each sample's own gradient, from a layer's input and the gradient of its output."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import NotApplicable, fault
from ..lazy import Tensor, functional, nn, torch

CHUNK = 8  # samples taken at a time, so that copies of them stay in the processor's cache


def sample_gradients(
    module: nn.Module, given: Tensor, gradient: Tensor
) -> Iterator[dict[str, Tensor]]:
    """Each sample's gradients of a layer's parameters, `[some samples, ...]`, some at a time.

    `module`: any layer that works on each sample alone. `given`: its input `[samples, ...]`.
    `gradient`: of the loss with respect to its output, same leading dimension.

    Raises NotApplicable: a batch norm without running statistics, which mixes samples.
    """
    if getattr(module, "track_running_stats", True) is False:
        raise NotApplicable(f"per-sample gradients of {module} are not known")
    parameters = {name: one.detach() for name, one in module.named_parameters(recurse=False)}

    def pulled(sample: Tensor, slope: Tensor) -> dict[str, Tensor]:
        def made(those: dict[str, Tensor]) -> Tensor:
            return torch.func.functional_call(module, those, sample[None])

        return torch.func.vjp(made, parameters)[1](slope[None])[0]

    for some, slopes in zip(given.split(2 * CHUNK), gradient.split(2 * CHUNK), strict=True):
        yield torch.func.vmap(pulled)(some, slopes)


def patches(layer: nn.Module, given: Tensor) -> Tensor:
    """`[samples, in, kh, kw, height, width]`: what each output position sees, without a copy.

    Of a linear layer, kernels have one entry, and tokens stand one above the other.

    Raises NotApplicable: neither linear nor a 2d convolution, padded by so many zeros.
    """
    if isinstance(layer, nn.Linear):
        return given.reshape(len(given), -1, given.shape[-1]).mT[:, :, None, None, :, None]
    match layer:
        case nn.Conv2d(padding_mode="zeros", padding=(int(pad_h), int(pad_w))):
            windows = functional.pad(given, (pad_w, pad_w, pad_h, pad_h))
        case _:
            raise NotApplicable(f"what the outputs of {layer} see is not known")
    sides = zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
    for at, (size, dilation, stride) in enumerate(sides):
        windows = windows.unfold(2 + at, dilation * (size - 1) + 1, stride)[..., ::dilation]
    return windows.permute(0, 1, 4, 5, 2, 3)


def of_samples(values: Tensor, name: str, samples: int) -> Tensor:
    """What a layer works on, checked to hold one entry a sample, which windows would not. Raises
    NotApplicable: its first dimension is another."""
    if len(values) != samples:
        known = {"found": len(values), "samples": samples}
        raise NotApplicable(fault("no_samples", name=name, **known))
    return values


def full(values: Tensor) -> Tensor:
    """What a pass in half precision has made, in the precision that criteria work in."""
    return values.float() if values.dtype == torch.bfloat16 else values


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
