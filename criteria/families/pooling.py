"""Maps as they are ahead of a pooling or a flattening."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..evidence.batch import Batch
from ..network.member import kind_of


def pooled_maps(batch: Batch) -> dict[str, Tensor]:
    """Maps of layers that read something pooled or flattened: `[samples, channels, h, w]`."""
    owners = {
        id(module.weight): name
        for name, module in batch.model.named_modules()
        if kind_of(module) in ("conv", "linear")
    }
    with torch.no_grad(), _Pooling(owners) as seen:
        batch.model(batch.images)
    return seen.found


class _Pooling(TorchFunctionMode):
    """Follows maps through the functions that shrink them to one number or one row a channel."""

    def __init__(self, owners: Mapping[int, str]) -> None:
        super().__init__()
        self.owners = owners
        self.found: dict[str, Tensor] = {}
        self._sources: dict[int, tuple[Tensor, Tensor]] = {}  # kept alive, so that ids stay unique

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        given = [one for one in args if isinstance(one, torch.Tensor)]
        if not given or not isinstance(made, torch.Tensor):
            return made
        _, source = self._sources.get(id(given[0]), (None, None))
        if source is None and _is_map(given[0]):
            source = given[0]
        if source is None:
            return made
        if len(given) == 1 and not _is_map(made) and made.dim() in (2, 4):
            self._sources[id(made)] = (made, source)
        owner = next((self.owners[id(one)] for one in given[1:] if id(one) in self.owners), None)
        if owner is not None and not _is_map(given[0]) and _shrunk(source, given[0]):
            self.found[owner] = source
        return made


def _shrunk(source: Tensor, read: Tensor) -> bool:
    """Whether what is read is the map's mean or maximum a channel, or the map itself in a row.

    Anything else (a map with its channels last, say) is judged by what the layer reads.
    """
    row = read.flatten(1)
    ways = (source.mean((2, 3)), source.amax((2, 3)), source.flatten(1))
    return any(way.shape == row.shape and torch.allclose(way, row, rtol=1e-4) for way in ways)


def _is_map(values: Tensor) -> bool:
    return values.dim() == 4 and values.shape[2:].numel() > 1
