"""Near-duplicate search: exact within the distance, and quick on many."""

import cv2
import numpy as np
import pytest
from calibench.data import near
from calibench.data.prints import content_hash, perceptual_hashes
from hypothesis import given
from hypothesis import strategies as st


def brute(hashes, distance):
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None])
    return set(zip(*(side.tolist() for side in np.nonzero(np.triu(bits <= distance, 1))), strict=True))


@given(st.integers(0, 2**32), st.integers(0, near.MAX_DISTANCE), st.integers(0, 150))
def test_all_pairs_are_found(seed, distance, n):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, 5, dtype=np.uint64)
    flips = np.packbits(rng.random((n, 64)) < 0.05, axis=1).view(np.uint64)[:, 0]
    hashes = base[rng.integers(0, 5, n)] ^ flips
    first, second = near.within(hashes, distance)
    assert (first < second).all()
    found = list(zip(first.tolist(), second.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == brute(hashes, distance)


def test_a_flood_of_equal_hashes_stays_connected():
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    first, second = near.within(np.full(5_000, 7, np.uint64), 4)
    assert len(first) <= 5_000 * near.NEIGHBOURS  # not 5,000 squared
    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(5_000, 5_000))
    assert connected_components(graph)[0] == 1


def test_distance_out_of_range():
    with pytest.raises(ValueError, match="0 to 9"):
        near.within(np.zeros(3, np.uint64), 10)


def scene(seed, side=96):
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side), np.float32)
    for _ in range(12):
        centre, radius = rng.integers(10, side - 10, 2), int(rng.integers(4, 25))
        cv2.circle(image, tuple(int(c) for c in centre), radius, float(rng.integers(30, 250)), -1)
    return cv2.GaussianBlur(image, (5, 5), 0).astype(np.uint8)


def reduced(image):
    return cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)


def test_hash_survives_what_copies_go_through():
    images = [scene(seed) for seed in range(60)]
    copies = [cv2.imdecode(cv2.imencode(".jpg", i, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 0) for i in images]
    smaller = [cv2.resize(i, (67, 67), interpolation=cv2.INTER_AREA) for i in images]
    hashes, *others = (
        perceptual_hashes(np.stack([reduced(i) for i in s])) for s in (images, copies, smaller)
    )
    for other in others:
        assert (np.bitwise_count(hashes ^ other) <= 4).mean() > 0.9
    assert (np.bitwise_count(hashes[:, None] ^ hashes[None])[np.triu_indices(60, 1)] > 10).mean() > 0.99


def test_content_hash_is_about_pixels():
    image = scene(0)
    colour = np.repeat(image[:, :, None], 3, axis=2)
    alpha = np.dstack([colour, np.full_like(image, 255)])
    assert content_hash(image) == content_hash(colour) == content_hash(alpha)
    changed = image.copy()
    changed[3, 3] ^= 1
    assert content_hash(changed) != content_hash(image)
    assert content_hash(image.reshape(48, 192)) != content_hash(image)
    assert content_hash(image.astype(np.uint16)) != content_hash(image)


def test_correlation():
    rng = np.random.default_rng(0)
    thumbs = rng.integers(0, 256, (50, 256), dtype=np.uint8)
    thumbs[7] = 9
    first, second = np.triu_indices(50, 1)
    expected = np.array(
        [
            0 if 7 in (a, b) else np.corrcoef(thumbs[a], thumbs[b])[0, 1]
            for a, b in zip(first, second, strict=True)
        ]
    )
    assert np.abs(near.correlation(thumbs, first, second) - expected).max() < 1e-5
