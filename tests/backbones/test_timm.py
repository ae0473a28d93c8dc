"""timm's networks: any size, their own scale, weights from files; and the like of torchvision."""

import pytest
import torch
from calibench.backbones import classifier, names
from calibench.backbones.pretrained import load_pretrained
from calibench.errors import UserError
from safetensors.torch import save_file

SETTINGS = {"input": "full", "zero_init_residual": False, "dropout": None, "batch_norm_momentum": None}


def build(name, **changes):
    torch.manual_seed(0)
    return classifier.build(name, 5, SETTINGS | changes)


@pytest.fixture
def timm():
    return pytest.importorskip("timm", reason="timm is not installed: pip install 'calibench[timm]'")


@pytest.mark.parametrize("name", ["timm.convnext_tiny", "timm.vit_small_patch16_224", "convnext_tiny"])
def test_it_learns_from_small_images(name, request):
    if name.startswith("timm."):
        request.getfixturevalue("timm")
    model = build(name)
    model.fit_to_size(32)
    features, logits = model.features_and_logits(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, model.head.in_features) and logits.shape == (2, 5)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_images_get_the_scale_that_the_network_was_trained_with(timm):
    model, plain = build("timm.resnet18").eval(), timm.create_model("resnet18", num_classes=0).eval()
    plain.load_state_dict(model.body.state_dict())  # no keys of ours
    pixels = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(plain.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close(model.body(2 * pixels - 1), plain((pixels - mean) / std))


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_of_a_file_are_fitted_to_the_size(timm, tmp_path, ending):
    torch.manual_seed(3)
    source = timm.create_model("vit_small_patch16_224", num_classes=10, depth=1)
    path = tmp_path / f"model.{ending}"
    save_file(source.state_dict(), path) if ending == "safetensors" else torch.save(source.state_dict(), path)
    model = build("timm.vit_small_patch16_224")
    model.body.blocks = model.body.blocks[:1]
    load_pretrained(model, path)
    torch.testing.assert_close(model.body.pos_embed, source.pos_embed)
    model.fit_to_size(32)
    source.set_input_size(img_size=32)
    torch.testing.assert_close(model.body.pos_embed, source.pos_embed)
    assert model.body.pos_embed.shape[1] == 5  # 2 × 2 patches and the class token


def test_radimagenets_file_fits_timms_resnet50(timm, tmp_path):
    children = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    state = timm.create_model("resnet50", num_classes=0).state_dict()
    renamed = {
        f"backbone.{children.index(key.split('.')[0])}.{key.partition('.')[2]}": v for key, v in state.items()
    }
    torch.save(renamed, tmp_path / "ResNet50.pt")
    model = build("timm.resnet50")
    load_pretrained(model, tmp_path / "ResNet50.pt")
    assert torch.equal(model.body.layer4[2].conv3.weight, state["layer4.2.conv3.weight"])


def test_what_cannot_be_is_told(timm):
    with pytest.raises(UserError, match="no network 'resnet500'"):
        build("timm.resnet500")
    with pytest.raises(UserError, match="timm.resnet18.nowhere': Invalid pretrained tag"):
        build("timm.resnet18.nowhere")
    with pytest.raises(UserError, match="did you mean .*timm.resnet50"):
        names.check_backbone("timm.resnet500")
    with pytest.raises(UserError, match="does not end with one linear layer"):
        build("timm.deit_tiny_distilled_patch16_224")
    with pytest.raises(UserError, match="small is not available for 'timm.resnet18'"):
        build("timm.resnet18", input="small")
    with pytest.raises(UserError, match="takes images of 224 px and cannot be fitted to 32 px"):
        build("timm.mixer_s16_224").fit_to_size(32)
    with pytest.raises(UserError, match="cannot be fitted to 8 px"):
        build("timm.vit_tiny_patch16_224").fit_to_size(8)


def test_a_tag_tells_the_scale(timm):
    assert build("timm.vit_small_patch16_224.dino").body.own_shift.flatten()[0] > 0.05
    assert build("timm.vit_small_patch16_224").body.own_shift.abs().max() < 1e-6
    names.check_backbone("timm.vit_small_patch16_224.dino")


def test_names_are_those_of_timm(timm):
    assert names.known_to_timm() == {f"timm.{name}" for name in timm.list_models()}


def test_without_timm_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    monkeypatch.setattr(names, "known_to_timm", frozenset)
    with pytest.raises(UserError, match=r"needs the package timm; pip install 'calibench\[timm\]'"):
        build("timm.resnet18")
    with pytest.raises(UserError, match="needs the package timm"):
        names.check_backbone("timm.resnet18")
