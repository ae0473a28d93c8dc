import numpy as np
import pytest
import torch
from calibench.data import augment, randaugment
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode


def draw(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def batch(n=6, channels=3, size=16, scaled=False):
    pixels = torch.randint(0, 256, (n, channels, size, size + 4), generator=torch.Generator().manual_seed(n))
    pixels = pixels.to(torch.uint8)
    return randaugment.from_bytes(pixels) if scaled else pixels


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("size", [0.25, 0.5, 1.0])
def test_cutout_covers_one_square_per_image(scaled, size):
    images = batch(scaled=scaled)
    result = augment.cutout(images, draw(3), size)
    copy = draw(3)
    side = round(16 * size)
    ys, xs = copy.integers(0, 16, 6), copy.integers(0, 20, 6)
    for i in range(6):
        for y in range(16):
            for x in range(20):
                inside = 0 <= y - (ys[i] - side // 2) < side and 0 <= x - (xs[i] - side // 2) < side
                expected = (
                    torch.full((3,), 0 if scaled else 127, dtype=images.dtype)
                    if inside
                    else images[i, :, y, x]
                )
                assert torch.equal(result[i, :, y, x], expected)
    assert len(set(zip(ys.tolist(), xs.tolist(), strict=True))) > 1
    assert result.dtype == images.dtype


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_averages_pairs(alpha):
    images = batch(scaled=True)
    mixed = augment.mixup(images, draw(1), alpha)
    assert 0 <= mixed.lam <= 1 and sorted(mixed.partner.tolist()) == list(range(6))
    for i, j in enumerate(mixed.partner.tolist()):
        assert torch.allclose(mixed.images[i], mixed.lam * images[i] + (1 - mixed.lam) * images[j], atol=1e-6)
    assert augment.mixup(batch(), draw(1), alpha).images.dtype == torch.float32


def test_cutmix_pastes_a_box_of_the_share_it_states():
    images = torch.arange(6.0)[:, None, None, None].expand(6, 3, 16, 20).contiguous()
    lams = []
    for seed in range(30):
        mixed = augment.cutmix(images, draw(seed))
        for i, j in enumerate(mixed.partner.tolist()):
            pasted = mixed.images[i] == j
            if i != j:
                assert pasted.float().mean().item() == pytest.approx(1 - mixed.lam, abs=1e-6)
                assert torch.equal(mixed.images[i][~pasted], torch.full_like(mixed.images[i], i)[~pasted])
                rows, columns = pasted[0].any(1).sum(), pasted[0].any(0).sum()
                assert rows * columns == pasted[0].sum()  # a box
        lams.append(mixed.lam)
    assert min(lams) < 0.5 < max(lams)
    assert torch.equal(images[:, 0, 0, 0], torch.arange(6.0))  # the input is left alone


def test_the_dominant_label_is_the_one_of_the_larger_share():
    targets, partner = torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1])
    assert augment.Mixed(torch.zeros(3), partner, 0.5).dominant(targets).tolist() == [0, 1, 2]
    assert augment.Mixed(torch.zeros(3), partner, 0.4).dominant(targets).tolist() == [2, 0, 1]


ORDER = [
    ("Identity", None),
    ("ShearX", 0.3),
    ("ShearY", 0.3),
    ("TranslateX", 150 / 331 * 20),
    ("TranslateY", 150 / 331 * 16),
    ("Rotate", 30),
    ("Brightness", 0.9),
    ("Color", 0.9),
    ("Contrast", 0.9),
    ("Sharpness", 0.9),
    ("Posterize", None),
    ("Solarize", None),
    ("AutoContrast", None),
    ("Equalize", None),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("magnitude", [0, 9, 30])
def test_randaugment_is_torchvisions_image_by_image(channels, magnitude):
    images = batch(n=24, channels=channels)
    result = randaugment.randaugment(images, draw(2), num_ops=2, magnitude=magnitude)
    oracle, copy, expected = v2.RandAugment(), draw(2), images.clone()
    strength = magnitude / 30
    for _ in range(2):
        choice, sign = copy.integers(0, 14, 24), copy.integers(0, 2, 24) * 2 - 1
        for i in range(24):
            name, top = ORDER[choice[i]]
            value = 0.0 if top is None else top * strength * sign[i]
            value = 8 - round(strength * 4) if name == "Posterize" else value
            value = 1 - strength if name == "Solarize" else value
            expected[i] = oracle._apply_image_or_video_transform(
                expected[i],
                name,
                value,
                interpolation=InterpolationMode.NEAREST,
                fill={torch.Tensor: [127.0]},
            )
    assert torch.equal(result, expected)
    assert magnitude == 0 or not torch.equal(result, images)


def test_randaugment_of_scaled_images_passes_through_bytes():
    pixels = batch()
    scaled = randaugment.from_bytes(pixels)
    assert torch.equal(randaugment.to_bytes(scaled), pixels)
    result = randaugment.randaugment(scaled, draw(4))
    assert torch.allclose(result, randaugment.from_bytes(randaugment.randaugment(pixels, draw(4))))
    assert result.min() >= -1 and result.max() <= 1


@pytest.mark.parametrize("name", ["cutout", "mixup", "cutmix", "randaugment"])
def test_a_seed_gives_one_result(name):
    def images_of(seed):
        result = getattr(randaugment if name == "randaugment" else augment, name)(
            batch(scaled=True), draw(seed)
        )
        return result if torch.is_tensor(result) else result.images

    assert torch.equal(images_of(0), images_of(0)) and not torch.equal(images_of(0), images_of(1))
