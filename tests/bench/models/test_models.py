"""Models: the papers' sizes, seeded weights, checkpoints, and cuts that equal zeroing."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_pruning as tp
import toy
from real_models import build, lively
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.conformance.network import built as found_by_check
from bench.errors import ModelError
from bench.models import list_models
from bench.models.checkpoint import read_state
from bench.models.resnet import ChannelPad
from bench.models.vit import SelfAttention, converted
from bench.pruning.sound import examine
from suites.problem import ModelSpec

DATA = toy.CHECKOUT.parent / "shared" / "data"
CHECKPOINT = DATA / "resnet20-12fca82f.th"


def classifier_layers(model: nn.Module) -> list[nn.Module]:
    """The layer that makes the logits: the last one registered, in all models here."""
    return [one for one in model.modules() if isinstance(one, nn.Linear | nn.Conv2d)][-1:]


# --- sizes and seeds --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "params", "mmacs"),
    [
        # He et al. 2016, table 6: 0.27, 0.46, 0.66, 0.85 and 1.7 M parameters.
        ("resnet20", 32, 0.27, 40.6),
        ("resnet32", 32, 0.46, 68.9),
        ("resnet44", 32, 0.66, 97.2),
        ("resnet56", 32, 0.85, 125.5),
        ("resnet110", 32, 1.7, 252.9),
        ("vgg16_bn", 32, 14.7, 313.2),
        ("vgg19_bn", 32, 20.0, 398.1),
        # Huang et al. 2017, table 2: 1.0 M.
        ("densenet40", 32, 1.0, 264.8),
        # As the widespread CIFAR forms are told: 6.17 M and 1.53 G, 3.2 M, 2.3 M and 94 M, the MACs
        # with those of batch norm.
        ("googlenet_cifar", 32, 6.17, 1521.8),
        ("mobilenet_v1", 32, 3.2, 46.4),
        ("mobilenet_v2_cifar", 32, 2.3, 91.2),
        ("vgg_small", 8, 0.29, 2.42),
        ("vit_small", 8, 0.14, 2.39),
        ("vit_small", 32, 0.14, 10.88),
    ],
)
def test_models_are_of_the_known_size(name: str, size: int, params: float, mmacs: float) -> None:
    model = build(name, size).eval()
    counted = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert counted == pytest.approx(params, rel=0.03)
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        logits = model(torch.zeros(1, 3, size, size))
    assert logits.shape == (1, 10)
    assert counter.get_total_flops() / 2e6 == pytest.approx(mmacs, rel=0.01)


@pytest.mark.parametrize(
    "name",
    ["resnet20", "vgg_small", "densenet40", "googlenet_cifar", "mobilenet_v2_cifar", "vit_small"],
)
def test_models_take_small_gray_images_and_train(name: str) -> None:
    model = build(name, size=8, channels=1, classes=7)
    loss = model(torch.randn(4, 1, 8, 8)).logsumexp(1).sum()
    loss.backward()
    assert model.training
    assert all(one.grad is not None for one in model.parameters())
    assert [getattr(one, "out_features", 0) for one in classifier_layers(model)] == [7]


@pytest.mark.parametrize("name", ["resnet20", "vit_small", "torchvision:squeezenet1_1"])
def test_weights_follow_the_seed_alone(name: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build(name, seed=1).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    same, other = build(name, seed=1).state_dict(), build(name, seed=2).state_dict()
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


# --- channel padding --------------------------------------------------------------------------


def test_channel_pad_is_the_papers_padding() -> None:
    x = torch.randn(2, 16, 7, 8)
    expected = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))
    assert torch.equal(ChannelPad(16, 32, 2)(x), expected)


def test_channel_pad_is_cut_on_either_side() -> None:
    pad = ChannelPad(4, 8, 1)  # copies to 2, 3, 4, 5
    pruner = ChannelPad.pruning_func()
    pruner(pad, [1, 3], to_output=False)
    assert (pad.in_channels, pad.source.tolist()) == (2, [-1, -1, 0, -1, 1, -1, -1, -1])
    pruner(pad, [0, 2], to_output=True)
    assert (pad.out_channels, pad.source.tolist()) == (6, [-1, -1, 1, -1, -1, -1])
    pruner(pad, [0], to_output=False)
    assert (pad.in_channels, pad.source.tolist()) == (1, [-1, -1, 0, -1, -1, -1])
    assert pad(torch.ones(1, 1, 2, 2)).sum((0, 2, 3)).tolist() == [0, 0, 4, 0, 0, 0]
    assert not pad.state_dict()


# --- cutting equals zeroing -------------------------------------------------------------------


def graph_of(model: nn.Module, size: int) -> tp.DependencyGraph:
    bare = [
        (parameter, parameter.dim() - 1)
        for name, parameter in model.named_parameters()
        if name.endswith(("class_token", "pos_embedding"))
    ]
    return tp.DependencyGraph().build_dependency(
        model,
        (torch.randn(1, 3, size, size, dtype=torch.float64),),
        unwrapped_parameters=bare,
        customized_pruners={ChannelPad: ChannelPad.pruning_func()},
    )


def groups_of(model: nn.Module, size: int) -> Iterator[Any]:
    yield from graph_of(model, size).get_all_groups(
        ignored_layers=classifier_layers(model), root_module_types=[nn.Conv2d, nn.Linear]
    )


def silence(group: Any) -> None:
    """Zero all parameters of a group's channels, and let no shortcut copy them."""
    with torch.no_grad():
        for dependency, channels in group:
            module = dependency.target.module
            makes = "out" in dependency.handler.__name__
            if isinstance(module, ChannelPad):
                copies = torch.isin(module.source, torch.tensor(channels))
                module.source[torch.tensor(channels) if makes else copies] = -1
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.weight[(channels,) if makes else (slice(None), channels)] = 0
                if makes and module.bias is not None:
                    module.bias[channels] = 0
            elif isinstance(module, nn.BatchNorm2d):
                module.weight[channels] = 0
                module.bias[channels] = 0


def assert_cut_equals_zeroed(model: nn.Module, size: int, pick: Any, groups: int) -> None:
    """For each group alone: removing picked channels, and zeroing them, give equal logits."""
    x = torch.randn(3, 3, size, size, dtype=torch.float64)
    dense = model(x)
    count = 0
    for root, width in [(g[0].dep.target.module, len(g[0].idxs)) for g in groups_of(model, size)]:
        name = next(name for name, one in model.named_modules() if one is root)
        channels = pick(name, width)
        if not channels:
            continue
        outputs = []
        for act in (silence, lambda group: group.prune()):
            changed = copy.deepcopy(model)
            target = changed.get_submodule(name)
            group = graph_of(changed, size).get_pruning_group(
                target,
                tp.prune_conv_out_channels
                if isinstance(target, nn.Conv2d)
                else tp.prune_linear_out_channels,
                channels,
            )
            act(group)
            outputs.append(changed(x))
        zeroed, cut = outputs
        assert torch.allclose(zeroed, cut, rtol=1e-9, atol=1e-9), name
        assert not torch.allclose(zeroed, dense, rtol=1e-3, atol=1e-3), name
        count += 1
    assert count == groups


def every_third(name: str, width: int) -> list[int]:
    return list(range(0, width, 3))


@pytest.mark.parametrize(
    ("name", "size", "options", "groups"),
    [
        ("resnet20", 16, {"shortcut": "A"}, 12),  # three streams, nine inner widths
        ("resnet20", 16, {"shortcut": "B"}, 12),
        ("vgg_small", 8, {}, 6),
        # The stem, 36 layers, two transitions.
        pytest.param("densenet40", 8, {}, 39, marks=pytest.mark.slow),
    ],
)
def test_cutting_equals_zeroing(name: str, size: int, options: dict[str, Any], groups: int) -> None:
    model = lively(build(name, size, options=options))
    assert_cut_equals_zeroed(model, size, every_third, groups)


def test_option_a_keeps_the_three_streams_apart() -> None:
    groups = list(groups_of(build("resnet20").double(), 32))
    streams = {len(g[0].idxs) for g in groups if any(i.dep.target.name == "bn1" for i in g)}
    assert sorted(len(group[0].idxs) for group in groups) == [16] * 4 + [32] * 4 + [64] * 4
    assert len(streams) <= 1


def test_streams_can_be_cut_one_after_the_other_and_again() -> None:
    model = lively(build("resnet20", 16))
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    masked, cut = copy.deepcopy(model), model
    # The second time by the numbers of the channels that are left.
    for first in (True, False):
        for name in ("layer2.0.conv2", "conv1", "layer3.0.conv2"):
            gone = [1, 4, 9] if first else [0, 2, 5, 6]
            left = [channel for channel in range(64) if channel not in (1, 4, 9)]
            original = gone if first else [left[channel] for channel in gone]
            for network, channels, act in ((masked, original, silence), (cut, gone, None)):
                group = graph_of(network, 16).get_pruning_group(
                    network.get_submodule(name), tp.prune_conv_out_channels, channels
                )
                act(group) if act else group.prune()
    assert cut.get_submodule("conv1").out_channels == 9
    assert torch.allclose(masked(x), cut(x), atol=1e-9)


def test_attention_and_mlp_are_cut_like_zeroed() -> None:
    model = lively(build("vit_small", 8))

    def pick(name: str, width: int) -> list[int]:
        if "self_attention" in name:  # of each of the four heads the same number
            return [16 * head + channel for head in range(4) for channel in (head, 5)]
        return every_third(name, width) if "mlp.0" in name else []

    assert_cut_equals_zeroed(model, 8, pick, 8)


@pytest.mark.parametrize(("name", "size"), [("vit_small", 8), ("torchvision:vit_b_32", 64)])
def test_the_residual_width_of_transformers_can_be_cut(name: str, size: int) -> None:
    model = lively(build(name, size))
    head = model.get_submodule("heads.head")
    assert isinstance(head, nn.Linear)
    width = head.in_features
    proj = model.get_submodule("conv_proj")
    group = graph_of(model, size).get_pruning_group(proj, tp.prune_conv_out_channels, [0, 7, 9])
    group.prune()
    assert head.in_features == width - 3
    assert model(torch.randn(2, 3, size, size, dtype=torch.float64)).shape == (2, 10)


# --- attention --------------------------------------------------------------------------------


def test_converted_attention_is_equal() -> None:
    theirs = nn.MultiheadAttention(24, 3, batch_first=True).double()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    ours = converted(theirs)
    x = torch.randn(4, 7, 24, dtype=torch.float64)
    assert torch.allclose(theirs(x, x, x)[0], ours(x, x, x, need_weights=False)[0], atol=1e-6)
    assert ours(x, x, x)[1] is None
    assert ours.q.out_features == 8 * ours.num_heads
    assert ours.equal_blocks() == {ours.q: 3, ours.k: 3, ours.v: 3}


def test_a_checkpoint_of_torchvisions_transformer_fits_the_converted_one(tmp_path: Path) -> None:
    from bench.data.vision import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.VisionTransformer(64, 32, 12, 12, 768, 3072, num_classes=10)
    nn.init.normal_(theirs.heads.head.weight)
    torch.save(theirs.state_dict(), tmp_path / "vit.pt")
    ours = build("torchvision:vit_b_32", 64, checkpoint=str(tmp_path / "vit.pt")).eval()
    assert sum(isinstance(one, SelfAttention) for one in ours.modules()) == 12
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(theirs.eval()(x), ours(x), atol=1e-4)


# --- torchvision ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "googlenet", "densenet121"]
)
def test_torchvision_models_fit_classes_and_channels(name: str) -> None:
    model = build(f"torchvision:{name}", 64, channels=1, classes=7)
    assert model(torch.randn(2, 1, 64, 64)).shape == (2, 7)
    (last,) = classifier_layers(model)
    assert 7 in (getattr(last, "out_features", 0), getattr(last, "out_channels", 0))


def pretend_weights(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """Let torchvision 'download' the weights of a network made here."""
    from bench.data.vision import torchvision

    torch.manual_seed(0)
    published = torchvision.models.resnet18()
    monkeypatch.setattr(
        torchvision.models.ResNet18_Weights,
        "get_state_dict",
        lambda self, **options: published.state_dict(),
    )
    return published


def test_weights_by_name_are_kept_under_a_new_head(monkeypatch: pytest.MonkeyPatch) -> None:
    published = pretend_weights(monkeypatch).eval()
    model = build("torchvision:resnet18", 64, channels=1, weights="IMAGENET1K_V1").eval()
    gray = torch.randn(2, 1, 64, 64)
    features = []
    for network, x in ((model, gray), (published, gray.expand(-1, 3, -1, -1))):
        network.set_submodule("fc", nn.Identity())
        features.append(network(x))
    assert torch.allclose(features[0], features[1], atol=1e-4)


def test_weights_of_as_many_classes_keep_their_head(monkeypatch: pytest.MonkeyPatch) -> None:
    published = pretend_weights(monkeypatch)
    model = build("torchvision:resnet18", 64, classes=1000, weights="IMAGENET1K_V1")
    assert all(
        torch.equal(a, b) for a, b in zip(published.parameters(), model.parameters(), strict=True)
    )


def test_networks_of_pixels_give_logits_alone_and_fit_classes_with_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LR-ASPP adds up two last layers; FCN's weights come with an auxiliary classifier."""
    from bench.data.vision import torchvision

    of = torchvision.models.segmentation
    lraspp, deeplab = (f"{one}_mobilenet_v3_large" for one in ("lraspp", "deeplabv3"))
    for name, kind, auxiliary in (
        (lraspp, of.LRASPP_MobileNet_V3_Large_Weights, {}),
        (deeplab, of.DeepLabV3_MobileNet_V3_Large_Weights, {"aux_loss": True}),
    ):
        published = getattr(of, name)(weights_backbone=None, num_classes=21, **auxiliary)
        state = published.state_dict()
        monkeypatch.setattr(kind, "get_state_dict", lambda self, held=state, **_: held)
        for weights in (None, "DEFAULT"):
            model = build(f"torchvision:{name}", 32, classes=4, weights=weights).eval()
            assert model(torch.randn(2, 3, 32, 32)).shape == (2, 4, 32, 32)
            assert not any("aux" in one for one in model.state_dict())


@pytest.mark.parametrize(
    "name",
    [
        "lraspp_mobilenet_v3_large",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("deeplabv3_mobilenet_v3_large", "fcn_resnet50", "deeplabv3_resnet50")
        ),
    ],
)
def test_networks_of_pixels_are_cut_as_if_masked_and_cost_what_is_counted(name: str) -> None:
    network = found_by_check(ModelSpec(name=f"torchvision:{name}"), 4, 3, 32, task="segmentation")
    assert all("makes the network's output" in one for one in network.structure.refused.values())
    assert examine(network) < 1e-9  # raises where costs are others


def test_weights_that_cannot_be_fetched_say_where_to_put_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bench.data.vision import torchvision

    def refuse(self: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", refuse)
    with pytest.raises(ModelError, match=r"no route.*resnet18-\w+\.pth.*checkpoints"):
        build("torchvision:resnet18", weights="IMAGENET1K_V1")
    with pytest.raises(ModelError, match="'V9'; there are: IMAGENET1K_V1"):
        build("torchvision:resnet18", weights="V9")


# --- checkpoints ------------------------------------------------------------------------------


@pytest.mark.parametrize("nest", [None, "state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoints_are_found_in_nests_and_behind_prefixes(
    tmp_path: Path, nest: str | None, prefix: str
) -> None:
    saved = build("resnet20", seed=3)
    state = {prefix + key: value for key, value in saved.state_dict().items()}
    torch.save({nest: state, "epoch": 3} if nest else state, tmp_path / "net.pt")
    loaded = build("resnet20", checkpoint=str(tmp_path / "net.pt")).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in saved.state_dict().items())


class Code:
    """What a pickle may run when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this ran",))


def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": Code()}, tmp_path / "bad.pt")
    (tmp_path / "worse.pt").write_bytes(pickle.dumps(Code()))
    for name in ("bad.pt", "worse.pt"):
        with pytest.raises(ModelError, match=rf"{name}.*save the state dict alone"):
            read_state(tmp_path / name)
    assert "this ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04broken"])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"net\.pt"):
        read_state(tmp_path / "net.pt")


def test_a_truncated_or_missing_checkpoint_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(build("vgg_small", 8).state_dict(), buffer)
    (tmp_path / "net.pt").write_bytes(buffer.getvalue()[:-5000])
    with pytest.raises(ModelError, match=r"net\.pt cannot be read"):
        read_state(tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"away\.pt .*No such file"):
        read_state(tmp_path / "away.pt")


def test_a_file_without_state_dict_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"a dict epoch, lr"):
        read_state(tmp_path / "net.pt")


def test_misfits_name_the_keys_and_both_shapes(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.save(build("resnet20").state_dict(), file)
    with pytest.raises(ModelError, match=r"linear\.weight.*\[10, 64\].*\[100, 64\]"):
        build("resnet20", classes=100, checkpoint=str(file))
    with pytest.raises(ModelError, match=r"layer1\.3\.conv1\.weight, .* and \d+ more"):
        build("resnet32", checkpoint=str(file))
    with pytest.raises(ModelError, match=r"the model has no .*and \d+ more"):
        build("vgg_small", checkpoint=str(file))


# --- names and options ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"name": "resnet21"}, r"did you mean .*resnet20.*there are resnet20"),
        ({"name": "torchvision:resnet19"}, r"did you mean torchvision:resnet1\d"),
        ({"name": "resnet20", "options": {"depth": 8}}, r"'depth' .*Allowed here: shortcut"),
        ({"name": "resnet20", "options": {"shortcut": "C"}}, r"shortcut = 'C': .*'A', 'B' or 'B3'"),
        ({"name": "vgg_small", "options": {"width": 0}}, "width = 0: a whole number from 1"),
        ({"name": "vgg_small", "options": {"width": True}}, "width = True: .* valid integer"),
        ({"name": "vgg16_bn", "options": {"width": 1}}, r"'width'\. Allowed here: bias, pools,"),
        ({"name": "vgg16_bn", "options": {"bias": 1}}, "bias = 1: .* valid boolean"),
        ({"name": "vgg16_bn", "options": {"pools": 6}}, "pools 6 is not 1, 2, 3, 4 or 5"),
        ({"name": "vgg16_bn", "options": {"dropout": True}}, "dropout is .*; give hidden as well"),
        ({"name": "resnet18_cifar", "options": {"depth": 20}}, r"'depth'\. Allowed here: none"),
        ({"name": "vit_s_16", "options": {"width": 1}}, r"'width'\. Allowed here: attention"),
        (
            {"name": "torchvision:vit_b_16", "options": {"attention": "q"}},
            "'q': .*'heads' or 'kept'",
        ),
        ({"name": "vit_small", "options": {"heads": 7}}, "heads 7 does not divide width 64"),
        ({"name": "vit_small", "options": {"patch_size": 5}}, "patch_size 5 does not divide 32"),
        ({"name": "torchvision:resnet18", "options": {"a": 1}}, "takes no options"),
        ({"name": "resnet20", "weights": "V1"}, "give `checkpoint:`"),
    ],
)
def test_wrong_names_and_options_say_what_is_allowed(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        build(**spec)


def test_images_too_small_are_refused() -> None:
    with pytest.raises(ModelError, match="32 pixels, not 8; vgg_small"):
        build("vgg16_bn", 8)
    with pytest.raises(ModelError, match=r"33 pixels .* patches of 16"):
        build("torchvision:vit_b_16", 33)


def test_options_reach_the_network() -> None:
    names = dict(build("resnet20", options={"shortcut": "B"}).named_parameters())
    assert "layer2.0.shortcut.0.weight" in names
    wide = build("vgg_small", 8, options={"width": 48}).get_submodule("features.0")
    assert getattr(wide, "out_channels", 0) == 48


def test_the_list_has_a_line_each() -> None:
    models = list_models()
    assert {"resnet20", "vgg16_bn", "densenet40", "vit_small", "torchvision:NAME"} <= set(models)
    assert all(models.values())


# --- real data --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not CHECKPOINT.exists(), reason="needs ../shared/data")
def test_the_published_resnet20_has_its_published_accuracy(tmp_path: Path) -> None:
    import tarfile

    from bench.data.datasets import load_dataset
    from suites.problem import DatasetSpec

    with tarfile.open(DATA / "cifar10_jpeg.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    root = next(tmp_path.rglob("train")).parent
    spec = DatasetSpec(name="imagefolder", root=str(root), normalize="imagenet")
    data = load_dataset(spec, tmp_path, tmp_path / "cache")
    model = build("resnet20", checkpoint=str(CHECKPOINT)).eval()
    right: list[Tensor] = []
    with torch.no_grad():
        for images, labels in data.test.batches(500):
            right.append(model(images).argmax(1) == labels)
    assert torch.cat(right).double().mean().item() == pytest.approx(0.810, abs=0.005)
