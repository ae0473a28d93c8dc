"""The same numbers on a GPU as on the CPU: regimes, batches, augmentations, networks."""

import numpy as np
import pytest
import torch
from calibench.backbones.classifier import build
from calibench.data import augment, randaugment
from calibench.data.batches import Images, random_crop
from calibench.regimes.contract import extras
from calibench.training.device import full_float32
from test_contract import NAMES, ready
from torch.utils._pytree import tree_map

CPU, GPU = torch.device("cpu"), torch.device("cuda")
FULL = {"input": "full", "zero_init_residual": False, "dropout": 0.0, "batch_norm_momentum": None}
# float32 sums in another order; gradients are divided by the batch and smaller than the loss
LOSS, GRADIENT, STATE = (
    {"rtol": 2e-5, "atol": 2e-5},
    {"rtol": 1e-3, "atol": 2e-6},
    {"rtol": 1e-4, "atol": 1e-5},
)


def there(key, value, device):
    """What a regime is given, on the device, but for what it wants on the host."""

    def move(x):
        return x.to(device) if isinstance(x, torch.Tensor | torch.nn.Module) else x

    return value if key == "host_sample" else tree_map(move, value)


def lived(name, device):
    """Losses, gradients and state of a regime after two epochs of three steps."""
    regime, losses, gradients = ready(name).to(device).train(), [], []
    for step in range(6):
        draw = torch.Generator().manual_seed(step)
        logits = (2 * torch.randn(8, 5, generator=draw)).to(device).requires_grad_()
        targets = torch.randint(5, (8,), generator=draw).to(device)
        found = extras(regime, torch.zeros(8, 5), step)
        given = {key: there(key, value, device) for key, value in found.items()}
        loss = regime(logits, targets, **given)
        loss.backward()
        losses.append(loss.detach().cpu())
        gradients.append(logits.grad.cpu())
        if step % 3 == 2:
            regime.validated(logits.detach(), targets)
            regime.close_epoch()
    return losses, gradients, {k: v.cpu() for k, v in regime.state_dict().items()}


@pytest.mark.parametrize("name", NAMES)
def test_regime_on_the_gpu_is_that_on_the_cpu(name):
    (loss, gradient, state), (loss_cpu, gradient_cpu, state_cpu) = lived(name, GPU), lived(name, CPU)
    torch.testing.assert_close(loss, loss_cpu, **LOSS)
    torch.testing.assert_close(gradient, gradient_cpu, **GRADIENT)
    torch.testing.assert_close(state, state_cpu, **STATE)


@pytest.mark.parametrize("name", NAMES)
def test_regime_repeats_to_the_bit(name):
    first, second = lived(name, GPU), lived(name, GPU)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def batch(device, resident):
    draw = np.random.default_rng(0)
    store = draw.integers(0, 256, (300, 32, 32), dtype=np.uint8)
    images = Images(store, draw.permutation(300)[:200], device, resident)
    window = random_crop(draw, 64, 32, 32, {"crop": True, "pad": None, "flip": 0.5})
    return images.batch(np.arange(64) * 3, window, 32)


@pytest.mark.parametrize("resident", ["always", "never"])
def test_batch_is_that_of_the_cpu_to_the_bit(resident):
    assert torch.equal(batch(GPU, resident).cpu(), batch(CPU, "never"))


@pytest.mark.parametrize("name", ["cutout", "mixup", "cutmix", "randaugment"])
def test_augmentation_is_that_of_the_cpu(name):
    made = []
    for device in (GPU, CPU):
        found = getattr(randaugment if name == "randaugment" else augment, name)(
            batch(device, "always"), np.random.default_rng(1)
        )
        made.append((found if torch.is_tensor(found) else found.images).cpu())
    if name == "randaugment":  # saturation and contrast round greys that are sums in another order
        assert ((made[0] - made[1]).abs() > 1e-5).float().mean() < 1e-3
    else:
        torch.testing.assert_close(*made, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backbone", ["resnet50", "mobilenet_v2", "vgg19"])
def test_predictions_have_float32_precision(backbone):
    """With TF32 the error is a hundred times larger."""
    torch.manual_seed(0)
    model, images = build(backbone, 5, FULL).eval(), torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        exact = model.double()(images.double())
        with full_float32():
            found = model.float().to(GPU)(images.to(GPU)).cpu().double()
    assert ((found - exact).abs().max() / exact.abs().max()).item() < 2e-5


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [64, 224])
@pytest.mark.parametrize("backbone", ["resnet50", "mobilenet_v2", "vgg19"])
def test_gradients_repeat_to_the_bit(backbone, size, precision):
    """The list of parameters where they do not would be the finding."""
    torch.manual_seed(0)
    model = build(backbone, 5, FULL).to(GPU, memory_format=torch.channels_last).train()
    images = torch.randn(16, 3, size, size, device=GPU).contiguous(memory_format=torch.channels_last)
    targets = torch.arange(16, device=GPU) % 5
    seen = []
    for _ in range(3):
        model.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == torch.bfloat16):
            logits = model(images)
        torch.nn.functional.cross_entropy(logits.float(), targets).backward()
        seen.append({name: p.grad.clone() for name, p in model.named_parameters()})
    unlike = [name for name in seen[0] if any(not torch.equal(seen[0][name], s[name]) for s in seen[1:])]
    assert not unlike
