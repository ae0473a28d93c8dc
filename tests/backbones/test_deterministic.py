"""Every backbone of every shipped config trains on a GPU in deterministic mode, which refuses some operations.

No GPU is needed: on torch's meta device, which computes no numbers, operations run as they would there.
"""

import re

import pytest
import torch
from calibench.backbones.classifier import build
from calibench.backbones.pooling import FixedPool
from calibench.planning import configuration
from calibench.planning.settings import needed_runs, settings_of
from torch.utils._python_dispatch import TorchDispatchMode

from tests.checkout import ROOT

# What torch.use_deterministic_algorithms says it refuses on CUDA → the operations that do it.
REFUSED = {
    "AvgPool3d": "avg_pool3d_backward",
    "AdaptiveAvgPool2d": "_adaptive_avg_pool2d_backward",
    "AdaptiveAvgPool3d": "_adaptive_avg_pool3d_backward",
    "AdaptiveMaxPool2d": "adaptive_max_pool2d_backward",
    "FractionalMaxPool2d": "fractional_max_pool2d_backward",
    "FractionalMaxPool3d": "fractional_max_pool3d_backward",
    "MaxUnpool1d": "max_unpool2d",
    "MaxUnpool2d": "max_unpool2d",
    "MaxUnpool3d": "max_unpool3d",
    "interpolate": "upsample_linear1d_backward upsample_bilinear2d_backward _upsample_bilinear2d_aa_backward "
    "upsample_bicubic2d_backward _upsample_bicubic2d_aa_backward upsample_trilinear3d_backward",
    "ReflectionPad1d": "reflection_pad1d_backward",
    "ReflectionPad2d": "reflection_pad2d_backward",
    "ReflectionPad3d": "reflection_pad3d_backward",
    "NLLLoss": "nll_loss2d_forward nll_loss2d_backward",  # of maps; that of (B, K) is deterministic
    "CTCLoss": "_ctc_loss_backward",
    "EmbeddingBag": "_embedding_bag_backward _embedding_bag_dense_backward",
    "put_": "put_ put",
    "MaxPool3d": "max_pool3d_with_indices_backward",
    "cumsum": "",  # of floats, up to torch 2.11; all of ours are of whole numbers
    "histc": "histc",
    "bincount": "bincount",
    "median": "median",
    "grid_sample": "grid_sampler_2d_backward grid_sampler_3d_backward",
    "scatter_reduce": "scatter_reduce scatter_reduce_",
    "kthvalue": "kthvalue",
}
OPERATIONS = set(" ".join(REFUSED.values()).split())


class Seen(TorchDispatchMode):
    """Remembers the operations that ran."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def shipped():
    """(backbone, input form, pixels) of every training run of every config."""
    found = set()
    for path in sorted((ROOT / "config").glob("**/*.yaml")):
        raw = configuration.read_yaml(path)
        if "backbones" not in raw or None in raw["datasets"].values():  # a second file
            continue
        config = configuration.complete(raw)
        for dataset, (backbone, run) in ((d, r) for d in config["datasets"] for r in needed_runs(config)):
            settings = settings_of(config, run, dataset, backbone, 0)
            size = settings["train"]["input_size"] or config["datasets"][dataset]["store"]["size"]
            found.add((backbone, settings["model"]["input"], size))
    return sorted(found)


def operations(backbone, form, size):
    settings = {"input": form, "zero_init_residual": False, "dropout": None, "batch_norm_momentum": None}
    with torch.device("meta"):
        model = build(backbone, 5, settings)
        with Seen() as seen:
            loss = model(torch.empty(2, 3, size, size)).sum()
            loss.backward()
    return seen.names


def one_of_each_family():
    """All that is shipped; quick are those with the fewest layers of their family, at their smallest size."""
    found, seen = [], set()
    for case in sorted(shipped(), key=lambda case: (int(re.sub(r"\D", "", case[0][:-2]) or 0), case[2])):
        family = re.sub(r"\d+", "", case[0]), case[1]
        found.append(pytest.param(*case, marks=pytest.mark.slow if family in seen else ()))
        seen.add(family)
    return found


@pytest.mark.parametrize(("backbone", "form", "size"), one_of_each_family())
def test_every_shipped_backbone_trains_in_deterministic_mode_on_cuda(backbone, form, size):
    assert not set(operations(backbone, form, size)) & OPERATIONS


def test_the_paper_is_among_them():
    assert ("vgg19", "full", 224) in shipped()


def test_an_operation_that_is_refused_is_found():
    maps = torch.empty(1, 3, 8, 8, device="meta", requires_grad=True)
    with Seen() as seen:
        torch.nn.AdaptiveAvgPool2d(7)(maps).sum().backward()
    assert set(seen.names) & OPERATIONS


def test_the_list_is_that_of_the_documentation():
    text = torch.use_deterministic_algorithms.__doc__
    refused = text[text.index("operations will throw a\n") : text.index("In addition")]
    bullets = re.findall(r"\* (.*?)(?=\n\s*\* |\Z)", refused, re.S)
    on_cuda = [bullet for bullet in bullets if "MPS" not in bullet or "CUDA" in bullet]
    names = {re.search(r"`~?torch\.([\w.]+)`", bullet)[1].rpartition(".")[2] for bullet in on_cuda}
    assert names - {"resize_"} <= set(REFUSED), "resize_: of quantized tensors only"


@pytest.mark.parametrize("length", [2, 3, 5, 6, 9, 14])
def test_pooling_bin_by_bin_is_torchs(length, monkeypatch):
    maps = torch.randn(2, 3, length, length + 1)
    expected = FixedPool(7)(maps)
    monkeypatch.setattr(torch.Tensor, "device", torch.device("cuda"))
    torch.testing.assert_close(FixedPool(7)(maps), expected)


def test_pooling_at_the_size_it_gives_is_the_identity():
    maps = torch.randn(2, 3, 7, 7)
    assert FixedPool((7, 7))(maps) is maps
