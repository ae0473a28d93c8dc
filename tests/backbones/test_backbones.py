"""Networks of the CIFAR and MNIST literature: sizes as printed there, and what the other parts ask of them."""

import pytest
import torch
import torchvision
from calibench.backbones import classifier, resnet_cifar
from calibench.backbones.networks import NETWORKS
from calibench.errors import UserError

SETTINGS = {"input": "small", "zero_init_residual": False, "dropout": None, "batch_norm_momentum": None}
SMALL = ["alexnet", "densenet121", "shufflenet_v2_x1_0", "resnet18", "resnet34", "mobilenet_v2"]


def build(name, classes=10, **changes):
    torch.manual_seed(0)
    return classifier.build(name, classes, SETTINGS | changes)


def count(name, classes=10):
    return sum(p.numel() for p in build(name, classes).parameters())


@pytest.mark.parametrize(
    ("name", "millions"),
    [  # He et al. 2016, Table 6 (CIFAR-10)
        ("resnet8", "0.08"), ("resnet20", "0.27"), ("resnet32", "0.46"), ("resnet44", "0.66"), ("resnet56", "0.85"), ("resnet110", "1.7"),
        ("resnext29_8x64d", "34.4"),  # Xie et al. 2017, Table 7
    ],
)  # fmt: skip
def test_parameters_are_those_printed(name, millions):
    digits = len(millions.split(".")[1])
    assert f"{count(name) / 1e6:.{digits}f}" == millions


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        (
            "lenet",
            5 * 5 * 6 + 6 + 5 * 5 * 6 * 16 + 16 + 401 * 120 + 121 * 84 + 85 * 10,
        ),  # LeCun 1998 with full C3
        ("lenet_colour", 62_006),
        # the CIFAR code bases: 3×3 stem of 64 channels in front of the ImageNet stages
        ("resnet18", 11_173_962),
        ("resnet34", 21_282_122),
        ("resnet50", 23_520_842),
        ("resnet101", 42_512_970),
        ("densenet121", 6_956_298 + 128),  # plus torchvision's batch norm after the stem
        ("alexnet", 2_472_266),
    ],
)
def test_parameters_are_those_of_the_code_bases(name, parameters):
    assert count(name) == parameters


def test_hundred_classes_of_resnet56():
    assert f"{count('resnet56', 100) / 1e6:.2f}" == "0.86"


@pytest.mark.parametrize("name", [*NETWORKS, *SMALL])
def test_trains_a_step_on_32_pixels(name):
    model = build(name, 7)
    images = torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    features, logits = model.features_and_logits(images)
    assert logits.shape == (2, 7) and features.shape == (2, model.head.in_features)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 6])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_names_are_not_torchvisions():
    assert not set(NETWORKS) & set(torchvision.models.list_models())


def test_depth_is_the_number_of_layers():
    for name in (n for n in NETWORKS if n.startswith("resnet")):
        shortcuts = {m for k, m in build(name).named_modules() if ".shortcut" in k}
        layers = [m for m in build(name).modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
        extra = sum(isinstance(m, torch.nn.Conv2d) for m in shortcuts)
        assert len(layers) - extra == int(name.removeprefix("resnet"))


def test_option_a_shortcut_keeps_the_old_channels():
    pad = resnet_cifar.Pad(2, 4, 2)
    maps = torch.arange(2 * 16.0).reshape(1, 2, 4, 4)
    out = pad(maps)
    assert out.shape == (1, 4, 2, 2)
    assert torch.equal(out[:, 1:3], maps[:, :, ::2, ::2]) and not out[:, [0, 3]].any()


def test_grey_lenet_sees_one_channel():
    grey = torch.randn(3, 1, 32, 32)
    model = build("lenet")
    body = model.body
    direct = body.fc2(body.fc1(body.flatten(body.features(grey))))
    torch.testing.assert_close(model(grey.expand(-1, 3, -1, -1)), model.head(direct))


def test_lenet_takes_28_pixels():
    assert build("lenet")(torch.randn(1, 3, 28, 28)).shape == (1, 10)


def test_zero_init_residual_makes_blocks_identities():
    block = build("resnet20", zero_init_residual=True).body.features[0]
    maps = torch.rand(2, 16, 8, 8)
    torch.testing.assert_close(block(maps), maps)


@pytest.mark.parametrize(
    "name", ["resnet56", "resnext29_32x4d", "densenet121", "alexnet", "shufflenet_v2_x1_0"]
)
def test_watched_map_pools_to_the_features(name):
    model = build(name).eval()
    model.watch_feature_map()
    features, _ = model.features_and_logits(torch.randn(2, 3, 32, 32))
    torch.testing.assert_close(model.feature_map.mean(dim=(2, 3)), features)


def test_unknown_names_and_stems_are_named():
    with pytest.raises(UserError, match=r"nor one of lenet,"):
        build("resnet57")
    with pytest.raises(UserError, match="not for 'squeezenet1_0'; set it to full"):
        build("squeezenet1_0")
