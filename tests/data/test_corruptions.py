"""Corruptions: pure, worse with every severity, of the strength they claim, within 0..255."""

import cv2
import numpy as np
import pytest
import yaml
from calibench.data.corruptions import KINDS, CorruptedStore, corrupt
from calibench.errors import UserError
from calibench.planning.schema import SCHEMA


def picture(side=32, colour=False, seed=0):
    """A smooth scene with edges, as an organ on a dark ground."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.uniform(0, 1, (side, side, 3)).astype("f4"), (0, 0), side / 12)
    image = (image - image.min()) / (image.max() - image.min())
    image = np.rint(40 + 150 * image).astype(np.uint8)
    cv2.rectangle(image, (side // 4, side // 4), (side // 2, side // 2), (220, 200, 180), -1)
    return image if colour else np.ascontiguousarray(image[..., 0])


@pytest.mark.parametrize("name", [name for name in KINDS if name != "pixelate"])
@pytest.mark.parametrize("side", [28, 96])
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_each_severity_is_further_from_the_image(name, side, colour):
    image = picture(side, colour)
    before = image.copy()
    worse = [corrupt(image, name, severity, 0, 7) for severity in range(1, 6)]
    assert all(w.dtype == np.uint8 and w.shape == image.shape for w in worse)
    far = [np.abs(w.astype(int) - image).mean() for w in worse]
    assert far[0] > 0 and far == sorted(far) and far[4] > 1.3 * far[0]
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", KINDS)
def test_it_is_a_function_of_image_severity_seed_and_row(name):
    image = picture()
    once = corrupt(image, name, 3, 1, 5)
    assert np.array_equal(once, corrupt(image, name, 3, 1, 5))
    drawn = name not in ("blur", "contrast", "brightness", "gamma", "jpeg", "pixelate")
    others = [corrupt(image, name, 3, 1, row) for row in range(6, 12)]
    assert any(not np.array_equal(once, other) for other in others) == drawn
    assert any(not np.array_equal(once, corrupt(image, name, 3, seed, 5)) for seed in range(2, 8)) == drawn


@pytest.mark.parametrize(("name", "sigma"), [("noise", 0.08), ("speckle", 0.12 * 0.5)])
def test_noise_has_the_standard_deviation_of_the_source(name, sigma):
    grey = np.full((48, 48), 128, np.uint8)
    found = np.stack([corrupt(grey, name, 3, 0, row) for row in range(20)]).astype(float) / 255
    assert found.std() == pytest.approx(sigma, rel=0.03) and found.mean() == pytest.approx(
        128 / 255, abs=2e-3
    )


def test_rician_noise_lifts_the_dark_ground():
    dark = np.stack([corrupt(np.zeros((32, 32), np.uint8), "rician", 5, 0, row) for row in range(20)])
    assert dark.mean() / 255 == pytest.approx(
        0.10 * np.sqrt(np.pi / 2), rel=0.03
    )  # mean of a Rayleigh variable


def test_closed_forms():
    image = picture()
    x = image / 255
    for name, by_hand in {
        "contrast": (x - x.mean()) * 0.3 + x.mean(),
        "gamma": x**1.8,
        "brightness": x + 0.2,
    }.items():
        assert np.abs(corrupt(image, name, 4, 0, 0) / 255 - by_hand.clip(0, 1)).max() < 0.5 / 255 + 1e-6


def test_pixelate_leaves_so_many_pixels():
    for severity, left in enumerate((30, 28, 27, 24, 20), 1):
        found = corrupt(picture(seed=severity), "pixelate", severity, 0, 0)
        assert 1 + (np.diff(found.astype(int), axis=1) != 0).any(0).sum() == left


def test_a_coil_does_not_change_the_mean_sensitivity():
    flat = corrupt(np.full((96, 96), 100, np.uint8), "bias_field", 3, 0, 3).astype(float)
    assert flat.mean() == pytest.approx(100, abs=0.5)
    assert np.log(flat / 100).min() > -1.3 and flat.max() / flat.min() > 1.3


def test_grey_stored_in_colour_stays_grey_without_noise():
    image = np.repeat(picture()[..., None], 3, axis=2)
    for name in set(KINDS) - {"noise", "rician", "speckle"}:
        worse = corrupt(image, name, 4, 0, 1).astype(int)
        assert np.ptp(worse, axis=2).max() <= 1, name


def test_a_store_is_made_worse_as_it_is_read():
    images = np.stack([picture(seed=s) for s in range(4)])
    worse = CorruptedStore(images, "noise", 2, 3)
    assert worse.shape == images.shape
    got = worse[np.array([2, 0])]
    assert np.array_equal(got[0], corrupt(images[2], "noise", 2, 3, 2)) and got.shape == (2, 32, 32)


def test_the_schema_names_these_kinds():
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]["evaluate_on"]["properties"]["corruptions"]
    assert schema["properties"]["names"]["items"]["enum"] == list(KINDS)


@pytest.mark.parametrize(("name", "severity"), [("fog", 1), ("blur", 6)])
def test_unknown_ones_are_refused(name, severity):
    with pytest.raises(UserError, match=f"no corruption '{name}' of severity {severity}"):
        corrupt(picture(), name, severity, 0, 0)
