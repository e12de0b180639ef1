"""What can be pruned of a network, which criteria score it, and what halving its MACs takes."""

import time
from collections.abc import Callable, Iterator

import torch

from criteria import criteria
from criteria.evidence.meter import PeakMemory
from criteria.network.deadline import within
from suites.problem import ModelSpec
from suites.section import Chosen

from ..errors import BenchError
from ..models.registry import fresh
from ..pruning.cost import count_macs, count_params
from ..pruning.network import Network
from ..pruning.prune import prune
from ..pruning.sound import examine
from ..tasks.known import find_task
from .behaviour import Tasks, attempt
from .checks import not_finite, shape_fault

LONGEST = 60.0  # seconds that a criterion may take on a few samples
SAMPLES = 4


def built(spec: ModelSpec, classes: int, channels: int, size: int, task: str) -> Network:
    """A network as suites build it for a task, traced with a few samples of noise."""
    of = find_task(Chosen(name=task))
    shape = dict(zip(of.sizes, (classes, size, channels), strict=False))
    noise = of.noise(shape, SAMPLES)
    return Network.trace(fresh(spec, 0, noise, of, **shape).eval(), noise)


def facts(network: Network) -> Iterator[tuple[str, str]]:
    """What it is and costs, whether it is cut rightly, and what halving its MACs takes."""
    groups = network.structure.groups
    yield "prunable", f"{sum(one.units for one in groups)} units in {len(groups)} groups"
    yield "MACs", f"{count_macs(network.model, network.inputs):,}, as arithmetic and torch count"
    yield "parameters", f"{count_params(network.model):,}"
    apart = examine(network)
    spanned = sum(one.normalizes_over_channels for one in groups)
    only = f"; {spanned} groups, which layer or group norms span, run when cut" if spanned else ""
    yield "half of every group", f"cut as if masked: {apart:.0e} of the outputs apart{only}"
    begun = time.perf_counter()
    try:
        with PeakMemory(network.model) as peak:
            half = prune(network.model, network.inputs, "l1", {"macs": 0.5}, tolerance=0.05)
    except BenchError as error:
        yield "half of the MACs", str(error)
        return
    memory = f", {peak.bytes / 1e6:.0f} MB" if peak.bytes is not None else ""
    took = f"{time.perf_counter() - begun:.1f} s{memory}"
    yield "half of the MACs", f"{half.macs / half.dense_macs:.1%} kept, by l1, in {took}"


def unscored(network: Network, task: str, tell: Callable[[str], None]) -> dict[str, str]:
    """Criteria that cannot score its channels on a few samples of noise, and why."""
    of, groups = find_task(Chosen(name=task)), network.structure.groups
    with torch.no_grad():  # targets are what it finds least likely, so that there is a gradient
        targets = of.outputs(network.model(*network.inputs)).argmin(1)
    batches = [(network.inputs[0], targets)]
    why = {}
    for name in (one.name for one in criteria() if one.structured):
        tell(f"scoring by {name}")
        try:
            with within(LONGEST):
                asked: Tasks = {name: (name, groups)}
                scoring = attempt(network.model, asked, batches, loss=of.loss)[name]
        except Exception as error:
            why[name] = str(error) or f"takes more than {LONGEST:.0f} s for {SAMPLES} samples"
            continue
        if fault := scoring.error or shape_fault(scoring, groups) or not_finite(scoring, groups):
            why[name] = str(fault) or type(fault).__name__
    return why
