"""Whether a network is faster on images whose channels lie last in memory; asked once, and kept.

Only inputs are laid out so: convolutions pass the format on, and weights stay as they are.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor, nn

from criteria.network.cut import ROUNDED

from ..pruning.cost import count_macs
from ..store.sealed import cannot_write, read_json, write_json
from ..tasks.task import Task

LEAST = 10**7  # MACs of an image: below, little is to be won, and noise would decide
TRIED = 4 * 10**9  # MACs of the batch that is tried, or two images
TURNS = 5
FASTER = 0.93  # of the time, at most: what noise does not make
FORMATS = (torch.contiguous_format, torch.channels_last)


def channels_last(file: Path, make: Callable[[], nn.Module], images: Tensor, task: Task) -> bool:
    """The answer in a file, which whoever asks first finds by trying, while the others wait.

    `make` gives a network that nobody else needs; `images` are two of noise. Small networks, and
    those of other inputs than images, are not asked.

    Raises StoreError where the answer cannot be kept.
    """
    if images.dim() != 4:
        return False
    if (known := read_json(file)) is None:
        model = make()
        if count_macs(model, (images[:1],)) < LEAST:
            return False
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(file.with_suffix(".lock")):
                if (known := read_json(file)) is None:
                    known = {"seconds": _tried(model, images, task)}
                    write_json(file, known)
        except OSError as error:
            raise cannot_write(file, error) from error
    plain, last = known["seconds"]
    return last is not None and last < FASTER * plain


def _tried(model: nn.Module, images: Tensor, task: Task) -> tuple[float, float | None]:
    """Seconds forward, and forward and backward, in both formats, the fastest of some turns.

    None for channels-last where the network fails in it, or gives other outputs.
    """
    count = max(2, min(64, TRIED // count_macs(model, (images[:1],))))
    some = images[torch.arange(count, device=images.device) % 2]
    batches = [some.clone(memory_format=one) for one in FORMATS]
    on_cuda = [images.device] if images.device.type == "cuda" else []
    # The processor's own, as others may use it beside us; of a GPU, by the clock.
    clock = time.perf_counter if on_cuda else time.process_time

    def forward(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return task.outputs(model.eval()(batch))

    def turn(batch: Tensor) -> float:
        start = clock()
        forward(batch)
        task.outputs(model.train()(batch)).sum().backward()
        if on_cuda:
            torch.cuda.synchronize()
        return clock() - start

    with torch.random.fork_rng(devices=on_cuda):
        try:
            plain, last = map(forward, batches)
            alike = (plain - last).abs().max() <= ROUNDED * plain.abs().max()
            turns = [list(map(turn, batches)) for _ in range(TURNS)]
        except Exception:  # of a view, for instance, or whatever a user's layers raise
            return 1.0, None
    plain_s, last_s = map(min, zip(*turns, strict=True))
    return plain_s, last_s if alike else None
