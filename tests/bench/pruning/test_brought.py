"""Networks, inputs and arguments that people bring: pruned rightly, or refused with the reason.

Whatever happens, the caller's network stays as it was, and a budget of MACs is met or refused.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as masks

from bench import prune
from bench.data.vision import torchvision
from bench.errors import BenchError
from bench.pruning.prune import Pruned
from bench.pruning.selection import InfeasibleBudget, Limits
from criteria import CriteriaError, StructureError, score
from criteria.network import groups

X, Y = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(4)
SPREAD = 0.1  # of the budget: single channels of such small networks are coarse


def convs(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def state(model: nn.Module) -> dict[str, Any]:
    """All that a caller may look at: tensors, their gradients and flags, modes, hooks, the state
    of the random numbers."""
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]
    return {
        "random numbers": torch.get_rng_state(),
        **{name: (one.detach().clone(), one.requires_grad, one.device) for name, one in tensors},
        **{f"{name} grad": (one.grad,) for name, one in model.named_parameters()},
        **{f"{name} mode": one.training for name, one in model.named_modules()},
        **{f"{name} hooks": len(one._forward_pre_hooks) for name, one in model.named_modules()},
    }


def same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    def equal(one: Any, other: Any) -> bool:
        if isinstance(one, tuple):
            return all(map(equal, one, other))
        if isinstance(one, Tensor):
            return torch.equal(one.nan_to_num(), other.nan_to_num())
        return bool(one == other)

    return before.keys() == after.keys() and all(equal(before[key], after[key]) for key in before)


def pruned(
    model: nn.Module,
    inputs: Any = X[:1],
    criterion: str = "l1",
    budget: Mapping[str, Any] | None = None,
    batches: Any = ((X, Y),),
    **more: Any,
) -> Pruned:
    """Prune to half of the MACs; the caller's network is as it was, and the budget is met."""
    before, budget = state(model), budget or {"macs": 0.5}
    try:
        found = prune(model, inputs, criterion, budget, batches, tolerance=SPREAD, **more)
    finally:
        assert same(before, state(model))
    if "macs" in budget:
        assert budget["macs"] - SPREAD <= found.macs / found.dense_macs <= budget["macs"]
    return found


class Wraps(nn.Module):
    """A plain network behind a forward of one's own."""

    def __init__(self, forward: Callable[..., Any], *bodies: nn.Module) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(bodies or [convs(3, 16, 16)])
        self.own = forward
        self.mean = torch.zeros(1, 3, 1, 1)  # neither parameter nor buffer
        self.last: Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.own(self, *args, **kwargs)


def masked(name: str) -> nn.Module:
    model = convs(3, 16, 16)
    how: dict[str, Callable[[nn.Module], Any]] = {
        "masks": lambda layer: masks.l1_unstructured(layer, "weight", 0.5),
        "weight norm": parametrizations.weight_norm,
        "spectral norm": parametrizations.spectral_norm,
        "orthogonal": parametrizations.orthogonal,
    }
    how[name](model[0])
    return model


# --- what works -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["masks", "weight norm", "spectral norm", "orthogonal"])
def test_of_masked_and_parametrized_weights_those_that_act_are_scored_and_cut(name: str) -> None:
    model = masked(name).eval()
    plain = convs(3, 16, 16)
    with torch.no_grad():
        for one, other in zip(plain, model, strict=True):
            if hasattr(one, "weight"):
                one.weight.copy_(other.weight)
                one.bias.copy_(other.bias)
    ours = [one.values for one in score(model, X[:1], "l1")]
    assert all(map(torch.equal, ours, [one.values for one in score(plain, X[:1], "l1")]))
    assert pruned(model).kept == pruned(plain).kept
    found = pruned(model, budget={"weights": 0.5})
    assert all(not one.parametrizations for one in found.model if hasattr(one, "parametrizations"))


def test_a_module_under_two_names_is_one() -> None:
    bound = Wraps(lambda self, x: self.bodies[0](x))
    bound.first = bound.bodies[0][0]  # type: ignore[index]
    found = pruned(bound)
    assert found.model.first is found.model.bodies[0][0]  # type: ignore[index]


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda one: torch.compile(one, backend="eager")])
def test_wrappers_come_off(wrap: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    model = convs(3, 16, 16)
    assert (
        prune(wrap(model), X[:1], "l1", {"macs": 0.5}, tolerance=SPREAD).kept == pruned(model).kept
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_scored_in_full_and_comes_back_as_it_was(dtype: torch.dtype) -> None:
    model = convs(3, 64, 16).to(dtype)
    found = pruned(model, X[:1].to(dtype), "taylor", batches=[(X.to(dtype), Y)])
    assert {one.dtype for one in found.model.parameters()} == {dtype}
    assert found.model(X.to(dtype)).dtype == dtype
    for mine in score(model, X[:1], "l2"):
        weights = model.get_submodule(mine.root).weight.float().flatten(1)  # type: ignore[union-attr]
        exact = score(copy.deepcopy(model).float(), X[:1], "l2")
        (theirs,) = (one for one in exact if one.root == mine.root)
        assert torch.equal(mine.values, theirs.values)
        assert len(mine.values.unique()) == len(weights)  # no ties of coarse numbers


FORWARDS: dict[str, Callable[..., Any]] = {
    "a tensor on the fly": lambda self, x: self.bodies[0](x + torch.ones(1, 3, 1, 1)),
    "a tensor that is no buffer": lambda self, x: self.bodies[0](x - self.mean),
    "a branch on a value": lambda self, x: self.bodies[0](x / 255 if x.mean() > 100 else x),
    "a cast inside": lambda self, x: self.bodies[0][2:](self.bodies[0][:2](x).to(torch.float32)),
    "several outputs": lambda self, x: (self.bodies[0](x), x),
    "an output that is None": lambda self, x: (self.bodies[0](x), None),
    "a mask and nothing among the outputs": lambda self, x: (self.bodies[0](x), x > 0, x[:0]),
    "a dictionary of outputs": lambda self, x: {"logits": self.bodies[0](x)},
}


@pytest.mark.parametrize("name", FORWARDS)
def test_forwards_of_ones_own(name: str) -> None:
    pruned(Wraps(FORWARDS[name]))


def test_one_dictionary_as_input() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = convs(3, 16, 16)

        def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
            return self.body(batch["images"])

    pruned(Reads(), {"images": X[:1]}, "taylor", batches=[({"images": X}, Y)])


def test_a_forward_that_keeps_its_outputs() -> None:
    def keeping(self: Wraps, x: Tensor) -> Tensor:
        last = self.bodies[0](x)
        self.last, self.cache = last, {x.device: last}
        return last

    model = Wraps(keeping)
    model(X)  # with a history, which torch does not copy
    pruned(model, criterion="taylor")


def test_several_inputs_by_place_and_by_name() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = convs(3, 16, 16), convs(3, 16, 16)

        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return self.first(one) + self.second(other)

    model = Sum()
    by_place = pruned(model, (X[:1], X[:1]), "taylor", batches=[((X, X + 1), Y)])
    named = {"one": X[:1], "other": X[:1]}
    by_name = pruned(model, named, "taylor", batches=[({"one": X, "other": X + 1}, Y)])
    assert by_name.kept == by_place.kept
    assert by_place.model(X, X).shape == (4, 10)  # called as the caller's


@pytest.mark.parametrize("criterion", ["l1", "taylor", "oba", "jacobian"])
def test_under_inference_mode(criterion: str) -> None:
    torch.manual_seed(0)
    expected = pruned(convs(3, 16, 16), criterion=criterion).kept
    with torch.inference_mode():
        torch.manual_seed(0)
        found = pruned(convs(3, 16, 16), criterion=criterion)
    assert found.kept == expected
    found.model(X).sum().backward()  # it can be trained


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance norm with statistics": lambda n: nn.InstanceNorm2d(n, track_running_stats=True),
    "instance norm with all": lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True),
    "instance norm": nn.InstanceNorm2d,
    "batch norm without factors": lambda n: nn.BatchNorm2d(n, affine=False),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_of_every_kind_are_cut(name: str) -> None:
    model = convs(3, 16, 16)
    model[1] = nn.Sequential(NORMS[name](16), nn.ReLU())
    pruned(model)


def test_a_layer_norm_without_factors_is_cut() -> None:
    model = nn.Sequential(
        nn.Linear(12, 32), nn.LayerNorm(32, elementwise_affine=False), nn.GELU(), nn.Linear(32, 10)
    )
    pruned(model, torch.randn(1, 12), batches=())


def test_a_shared_weight_is_masked_once() -> None:
    one, other = nn.Linear(16, 16), nn.Linear(16, 16)
    other.weight = one.weight
    model = nn.Sequential(one, nn.ReLU(), other, nn.ReLU(), nn.Linear(16, 10))
    found = pruned(model, torch.randn(1, 16), budget={"weights": 0.5}, batches=())
    assert found.masks.keys() == {"0", "4"}
    assert found.model[0].weight is found.model[2].weight  # type: ignore[union-attr,index]
    left = int(found.model[0].weight.count_nonzero())  # type: ignore[union-attr,index,operator]
    assert found.dense_macs - found.macs == 2 * (256 - left) + 160 - int(found.masks["4"].sum())


def test_ignored_may_be_anything_that_gives_layers() -> None:
    model = convs(3, 16, 16, 16)
    for ignored in ((one for one in [model[0]]), model[0]):
        found = pruned(model, ignored=ignored, budget={"macs": 0.7})
        assert found.model[0].out_channels == 16  # type: ignore[union-attr,index]


# --- what is refused, and how ---------------------------------------------------------------------


def gram(self: Wraps, x: Tensor) -> Tensor:
    maps = self.bodies[0](x).flatten(2)
    return self.bodies[1]((maps @ maps.transpose(1, 2)).flatten(1))


def nonlocal_(self: Wraps, x: Tensor) -> Tensor:
    maps = F.relu(self.bodies[0](x)).flatten(2)
    seen = maps @ (maps.transpose(1, 2) @ maps).softmax(-1)
    return self.bodies[1](seen.unflatten(2, (8, 8))).mean((2, 3))


def with_nan(model: nn.Sequential) -> nn.Sequential:
    with torch.no_grad():
        model[0].weight[0] = math.nan  # type: ignore[index,operator]
    return model


class Own(nn.Module):
    """A convolution that torch-pruning does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight)


def on_another_device() -> Any:
    with torch.device("meta"):
        return prune(convs(3, 16, 16), X[:1], "l1", {"macs": 0.5})


def locked() -> nn.Module:
    model = convs(3, 16, 16)
    model[1].lock = threading.Lock()  # type: ignore[assignment]
    return model


def refused(kind: type[Exception], said: str, act: Callable[[], Any]) -> None:
    with pytest.raises(kind, match=said):
        act()


REFUSED: dict[str, tuple[type[Exception], str, Callable[[], Any]]] = {
    "costs that follow widths in other ways": (
        InfeasibleBudget,
        r"0.9: [67]\d\.\d% of the MACs are left once it is cut, .* its own forward \(Wraps\)",
        lambda: pruned(
            Wraps(nonlocal_, nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 1)),
            budget={"macs": 0.9},
        ),
    ),
    "a layer of a copy": (
        StructureError,
        r"ignored: expected layers of this model itself, not Conv2d\(",
        lambda: pruned(model := convs(3, 16, 16), ignored=[copy.deepcopy(model)[0]]),
    ),
    "an activation": (
        StructureError,
        r"ignored: ReLU\(\) makes no channels of its own; give the layer before it",
        lambda: pruned(model := convs(3, 16, 16), ignored=[model[1]]),
    ),
    "weights that are not finite": (
        StructureError,
        r"0\.weight holds NaN or infinity",
        lambda: pruned(with_nan(convs(3, 16, 16))),
    ),
    "images that are not finite": (
        CriteriaError,
        "sample 2 of batch 1 holds NaN or infinity",
        lambda: pruned(
            convs(3, 16, 16), criterion="taylor",
            batches=[(X, Y), (X.index_fill(0, torch.tensor([2]), math.nan), Y)],
        ),
    ),
    "labels of no classes for criteria that draw them": (
        CriteriaError,
        "softmax over classes, of which a sample has one; here it has none, or several",
        lambda: score(
            convs(3, 16, 16), X[:1], "hessian_diag", [(X, torch.randn(4, 10))],
            loss=F.mse_loss, labels="sampled",
        ),
    ),
    "features in another order": (
        StructureError,
        "does not equal zeroing them, in the groups of bodies.0;",
        lambda: score(
            Wraps(
                lambda self, x: self.bodies[1](self.bodies[0](x).permute(0, 2, 3, 1).flatten(1)),
                nn.Conv2d(3, 16, 3, padding=1), nn.Linear(1024, 10),
            ),
            X[:1], "l1",
        ),
    ),
    "a wrong cut of small outputs": (
        StructureError,
        "does not equal zeroing them",
        lambda: pruned(
            Wraps(
                lambda self, x: 1e-6 * self.bodies[0](F.channel_shuffle(self.bodies[1](x), 4)),
                convs(16, 16), nn.Conv2d(3, 16, 3, padding=1),
            )
        ),
    ),
    "a width written into the forward": (
        StructureError,
        r"does not run without some channels \(RuntimeError: .*\), in the groups of bodies.0",
        lambda: pruned(
            Wraps(
                lambda self, x: self.bodies[1](self.bodies[0](x).reshape(-1, 16, 64).mean(2)),
                nn.Conv2d(3, 16, 3, padding=1), nn.Linear(16, 10),
            )
        ),
    ),
    "random numbers in eval mode": (
        StructureError,
        "gives other outputs each time, also in eval mode",
        lambda: pruned(Wraps(lambda self, x: self.bodies[0](F.dropout(x, 0.5, training=True)))),
    ),
    "a recurrent network": (
        StructureError,
        "bodies.0: recurrent",
        lambda: pruned(
            Wraps(
                lambda self, x: self.bodies[1](self.bodies[0](x.flatten(2))[0][:, -1]),
                nn.GRU(64, 16, batch_first=True), nn.Linear(16, 10),
            )
        ),
    ),
    "a budget below what ignored layers cost": (
        InfeasibleBudget,
        r"no limits help: one channel in each group leaves 57.1%.*Kept whole: 8 .*, 2 \(2 is",
        lambda: pruned(
            model := convs(3, 16, 16, 16), ignored=[model[0], model[2]], budget={"macs": 0.1}
        ),
    ),
    "a budget that whole multiples do not meet": (
        InfeasibleBudget,
        "its limits leave at least 100.0%; loosen selection.protect, min_channels, round_to,",
        lambda: pruned(convs(3, 16, 16), limits=Limits(round_to=16)),
    ),
    "ShuffleNet": (
        StructureError,
        r"cannot trace ShuffleNetV2 \(ZeroDivisionError: .*\), at _Reshape_\d+\(\), between "
        r"stage4\.\d\.branch\d\.\d and stage4\.\d\.branch\d\.\d; .* shuffled channels,",
        lambda: pruned(
            torchvision.models.shufflenet_v2_x0_5(num_classes=10), torch.randn(1, 3, 64, 64)
        ),
    ),
    "layers of one's own": (
        StructureError,
        r"can be pruned \(0: torch-pruning knows no Own;",
        lambda: pruned(
            nn.Sequential(Own(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        ),
    ),
    "what cannot be copied": (
        StructureError,
        r"lock of 1 \(ReLU\) cannot be copied: cannot pickle",
        lambda: pruned(locked()),
    ),
    "a default device": (
        StructureError, "default device is meta, where no indices can be kept", on_another_device,
    ),
    "inputs that are not finite": (
        StructureError,
        "the network's outputs on the example inputs hold NaN or infinity",
        lambda: pruned(convs(3, 16, 16), X[:1] * math.inf),
    ),
    "one output that is not finite": (
        StructureError,
        "the network's outputs on the example inputs hold NaN or infinity",
        lambda: pruned(Wraps(lambda self, x: (self.bodies[0](x), x * math.nan))),
    ),
    "outputs without tensors": (
        StructureError,
        "the network gives a float without tensors",
        lambda: pruned(Wraps(lambda self, x: float(self.bodies[0](x).sum()))),
    ),
    "no image": (
        StructureError, "hold no sample", lambda: pruned(convs(3, 16, 16), X[:0]),
    ),
    "batches that are no pairs": (
        CriteriaError,
        r"batch 0 is a Tensor, not \(inputs, targets\)",
        lambda: pruned(convs(3, 16, 16), criterion="taylor", batches=[X[:2]]),
    ),
    "a scripted network": (
        StructureError, "is scripted; give the module", lambda: score(scripted(), X[:1], "l1"),
    ),
    "a network without numbers": (
        StructureError,
        r"0\.weight is on the meta device, without numbers",
        lambda: score(convs(3, 16, 16).to("meta"), X[:1], "l1"),
    ),
    "a network without shapes": (
        StructureError,
        r"0\.weight has no shape yet; run the network once",
        lambda: score(nn.Sequential(nn.LazyConv2d(16, 3)), X[:1], "l1"),
    ),
    "inputs of another shape": (
        StructureError,
        "does not run on the example inputs: RuntimeError: .* to have 3 channels",
        lambda: pruned(convs(3, 16, 16), X[:1, :1]),
    ),
    "labels beyond the classes": (
        CriteriaError,
        "the loss does not take the network's outputs with these targets: IndexError",
        lambda: pruned(convs(3, 16, 16), criterion="taylor", batches=[(X, Y + 20)]),
    ),
    "a loss a sample": (
        CriteriaError,
        r"the loss has to be one number, the mean over the batch, not \[4\]",
        lambda: pruned(
            convs(3, 16, 16), criterion="taylor",
            loss=lambda outputs, targets: F.cross_entropy(outputs, targets, reduction="none"),
        ),
    ),
    "an unknown schedule": (
        BenchError, "'cubic' of 3 steps: it is one of linear",
        lambda: pruned(convs(3, 16, 16), steps=3, schedule="cubic"),
    ),
    "no steps": (
        BenchError, "'linear' of 0 steps", lambda: pruned(convs(3, 16, 16), steps=0),
    ),
    "a budget in words": (
        InfeasibleBudget, "budget macs = '0.5': expected a number",
        lambda: prune(convs(3, 16, 16), X[:1], "l1", {"macs": "0.5"}),  # type: ignore[dict-item]
    ),
}  # fmt: skip


def scripted() -> nn.Module:
    with pytest.warns(DeprecationWarning, match=r"torch\.jit\.script"):
        found: nn.Module = torch.jit.script(convs(3, 16, 16))
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_message_with_the_reason(name: str) -> None:
    refused(*REFUSED[name])


# Where it is first raised in a callback of the garbage collector, such as hypothesis has, it is
# lost with a word on standard error, and raised again.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_trace_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "LONGEST_TRACE", 0.3)
    model = Wraps(gram, nn.Conv2d(3, 16, 3, padding=1), nn.Linear(256, 10))
    with pytest.raises(StructureError, match=r"no end .* bodies.0 and bodies.1; products of"):
        pruned(model)
