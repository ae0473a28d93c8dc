"""Like images: the search is exact, copies and series are told apart, and a flood stays affordable."""

import tracemalloc

import cv2
import numpy as np
import pytest
from calibench.data import near
from calibench.data.prints import content_hash, details, forms, unpack
from hypothesis import given, settings
from hypothesis import strategies as st

COPY, SERIES = 0.965, 0.8  # the defaults


def brute(form, detail, flip):
    """All pairs of one flip, by definition."""
    scores = (form.astype(np.float32) * near.signs(flip)) @ form.astype(np.float32).T
    first, second = np.nonzero(np.triu(scores >= near.SAME_FORM, 1))
    keep = near.likeness(detail, first, second, flip) >= SERIES
    return set(zip(first[keep].tolist(), second[keep].tolist(), strict=True))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 150))
def test_all_pairs_are_found(seed, n):
    rng = np.random.default_rng(seed)
    base = rng.random((5, 32, 32)) * 255
    images = base[rng.integers(0, 5, n)] + rng.normal(0, 30, (n, 1, 1)) * rng.random((n, 32, 32))
    for start, (down, right) in enumerate(near.FLIPS):
        images[start::4] = images[start::4, ::down, ::right]
    form, detail = forms(images), details(images)
    with pytest.MonkeyPatch.context() as small:  # several cells, and cells wider than a block of columns
        small.setattr(near, "LEAF", 16)
        small.setattr(near, "COLUMNS", 40)
        found = near.pairs(form, detail, np.arange(n), SERIES)
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert (found.first < found.second).all()
    wanted = [brute(form, detail, flip) for flip in near.FLIPS]
    assert set(pairs) == set.union(*wanted)
    assert all(pair in wanted[flip] for pair, flip in zip(pairs, found.flip, strict=True))


def test_a_flood_of_like_images_stays_connected(monkeypatch, caplog):
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    monkeypatch.setattr(near, "CANDIDATES", 32)
    image = np.random.default_rng(0).random((1, 32, 32)).astype(np.float32) * 255
    found = near.pairs(
        np.repeat(forms(image), 2000, 0), np.repeat(details(image), 2000, 0), np.arange(2000), SERIES
    )
    assert len(found.first) <= 2000 * 32  # not 2,000 squared
    graph = coo_matrix((np.ones(len(found.first)), (found.first, found.second)), shape=(2000, 2000))
    assert connected_components(graph)[0] == 1
    assert "were not compared" in caplog.text


@pytest.mark.slow
def test_a_hundred_thousand_images_in_little_memory():
    n, copies = 100_000, 1_000
    rng = np.random.default_rng(0)
    form = rng.standard_normal((165, 63))[np.arange(n) % 165] + 2 * rng.standard_normal((n, 63))
    form /= np.arange(1, 64)  # as in images, low frequencies are strong
    detail = rng.integers(17, 256, (n, 512), dtype=np.uint8)
    first = rng.permutation(n)
    first, second = first[:copies], first[copies : 2 * copies]
    form[second] = form[first]
    detail[second] = detail[first]
    detail[second, :20] = rng.integers(17, 256, (copies, 20))  # a little noise
    form = (form / np.linalg.norm(form, axis=1, keepdims=True)).astype(np.float16)
    tracemalloc.start()
    found = near.pairs(form, detail, np.arange(n), SERIES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    planted = {(min(pair), max(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == planted
    assert peak < 64 << 20  # beside the prints, 650 bytes each; most of it does not grow with n


def scene(seed, side=128):
    """Overlapping discs with texture: something with form and detail."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side), np.float32)
    for _ in range(25):
        centre, radius = rng.integers(5, side - 5, 2), int(rng.integers(3, 30))
        cv2.circle(image, tuple(int(c) for c in centre), radius, float(rng.integers(30, 200)), -1)
    texture = cv2.GaussianBlur(rng.normal(0, 60, (side, side)).astype(np.float32), (0, 0), 2)
    return np.clip(cv2.GaussianBlur(image, (5, 5), 0) + texture, 0, 255).astype(np.uint8)


def neighbour(seed):
    """What the next slice shows: the same form, and a texture of its own."""
    texture = np.random.default_rng(seed + 1000).normal(0, 80, (128, 128)).astype(np.float32)
    return np.clip(scene(seed) + cv2.GaussianBlur(texture, (0, 0), 2), 0, 255).astype(np.uint8)


def jpeg(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 0)


EDITS = {
    "jpeg": jpeg,
    "smaller": lambda image: cv2.resize(image, (77, 77), interpolation=cv2.INTER_AREA),
    "brighter": lambda image: np.clip(image * 1.15, 0, 255).astype(np.uint8),
    "gamma": lambda image: (255 * (image / 255) ** 0.7).astype(np.uint8),
    "sharper": lambda image: cv2.addWeighted(image, 2, cv2.GaussianBlur(image, (0, 0), 1), -1, 0),
    "mirrored": lambda image: image[:, ::-1].copy(),
    "upside down": lambda image: image[::-1].copy(),
    "half a turn": lambda image: image[::-1, ::-1].copy(),
}
IMAGES = [scene(seed) for seed in range(40)]


def pairs_of(images):
    reduced = np.stack(
        [cv2.resize(i, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32) for i in images]
    )
    return near.pairs(forms(reduced), details(reduced), np.arange(len(images)), SERIES)


@pytest.mark.parametrize("edit", EDITS)
def test_copies_are_recognised(edit):
    found = pairs_of(IMAGES + [EDITS[edit](image) for image in IMAGES])
    copies = found.likeness >= COPY
    assert (found.second == found.first + 40).all()  # and nothing else is like anything
    assert copies.sum() >= 38
    flips = ("mirrored", "upside down", "half a turn")
    assert set(found.flip) == {flips.index(edit) + 1 if edit in flips else 0}


def test_neighbouring_slices_are_a_series_and_no_copies():
    found = pairs_of(IMAGES + [neighbour(seed) for seed in range(40)])
    assert (found.second == found.first + 40).all() and len(found.first) >= 36
    assert (found.likeness < COPY).all()


def test_an_image_without_detail_is_like_nothing():
    flat = np.zeros((2, 32, 32), np.float32)
    assert not unpack(details(flat)).any()
    assert len(near.pairs(forms(flat), details(flat), np.arange(2), SERIES).first) == 0


def test_content_hash_is_about_pixels():
    image = scene(0)
    colour = np.repeat(image[:, :, None], 3, axis=2)
    alpha = np.dstack([colour, np.full_like(image, 255)])
    assert content_hash(image) == content_hash(colour) == content_hash(alpha)
    changed = image.copy()
    changed[3, 3] ^= 1
    assert content_hash(changed) != content_hash(image)
    assert content_hash(image.reshape(64, 256)) != content_hash(image)
    assert content_hash(image.astype(np.uint16)) != content_hash(image)
