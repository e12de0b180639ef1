"""OBA, FastOBA and relatives against vectors by hand, plain autograd and their identities.

Written down as `theta * derivative` by parameter name throughout; what criteria make of these
products is tested from `test_a_channels_score_...` on.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import toy
from conftest import (
    CLASSES,
    SIDE,
    build,
    conv,
    groups_of,
    images,
    labelled,
    left_as_found,
    lively,
    marked,
)
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn import functional as F

from criteria import NotApplicable, OptionError, StructureError, score, weight_structure
from criteria.evidence.coupling import LAYERS, coupling_of
from criteria.evidence.curvature import (
    Function,
    GradientGraph,
    layer_parameters,
    plain_attention,
    residual_of,
)
from criteria.gather import score_alone
from criteria.network.modes import batch_statistics, eval_with_gradients
from criteria.registry import create

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # float64; sums in another order
NETWORKS = ["chain", "residual", "concat", "flat", "depthwise", "grouped", "transposed", "vit"]
VECTORS = json.loads((toy.VECTORS / "oba.json").read_text())

Products = dict[str, Tensor]


class Residual(nn.Module):
    """Two sums, with activations and sums in place as torchvision writes them."""

    def __init__(self, act: Callable[[Tensor], Tensor] = lambda x: F.relu(x, inplace=True)) -> None:
        super().__init__()
        self.stem, self.norm0 = conv(3, 6), nn.BatchNorm2d(6)
        self.a1, self.norm1 = conv(6, 4, bias=False), nn.BatchNorm2d(4)
        self.a2, self.norm2 = conv(4, 6), nn.BatchNorm2d(6)
        self.b1, self.norm3 = conv(6, 6), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, CLASSES)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm0(self.stem(x)))
        y = self.norm2(self.a2(self.act(self.norm1(self.a1(x)))))
        y += x
        y = self.act(y)
        z = self.norm3(self.b1(y))
        z += y
        return self.fc(self.act(z).mean((2, 3)))


def relu_chain(bias: bool, norms: bool = False, act: type[nn.Module] = nn.ReLU) -> nn.Module:
    """Three convolutions and a linear layer."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 4), (4, 5), (5, 4)):
        layers += [conv(inputs, outputs, bias=bias)]
        layers += [nn.BatchNorm2d(outputs)] if norms else []
        layers += [act()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES, bias)]
    return lively(nn.Sequential(*layers))


@contextmanager
def mode(model: nn.Module, norms: str) -> Iterator[None]:
    statistics = batch_statistics(model) if norms == "batch" else nullcontext()
    with eval_with_gradients(model), statistics:
        yield


def loss_of(targets: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda outputs: F.cross_entropy(outputs, targets)


def weights_of(model: nn.Module) -> Products:
    return {name: one.detach() for name, one in model.named_parameters()}


def times_weights(model: nn.Module, derivative: Any) -> Products:
    """Names that the derivative lacks are left out."""
    return {k: one * derivative[k] for k, one in weights_of(model).items() if k in derivative}


def taylor(model: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> Products:
    found = torch.autograd.grad(loss(model(x)), list(model.parameters()), materialize_grads=True)
    return times_weights(model, dict(zip(weights_of(model), found, strict=True)))


def close(found: Products, expected: Products, **tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, one in found.items():
        torch.testing.assert_close(one, expected[name], **(tolerance or EXACT), msg=name)


# --- vectors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_scalar_networks_by_hand(name: str) -> None:
    vector = VECTORS[name]
    layers: list[nn.Module] = []
    for weight, bias in vector["layers"]:
        layer = nn.Linear(1, 1).double()
        nn.init.constant_(layer.weight, weight)
        nn.init.constant_(layer.bias, bias)
        layers += [layer, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    x = torch.tensor([[float(vector["x"])]], dtype=torch.float64)

    def half_square(outputs: Tensor) -> Tensor:
        return outputs.square().mean() / 2

    with mode(model, "eval"):
        assert model(x).item() == vector["f"]
        hvp = hessian_times_weights(model, x, half_square)
        residual = hessian_times_weights(model, x, residual_of(half_square))
        series = coupling_of(model, x, half_square)
        found = {
            "taylor": taylor(model, x, half_square),
            "up": times_weights(model, series["up"]),
            "down": times_weights(model, series["down"]),
            "hvp": times_weights(model, hvp),
            "gauss_newton": times_weights(model, {k: hvp[k] - residual[k] for k in hvp}),
        }
    for what, products in found.items():
        expected = [entry for layer in vector[what] for entry in layer]
        assert [one.item() for one in products.values()] == pytest.approx(expected, abs=1e-14), what


# --- the Hessian times the weights ----------------------------------------------------------------


def hessian_times_weights(
    model: nn.Module, x: Tensor, function: Function, names: set[str] | None = None
) -> Products:
    vector = {k: one for k, one in weights_of(model).items() if names is None or k in names}
    return GradientGraph.of(model, x, function).hessian_product(vector)


def forward_over_reverse(
    model: nn.Module, x: Tensor, function: Function, names: set[str] | None = None
) -> Products:
    """The same by other means of torch's."""
    weights = weights_of(model)
    vector = {
        key: one if names is None or key in names else torch.zeros_like(one)
        for key, one in weights.items()
    }
    gradient = torch.func.grad(lambda those: function(functional_call(model, those, x)))
    with plain_attention():
        found: Products = torch.func.jvp(gradient, (weights,), (vector,))[1]
    return found


@pytest.mark.parametrize("direction", ["all", "layers"])
@pytest.mark.parametrize("name", [*NETWORKS, "in_place"])
def test_reverse_over_reverse_is_forward_over_reverse(name: str, direction: str) -> None:
    model = lively(Residual()) if name == "in_place" else build(name)
    x, y = labelled(4)
    names = layer_parameters(model) if direction == "layers" else None
    with mode(model, "eval"):
        found = hessian_times_weights(model, x, loss_of(y), names)
        close(found, forward_over_reverse(model, x, loss_of(y), names), rtol=1e-8, atol=1e-11)


def test_a_layer_used_twice_and_weights_used_by_hand_count_in_full() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.loop, self.fc = conv(3, 4), conv(4, 4), nn.Linear(4, CLASSES)
            self.scale = nn.Parameter(torch.ones(4, 1, 1))
            self.unused = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = F.silu(self.loop(F.silu(self.loop(F.silu(self.stem(x)))))) * self.scale
            return self.fc(x.mean((2, 3)))

    model = lively(Odd())
    x, y = labelled(4)
    with mode(model, "eval"):
        expected = forward_over_reverse(model, x, loss_of(y))
        close(hessian_times_weights(model, x, loss_of(y)), expected)


@pytest.mark.parametrize("name", ["chain", "residual", "vit"])
def test_scores_sum_to_the_second_derivative_along_the_ray(name: str) -> None:
    """d2/de2 L((1 + e) theta) at e = 0, by a central difference."""
    model = build(name)
    x, y = labelled(4)

    def at(e: float) -> float:
        scaled = {key: (1 + e) * one for key, one in weights_of(model).items()}
        return F.cross_entropy(functional_call(model, scaled, x), y).item()

    with mode(model, "eval"):
        products = times_weights(model, hessian_times_weights(model, x, loss_of(y)))
    step = 1e-4  # error: step^2 of truncation, 1e-16 / step^2 of rounding
    expected = (at(step) - 2 * at(0) + at(-step)) / step**2
    assert sum(one.sum().item() for one in products.values()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["chain", "residual", "vit"])
def test_hessian_is_residual_plus_gauss_newton(name: str) -> None:
    model = build(name)
    x, y = labelled(4)
    weights = weights_of(model)
    with mode(model, "eval"), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        hvp = hessian_times_weights(model, x, loss_of(y))
        residual = hessian_times_weights(model, x, residual_of(loss_of(y)))
        _, moved = torch.func.jvp(lambda p: functional_call(model, p, x), (weights,), (weights,))
        chances = model(x).softmax(1).detach()
        bent = (chances * moved - chances * (chances * moved).sum(1, keepdim=True)) / len(y)
        parameters = list(model.parameters())
        newton = torch.autograd.grad(model(x), parameters, bent, materialize_grads=True)
    for (key, one), expected in zip(hvp.items(), newton, strict=True):
        torch.testing.assert_close(one - residual[key], expected, rtol=1e-8, atol=1e-11)


# --- the series -----------------------------------------------------------------------------------


def literal_series(
    model: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]
) -> tuple[Products, Products]:
    """Up and down by their definition: one backward pass a layer, tangents of dual parameters."""
    layers = {name: one for name, one in model.named_modules() if type(one) in LAYERS}
    names = [key for key in weights_of(model) if key.rpartition(".")[0] in layers]
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        layer.register_forward_hook(
            lambda _, given, made, name=name: seen.__setitem__(name, (given[0], made))
        )
        for name, layer in layers.items()
    ]
    value = loss(model(x))
    for hook in hooks:
        hook.remove()
    found = torch.autograd.grad(value, [made for _, made in seen.values()], retain_graph=True)
    gradients = dict(zip(seen, found, strict=True))
    up = {key: torch.zeros_like(model.get_parameter(key)) for key in names}
    for name, (given, _) in seen.items():
        if given.requires_grad:
            frozen = bare(layers[name])
            frozen.requires_grad_(False)
            found = torch.autograd.grad(
                (gradients[name] * frozen(given)).sum(),
                [model.get_parameter(key) for key in names],
                retain_graph=True,
                materialize_grads=True,
            )
            for key, one in zip(names, found, strict=True):
                up[key] = up[key] + one

    tangents: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            tangent = forward_ad.unpack_dual(given[0]).tangent
            if tangent is not None:
                tangents[name] = tangent.detach().clone()

        return hook

    hooks = [layer.register_forward_pre_hook(keep(name)) for name, layer in layers.items()]
    weights = weights_of(model)
    with torch.no_grad(), forward_ad.dual_level():
        duals = {key: forward_ad.make_dual(weights[key], weights[key].clone()) for key in names}
        functional_call(model, {**weights, **duals}, x)
    for hook in hooks:
        hook.remove()
    down = {key: torch.zeros_like(one) for key, one in up.items()}
    for name, tangent in tangents.items():
        layer = bare(layers[name])
        dot = (gradients[name] * layer(tangent)).sum()
        (down[f"{name}.weight"],) = torch.autograd.grad(dot, layer.weight)
    return up, down


def bare(layer: nn.Module) -> Any:
    """A copy without its bias."""
    twin = copy.deepcopy(layer)
    twin.bias = None
    return twin


@pytest.mark.parametrize("norms", ["eval", "batch"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_series_is_its_definition(name: str, norms: str) -> None:
    model = build(name)
    x, y = labelled(4)
    math = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with mode(model, norms), math:
        series = coupling_of(model, x, loss_of(y))
        up, down = literal_series(model, x, loss_of(y))
    close({key: series["up"][key] for key in up}, up, rtol=1e-8, atol=1e-12)
    close({key: series["down"][key] for key in down}, down, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("direction", ["layers", "all"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: relu_chain(bias=True),
        lambda: relu_chain(bias=True, norms=True),
        lambda: lively(Residual()),
        lambda: lively(Residual(F.relu)),
    ],
    ids=["chain", "norms", "residual_in_place", "residual"],
)
def test_with_relu_and_running_statistics_the_series_is_the_residual(
    make: Callable[[], nn.Module], direction: str
) -> None:
    model = make()
    x, y = labelled(6)
    names = layer_parameters(model) if direction == "layers" else None
    with mode(model, "eval"):
        both = coupling_of(model, x, loss_of(y), norms=direction == "all")["both"]
        residual = hessian_times_weights(model, x, residual_of(loss_of(y)), names)
    close(both, {key: residual[key] for key in both})


def test_without_biases_the_series_is_taylor_times_the_other_layers() -> None:
    model = relu_chain(bias=False)
    x, y = labelled(6)
    with mode(model, "eval"):
        both = times_weights(model, coupling_of(model, x, loss_of(y))["both"])
        residual = hessian_times_weights(model, x, residual_of(loss_of(y)))
        expected = {key: 3 * one for key, one in taylor(model, x, loss_of(y)).items()}
    close(both, expected)
    close(times_weights(model, residual), expected)


@pytest.mark.parametrize("norms", ["eval", "batch"])
@pytest.mark.parametrize("act", [nn.ReLU, nn.SiLU, nn.GELU])
def test_in_a_chain_up_is_taylor_times_the_layers_behind(act: type[nn.Module], norms: str) -> None:
    model = relu_chain(bias=True, norms=True, act=act)
    x, y = labelled(6)
    with mode(model, norms):
        up = times_weights(model, coupling_of(model, x, loss_of(y))["up"])
        first = taylor(model, x, loss_of(y))
    behind = {"0": 3, "3": 2, "6": 1, "11": 0}
    close(
        up, {key: behind[key.partition(".")[0]] * first[key] for key in up}, rtol=1e-8, atol=1e-12
    )


def test_of_smooth_activations_the_series_leaves_out_the_curvature() -> None:
    """series + sum over activations f of <G f''(u) du, u> = residual; du the change of u."""
    model = relu_chain(bias=True, norms=True, act=nn.SiLU)
    x, y = labelled(6)
    acts = [one for one in model if isinstance(one, nn.SiLU)]
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    moves: list[Tensor] = []
    names = layer_parameters(model)
    with mode(model, "eval"):
        both = coupling_of(model, x, loss_of(y))["both"]
        residual = hessian_times_weights(model, x, residual_of(loss_of(y)), names)
        hooks = [one.register_forward_pre_hook(lambda _, u: inputs.append(u[0])) for one in acts]
        hooks += [one.register_forward_hook(lambda _, u, out: outputs.append(out)) for one in acts]
        value = loss_of(y)(model(x))
        for hook in hooks:
            hook.remove()
        weights = weights_of(model)
        hooks = [
            one.register_forward_pre_hook(
                lambda _, u: moves.append(forward_ad.unpack_dual(u[0]).tangent.clone())
            )
            for one in acts
        ]
        with torch.no_grad(), forward_ad.dual_level():
            duals = {key: forward_ad.make_dual(weights[key], weights[key].clone()) for key in names}
            functional_call(model, {**weights, **duals}, x)
        for hook in hooks:
            hook.remove()
        slopes = torch.autograd.grad(value, outputs, retain_graph=True)
        bent = torch.zeros((), dtype=torch.float64)
        for u, slope, move in zip(inputs, slopes, moves, strict=True):
            at = u.detach().requires_grad_()
            (once,) = torch.autograd.grad(F.silu(at).sum(), at, create_graph=True)
            (twice,) = torch.autograd.grad(once.sum(), at)
            bent = bent + (slope * twice * move * u).sum()
        parameters = [model.get_parameter(key) for key in both]
        missing = torch.autograd.grad(bent, parameters, materialize_grads=True)
    for (key, one), rest in zip(both.items(), missing, strict=True):
        torch.testing.assert_close(one + rest, residual[key], rtol=1e-8, atol=1e-12)
    assert not torch.allclose(both["0.weight"], residual["0.weight"], rtol=0.05)


def test_of_attention_the_series_leaves_out_what_runs_in_parallel() -> None:
    """The values meet the queries in a product only; the head behind sees nothing but series."""
    model = build("vit")
    x, y = labelled(4)
    with mode(model, "eval"):
        both = coupling_of(model, x, loss_of(y))["both"]
        residual = hessian_times_weights(model, x, residual_of(loss_of(y)), layer_parameters(model))
    head = "heads.head.weight"
    torch.testing.assert_close(both[head], residual[head], **EXACT)
    for key in both:
        if ".q.weight" in key or ".v.weight" in key:
            assert not torch.allclose(both[key], residual[key], rtol=1e-3)


def test_with_batch_statistics_filters_ahead_of_norms_have_no_sum() -> None:
    """Each is scale invariant: theta g and theta H theta vanish; eps breaks it by 1e-12 only."""
    model = relu_chain(bias=False, norms=True)
    for one in model:
        if isinstance(one, nn.BatchNorm2d):
            one.eps = 1e-12
    x, y = labelled(6)
    with mode(model, "batch"):
        first = taylor(model, x, loss_of(y))
        second = times_weights(model, hessian_times_weights(model, x, loss_of(y)))
        both = times_weights(model, coupling_of(model, x, loss_of(y))["both"])
    for key in ("0.weight", "3.weight", "6.weight"):
        for products in (first, second, both):
            sums = products[key].flatten(1).sum(1)
            assert sums.abs().max() < 1e-9 * products[key].abs().sum()
    # What BN's invariance makes of the series: Taylor times the layers behind.
    behind = {"0": 3, "3": 2, "6": 1, "11": 0}
    expected = {key: behind[key.partition(".")[0]] * first[key] for key in both}
    close(both, expected, rtol=1e-6, atol=1e-9)


def test_a_direction_that_has_no_layer_is_refused() -> None:
    model = build("vit")
    with pytest.raises(NotApplicable, match="class_token is of no convolution"):
        scores_of(model, "oba", direction="all")


# --- what criteria make of it ---------------------------------------------------------------------


BATCHES = [labelled(3, seed) for seed in range(2)]


def scores_of(model: nn.Module, criterion: str, **options: Any) -> dict[str, Tensor]:
    found = score(model, images(1), criterion, BATCHES, **options)
    return {one.root: one.values for one in found}


def mean_products(model: nn.Module, criterion: str, norms: str = "eval") -> Products:
    """theta times what the criterion says, the mean over the batches."""
    found: list[Products] = []
    for x, y in BATCHES:
        with mode(model, norms):
            match criterion:
                case "oba":
                    derivative = coupling_of(model, x, loss_of(y))["both"]
                case "hvp":
                    derivative = GradientGraph.of(model, x, loss_of(y)).hessian_product(
                        weights_of(model)
                    )
                case "taylor":
                    found.append(taylor(model, x, loss_of(y)))
                    continue
                case _:
                    raise AssertionError
            found.append(times_weights(model, derivative))
    return {key: sum(one[key] for one in found) / len(found) for key in found[0]}  # type: ignore[misc]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "signs", [{}, {"flatten": "block"}, {"multivariable": False}], ids=["feature", "block", "late"]
)
@pytest.mark.parametrize(
    ("criterion", "of", "options"),
    [
        ("oba", "oba", {}),
        ("hvp", "hvp", {}),
        ("hvp", "taylor", {"order": 1}),
        ("hvp", "hvp", {"norms": True}),
    ],
)
@pytest.mark.parametrize("name", ["residual", "flat", "depthwise", "grouped", "vit"])
def test_a_channels_score_is_the_mean_over_members_of_its_absolute_sums(
    name: str, criterion: str, of: str, options: dict[str, Any], signs: dict[str, Any], bias: bool
) -> None:
    """By masks: what `zero_` clears of an all-ones copy is the share of an entry of it."""
    model = build(name)
    products = mean_products(model, of)
    found = scores_of(model, criterion, bias=bias, **signs, **options)
    kinds = ("conv", "linear", *(("batchnorm", "layernorm") if options.get("norms") else ()))
    for group in groups_of(model):
        members = [one for one in group.members if one.kind in kinds]
        expected = torch.zeros(group.units, dtype=torch.float64)
        for unit in range(group.units):
            sums = []
            for member in members:
                mine = [key for key in products if bias or key.endswith("weight")]
                entries = []
                for at in (member.units == unit).nonzero():  # each alone
                    one = replace(member, indices=member.indices[at], units=torch.tensor([0]))
                    share = {key: torch.ones_like(w) for key, w in weights_of(model).items()}
                    one.zero_(share, torch.tensor([0]))
                    entries.append(sum(((1 - share[key]) * products[key]).sum() for key in mine))
                whole = torch.stack(entries)
                sums.append(whole.abs().sum() if not signs else whole.sum())
            stacked = torch.stack(sums)
            late = "multivariable" in signs
            expected[unit] = stacked.mean().abs() if late else stacked.abs().mean()
        torch.testing.assert_close(found[group.root], expected / expected.max(), **EXACT)


@pytest.mark.parametrize("criterion", ["oba", "hvp", "hvp_residual"])
def test_batch_statistics_change_scores_and_leave_the_model_as_found(criterion: str) -> None:
    model = marked(build("residual"))
    with left_as_found(model):
        one, other = (scores_of(model, criterion, bn_mode=how) for how in ("eval", "batch"))
    assert not torch.allclose(one["stem"], other["stem"], rtol=1e-3)


def test_parts_of_oba_are_up_and_down() -> None:
    model = build("chain")
    up, down, both = (
        scores_of(model, "oba", parts=part, multivariable=False, normalizer="none")
        for part in ("up", "down", "both")
    )
    for root, whole in both.items():
        sums, differences = up[root] + down[root], (up[root] - down[root]).abs()
        either = torch.minimum((whole - sums).abs(), (whole - differences).abs())
        torch.testing.assert_close(either, torch.zeros_like(whole), **EXACT)


@pytest.mark.parametrize(("criterion", "of"), [("oba", "oba"), ("hvp", "hvp")])
@pytest.mark.parametrize("patch", ["none", "magnitude"])
def test_single_weights_have_their_absolute_mean_over_the_largest(
    criterion: str, of: str, patch: str
) -> None:
    model = build("residual")
    groups = weight_structure(model).groups
    one = create(criterion, groups, {"patch": patch}, torch.Generator())
    values, _ = score_alone(model, one, BATCHES)
    products, weights = mean_products(model, of), weights_of(model)
    largest = max(weight.abs().max() for weight in weights.values()) if criterion == "hvp" else 1
    for group, found in zip(groups, values, strict=True):
        size = products[f"{group.root}.weight"].flatten().abs()
        expected = size / size.max()
        if patch == "magnitude":
            expected = expected + weights[f"{group.root}.weight"].flatten().abs() / largest
        torch.testing.assert_close(found, expected, **EXACT)


def test_options_that_mean_nothing_are_refused() -> None:
    model = build("chain")
    with pytest.raises(OptionError, match="'patch' = 'magnitude' would be ignored where channels"):
        scores_of(model, "oba", patch="magnitude")
    with pytest.raises(OptionError, match="order 1 has no direction"):
        scores_of(model, "hvp", order=1, direction="layers")
    with pytest.raises(OptionError, match="order"):
        scores_of(model, "hvp", order=3)


def test_a_layer_that_is_no_plain_one_is_not_scored_in_silence() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = (self.weight - self.weight.mean()) / self.weight.std()
            return F.conv2d(x, weight, self.bias, padding=1)

    model = lively(
        nn.Sequential(
            conv(3, 4), nn.SiLU(), Standardised(4, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(4, CLASSES),
        )
    )  # fmt: skip
    with pytest.raises(StructureError, match="does not equal zeroing them"):
        scores_of(model, "oba")


@pytest.mark.parametrize("criterion", ["oba", "hvp", "hvp_residual", "taylor_so", "grasp", "hap"])
def test_a_dead_channel_scores_zero(criterion: str) -> None:
    model = build("chain")
    with torch.no_grad():
        for one in (model[0].weight, model[0].bias, model[1].weight, model[1].bias):
            one[2] = 0
        model[3].weight[:, 2] = 0
    values = scores_of(model, criterion)["0"]
    assert torch.isfinite(values).all()
    assert values[2] == 0


# --- relatives ------------------------------------------------------------------------------------


def small(act: type[nn.Module] = nn.SiLU) -> tuple[nn.Module, Tensor, Tensor]:
    model = lively(
        nn.Sequential(conv(3, 3), act(), conv(3, 2), act(), nn.Flatten(), nn.Linear(2 * SIDE**2, 3))
    )
    x, y = BATCHES[0]
    return model, x, y % 3


def hessian(model: nn.Module, x: Tensor, y: Tensor, temperature: float = 1.0) -> tuple[Tensor, ...]:
    """Weights, gradient and whole Hessian, flat."""
    weights = weights_of(model)
    shapes = {key: one.shape for key, one in weights.items()}

    def value(flat: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes.values()])
        named = {k: p.reshape(s) for (k, s), p in zip(shapes.items(), parts, strict=True)}
        return F.cross_entropy(functional_call(model, named, x) / temperature, y)

    flat = torch.cat([one.flatten() for one in weights.values()])
    return flat, torch.func.grad(value)(flat), torch.func.hessian(value)(flat)


def by_name(model: nn.Module, flat: Tensor) -> Products:
    weights = weights_of(model)
    parts = flat.split([one.numel() for one in weights.values()])
    return {k: p.reshape(w.shape) for (k, w), p in zip(weights.items(), parts, strict=True)}


def sums(model: nn.Module, values: Products) -> dict[str, list[Tensor]]:
    """Of each member of the two groups, by channel."""
    first, second = values["0.weight"], values["2.weight"]
    last = values["5.weight"].unflatten(1, (2, -1))
    return {
        "0": [first.sum((1, 2, 3)), second.sum((0, 2, 3))],
        "2": [second.sum((1, 2, 3)), last.sum((0, 2))],
    }


def found_by(
    model: nn.Module, x: Tensor, y: Tensor, criterion: str, **options: Any
) -> dict[str, Tensor]:
    found = score(model, images(1), criterion, [(x, y)], **options)
    return {one.root: one.values for one in found}


@pytest.mark.parametrize("how", ["fisher", "product"])
def test_taylor_so_is_its_formula(how: str) -> None:
    model, x, y = small()
    w, g, h = hessian(model, x, y)
    if how == "fisher":
        singles = [hessian(model, x[n : n + 1], y[n : n + 1])[1] for n in range(len(y))]
        bend = w.square() * torch.stack(singles).square().mean(0)
    else:
        bend = w * (h @ w)
    expected = sums(model, by_name(model, g * w - bend / 2))
    found = found_by(model, x, y, "taylor_so", hessian=how)
    for root, members in expected.items():
        torch.testing.assert_close(found[root], sum(one.square() for one in members), **EXACT)


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_is_its_formula(temperature: float) -> None:
    """Removing what scores lowest raises the gradient's norm most, to first order."""
    model, x, y = small()
    w, g, h = hessian(model, x, y, temperature)
    expected = sums(model, by_name(model, w * (h @ g)))
    found = found_by(model, x, y, "grasp", temperature=temperature)
    for root, members in expected.items():
        torch.testing.assert_close(found[root], sum(members), rtol=1e-8, atol=1e-18)
    if temperature == 1:
        shrunk = copy.deepcopy(model)  # the derivative of |g|^2 / 2 as a channel leaves
        unit, step = int(found["0"].argmin()), 1e-6
        with torch.no_grad():
            shrunk[0].weight[unit] *= 1 - step
            shrunk[2].weight[:, unit] *= 1 - step
        change = (hessian(shrunk, x, y)[1].square().sum() - g.square().sum()) / 2 / step
        assert change.item() == pytest.approx(-found["0"][unit].item(), rel=1e-3)


@pytest.mark.parametrize("activation", [nn.SiLU, nn.ReLU])
def test_hap_averages_to_the_trace(activation: type[nn.Module]) -> None:
    """With as many parts as classes only the curvature of activations is drawn; ReLU has none."""
    model, x, y = small(activation)
    w, _, h = hessian(model, x, y)
    named, diagonal = by_name(model, w), by_name(model, h.diagonal())
    found = found_by(model, x, y, "hap", probes=400, parts=CLASSES)
    for root in ("0", "2"):
        filters, traces = named[f"{root}.weight"].flatten(1), diagonal[f"{root}.weight"].flatten(1)
        expected = traces.sum(1) * filters.square().mean(1) / 2
        if activation is nn.ReLU:
            torch.testing.assert_close(found[root], expected, rtol=1e-9, atol=1e-15)
            continue
        # Of v'Hv over a block, the variance is at most 2 |H|^2 of the rows concerned; the layer's
        # own rows and columns alone.
        own = slice(0, 81) if root == "0" else slice(84, 84 + 54)
        rows = h[own, own].reshape(len(filters), -1)
        spread = (2 * rows.square().sum(1) / 400).sqrt() * filters.square().mean(1) / 2
        assert ((found[root] - expected).abs() < 4 * spread).all()
        assert (spread < expected.abs().max()).all()  # or the line above says nothing


def test_hap_replays_its_generator_and_does_not_depend_on_how_images_are_batched() -> None:
    for activation in (nn.SiLU, nn.ReLU):
        model, x, y = small(activation)
        one, other = (found_by(model, x, y, "hap") for _ in range(2))
        assert all(torch.equal(one[root], other[root]) for root in one)
    whole = found_by(model, x, y, "hap", parts=CLASSES)
    batches = [(x[:1], y[:1]), (x[1:], y[1:])]
    for each in score(model, images(1), "hap", batches, parts=CLASSES):
        torch.testing.assert_close(each.values, whole[each.root], rtol=1e-9, atol=1e-15)


def test_hap_refuses_a_loss_whose_curvature_is_another() -> None:
    model, x, y = small()

    def squares(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, F.one_hot(targets, 3).to(outputs))

    with pytest.raises(NotApplicable, match="hap: the loss is no cross-entropy"):
        score(model, images(1), "hap", [(x, y)], loss=squares)
    smooth = partial(F.cross_entropy, label_smoothing=0.1)  # has the same curvature
    (one, *_) = score(model, images(1), "hap", [(x, y)], loss=smooth)
    assert one.values.abs().sum() > 0
