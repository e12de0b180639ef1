"""Recoveries that keep the pruned network's shape: fresh weights, orthogonal ones, penalties."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from conftest import CLASSES, NETWORKS, build, conv, images, labelled, trace
from torch import Tensor, nn
from torch.nn import functional

from bench.models import build_model
from bench.pruning.network import Network
from criteria.errors import NotApplicable, OptionError
from criteria.phases import PHASES
from criteria.recoveries.orthp import orthogonalized
from criteria.recoveries.recovery import Recovery
from criteria.training import Training
from suites.problem import ModelSpec

SMALL: dict[str, dict[str, int]] = {
    "resnet20": {},
    "vgg_small": {"width": 4},
    "densenet40": {"growth": 3},
    "vit_small": {"depth": 1, "width": 8},
}


def recovery(name: str, seed: int = 0, **options: Any) -> Recovery:
    phase = PHASES["recovery"].find(name).type
    generator = torch.Generator().manual_seed(seed)
    return phase(PHASES["recovery"].options(name, options), generator)


def begun(rider: Recovery, network: nn.Module) -> nn.Module:
    """The network as its training begins."""
    rider.begin(network)
    return network


def recovered(name: str, dense: Network, seed: int = 0, **options: Any) -> nn.Module:
    """The network to train after a third of every group is cut."""
    groups = dense.structure.groups
    removed = [torch.arange(group.units // 3) for group in groups]
    rider = recovery(name, seed, **options)
    before = copy.deepcopy(dense.model.state_dict())
    network = begun(rider, rider.network(dense.cut(removed), dense.model, groups, removed))
    assert all(torch.equal(one, before[key]) for key, one in dense.model.state_dict().items())
    shapes = {key: one.shape for key, one in dense.cut(removed).named_parameters()}
    assert {key: one.shape for key, one in network.named_parameters()} == shapes
    assert rider.merged(network) is network
    return network


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {key: one.detach().clone() for key, one in model.named_parameters()}


def finetune(model: nn.Module, rider: Recovery, steps: int = 3) -> nn.Module:
    """A training as the harness does it."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    rider.begin(model)
    rider.attach(Training(model, optimizer, steps_per_epoch=steps, steps=steps))
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        x, y = labelled(8, seed=step)
        loss = functional.cross_entropy(model(x), y)
        term = rider.loss_term(step)
        (loss if term is None else loss + term).backward()
        optimizer.step()
    return model


# ---- from scratch


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_parameter_is_drawn_anew(name: str) -> None:
    dense = trace(build(name))
    before = recovered("orthp", dense)  # any network of this shape that is not fresh
    old, new = weights(before), weights(recovered("scratch", dense))
    for key, one in new.items():
        assert one.isfinite().all()
        assert (one != old[key]).any(), key


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_fresh_weights_follow_the_generator_alone(name: str) -> None:
    one, other = trace(build(name, seed=1)), trace(build(name, seed=2))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = weights(recovered("scratch", one, seed=5))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    again = weights(recovered("scratch", other, seed=5))
    different = weights(recovered("scratch", one, seed=6))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    drawn = [key for key, value in first.items() if value.unique().numel() > 2]
    assert drawn
    assert all(not torch.equal(first[key], different[key]) for key in drawn)


def test_statistics_are_fresh_too() -> None:
    network = recovered("scratch", trace(build("residual")))
    assert network.norm1.running_mean.eq(0).all()
    assert network.norm1.running_var.eq(1).all()


def test_two_networks_of_one_recovery_differ() -> None:
    rider = recovery("scratch")
    first, second = (weights(begun(rider, nn.Linear(3, 2))) for _ in range(2))
    assert not torch.equal(first["weight"], second["weight"])


def test_fresh_weights_are_those_of_the_smaller_fan() -> None:
    """torch draws from +-1 / sqrt(fan in), which after the cut is the smaller layer's."""
    model = nn.Sequential(nn.Linear(8, 400), nn.ReLU(), nn.Linear(400, 300)).double()
    dense = Network.trace(model, torch.randn(1, 8).double())
    removed = [torch.arange(300)]
    network = begun(recovery("scratch"), dense.cut(removed))
    assert network[2].weight.shape == (300, 100)
    assert network[2].weight.abs().max().item() == pytest.approx(0.1, rel=1e-2)  # of 30000 draws


def test_a_networks_own_initialisation_has_the_last_word() -> None:
    class Own(nn.Sequential):
        def reset_parameters(self) -> None:
            self[0].weight.data.fill_(0.25)

    network = begun(recovery("scratch"), Own(nn.Linear(3, 2)))
    assert network[0].weight.eq(0.25).all()


def test_a_parameter_that_nothing_draws_is_named() -> None:
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.fc = nn.Parameter(torch.ones(3)), nn.Linear(3, CLASSES)

    with pytest.raises(NotApplicable, match="nothing draws token of Token") as refused:
        begun(recovery("scratch"), Token())
    assert "fc" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_harness_networks_can_start_anew(name: str) -> None:
    spec = ModelSpec(name=name, options=SMALL[name])
    model = build_model(spec, classes=5, channels=3, image_size=8, seed=0).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7)
    network = recovered("scratch", Network.trace(model, images(1)))
    assert all((one != 7).all() for one in network.parameters())
    with torch.no_grad():
        assert network(images(2)).isfinite().all()


@pytest.mark.parametrize("name", ["resnet20", "vgg_small", "vit_small"])
def test_weights_drawn_anew_are_as_large_as_a_new_networks(name: str) -> None:
    """Layer by layer, uncut; of torch's own defaults, none of these networks keeps all."""
    model = build_model(ModelSpec(name=name), classes=5, channels=3, image_size=8, seed=0)
    old = weights(model)
    new = weights(begun(recovery("scratch"), model))
    for key, one in new.items():
        if one.dim() > 1 and one.numel() > 500:
            # both are draws of one distribution: a standard error of 1 / sqrt(2 n) < 3.2 %
            assert one.std().item() == pytest.approx(old[key].std().item(), rel=0.15), key


# ---- orthogonal weights


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_rows_or_columns_are_orthonormal_times_the_gain(name: str) -> None:
    network = recovered("orthp", trace(build(name)), gain=3.0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            for block in layer.weight.chunk(getattr(layer, "groups", 1)):
                flat = block.flatten(1)
                wide = flat if flat.shape[0] <= flat.shape[1] else flat.T
                # float64 rounding of a QR of at most 36 rows
                assert torch.allclose(wide @ wide.T, 9 * torch.eye(len(wide)).double(), atol=1e-12)


def test_the_gain_is_that_of_a_relu() -> None:
    layer = conv(3, 4).double()
    begun(recovery("orthp"), layer)
    norms = layer.weight.flatten(1).norm(dim=1)
    assert torch.allclose(norms, torch.full((4,), 2**0.5).double())


def test_only_weights_of_layers_change() -> None:
    dense = trace(build("residual"))
    removed = [torch.arange(0) for _ in dense.structure.groups]
    old = weights(dense.model)
    network = begun(recovery("orthp"), dense.cut(removed))
    same = {key for key, one in network.named_parameters() if torch.equal(one, old[key])}
    assert same == {key for key in old if "norm" in key or key.endswith("bias")}


@pytest.mark.parametrize("sign", [1, -1])
def test_orthogonalized_by_hand(sign: int) -> None:
    """Rows (3, 4) and (0, 5): the first keeps its direction, the second its side of it."""
    weight = torch.tensor([[3.0, 4.0, 0], [0.0, sign * 5.0, 0]])
    expected = torch.tensor([[0.6, 0.8, 0], [sign * -0.8, sign * 0.6, 0]])
    assert torch.allclose(orthogonalized(weight), expected, atol=1e-6)  # float32
    assert torch.allclose(orthogonalized(weight.T), expected.T, atol=1e-6)


def test_orthogonal_weights_stay_as_they_are() -> None:
    first = orthogonalized(torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).double())
    assert torch.allclose(orthogonalized(first), first, atol=1e-12)


def test_zero_filters_become_directions_too() -> None:
    new = orthogonalized(torch.zeros(3, 5))
    assert torch.allclose(new @ new.T, torch.eye(3), atol=1e-6)


# ---- penalties of the finetuning


@pytest.mark.parametrize("name", ["kern_orth", "orth_conv"])
def test_finetuning_rides_with_the_penalty(name: str) -> None:
    dense = trace(build("residual"))
    plain = finetune(recovered(name, dense), recovery(name, weight=0.0))
    held = finetune(recovered(name, dense), recovery(name, weight=0.5))
    again = finetune(recovered(name, dense), recovery(name, weight=0.5))

    def distance(model: nn.Module) -> Tensor:
        rider = recovery(name, weight=1.0)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        rider.attach(Training(model, optimizer, steps_per_epoch=1, steps=1))
        term = rider.loss_term(0)
        assert term is not None
        return term

    assert distance(held) < distance(plain)
    assert all(torch.equal(one, weights(again)[key]) for key, one in weights(held).items())


def test_options_are_checked() -> None:
    with pytest.raises(OptionError, match="gain"):
        PHASES["recovery"].options("orthp", {"gain": 0.0})
    with pytest.raises(OptionError, match="no options"):
        PHASES["recovery"].options("scratch", {"seed": 1})
