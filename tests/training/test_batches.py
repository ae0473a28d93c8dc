"""Crops, flips and scaling against a written-out loop; draws as pure functions."""

import numpy as np
import torch
from calibench.data.batches import Crop, Images, centre_crop, random_crop
from calibench.data.resized import random_boxes
from calibench.training.randomness import Purpose, epoch_order, generator
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from torch.nn.functional import interpolate
from torchvision.transforms import RandomResizedCrop

AUGMENT = {"crop": True, "pad": None, "flip": 0.5, "pad_mode": "reflect"}
RESIZED = {"scale": [0.08, 1.0], "ratio": None}


def slow(image, top, left, flip, size, mode):
    """One window by explicit padding, slicing and mirroring."""
    pad = [(size, size), (size, size)] + [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, pad, mode="reflect") if mode == "reflect" else np.pad(image, pad)
    cut = padded[size + top : 2 * size + top, size + left : 2 * size + left]
    cut = cut[:, ::-1] if flip else cut
    grey = cut if cut.ndim == 3 else np.repeat(cut[..., None], 3, 2)
    return (grey.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)


@given(st.integers(0, 10_000), st.sampled_from(["reflect", "zero"]), st.booleans(), st.sampled_from([16, 12]))
def test_batch_equals_written_out_windows(seed, mode, colour, size):
    draw = np.random.default_rng(seed)
    store = draw.integers(0, 256, (6, 16, 16, 3) if colour else (6, 16, 16), dtype=np.uint8)
    window = random_crop(draw, 4, 16, size, AUGMENT)
    rows = np.array([5, 1, 3, 2])
    images = Images(store, rows, torch.device("cpu"))
    batch = images.batch(np.array([3, 0, 1, 2]), window, size, mode).numpy()
    for i, position in enumerate([3, 0, 1, 2]):
        image = store[rows[position]]
        expected = slow(image, window.top[i], window.left[i], window.flip[i], size, mode)
        np.testing.assert_allclose(batch[i], expected, atol=1e-6)


def test_centre_crop_of_equal_size_is_the_image():
    store = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    batch = Images(store, np.arange(2), torch.device("cpu")).batch(np.arange(2), centre_crop(2, 8, 8), 8)
    np.testing.assert_allclose(batch[:, 0].numpy(), store / 127.5 - 1, atol=1e-6)
    assert batch.min() >= -1 and batch.max() <= 1


def test_flips_and_crops_differ_between_samples():
    window = random_crop(generator(0, Purpose.AUGMENT, 1, 1), 256, 32, 32, AUGMENT)
    assert isinstance(window, Crop)
    assert 80 < window.flip.sum() < 176
    assert set(window.top) == set(range(-4, 5))


def test_draws_depend_on_their_position_only():
    assert (epoch_order(3, 7, 100) == epoch_order(3, 7, 100)).all()
    assert (epoch_order(3, 7, 100) != epoch_order(3, 8, 100)).any()
    assert (epoch_order(3, 7, 100) != epoch_order(4, 7, 100)).any()
    assert sorted(epoch_order(0, 1, 10)) == list(range(10))


def resized(images, box, size):
    """Each part cut out and stretched by torch's own bilinear interpolation."""
    out = []
    for image, top, left, height, width, flip in zip(
        images, box.top, box.left, box.height, box.width, box.flip, strict=True
    ):
        grey = image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
        part = torch.from_numpy(grey[top : top + height, left : left + width].copy()).permute(2, 0, 1)
        part = interpolate(part[None].float(), (size, size), mode="bilinear", align_corners=False)[0]
        out.append(part.flip(2) if flip else part)
    return torch.stack(out) / 127.5 - 1


@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([16, 24, 9]))
def test_random_resized_crops_equal_torchs_interpolation(seed, colour, size):
    draw = np.random.default_rng(seed)
    store = draw.integers(0, 256, (5, 16, 16, 3) if colour else (5, 16, 16), dtype=np.uint8)
    box = random_crop(draw, 5, 16, size, AUGMENT | RESIZED)
    batch = Images(store, np.arange(5), torch.device("cpu")).batch(np.arange(5), box, size)
    np.testing.assert_allclose(batch.numpy(), resized(store, box, size).numpy(), atol=1e-5)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_random_resized_crops_are_drawn_as_torchvision_draws_them():
    box = random_boxes(generator(0, Purpose.AUGMENT, 1, 1), 4000, 64, AUGMENT | RESIZED)
    torch.manual_seed(0)
    theirs = [
        RandomResizedCrop.get_params(torch.zeros(1, 64, 64), (0.08, 1.0), (0.75, 4 / 3)) for _ in range(4000)
    ]
    for ours, other in zip((box.top, box.left, box.height, box.width), np.array(theirs).T, strict=True):
        assert ks_2samp(ours, other).pvalue > 1e-3
    assert (box.top + box.height <= 64).all() and (box.left >= 0).all() and (box.height > 0).all()


def test_a_shape_that_never_fits_falls_back_to_the_largest_part():
    wide = random_boxes(np.random.default_rng(0), 3, 32, AUGMENT | {"scale": [1, 1], "ratio": [2, 2]})
    assert set(wide.width) == {32} and set(wide.height) == {16} and set(wide.top) == {8}
