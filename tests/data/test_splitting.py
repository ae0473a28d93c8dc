"""Seeded choices: shares, groups, independence of row order."""

import numpy as np
from calibench.data import splitting
from hypothesis import given, settings
from hypothesis import strategies as st

labels_and_groups = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 15)), min_size=2, max_size=120)


def arrays(rows):
    labels = np.array([label for label, _ in rows])
    groups = np.array(["" if g > 9 else f"p{g}" for _, g in rows], dtype=object)
    return labels, groups, np.array([f"{i}.png" for i in range(len(rows))], dtype=object)


@settings(deadline=None, max_examples=60)
@given(labels_and_groups, st.integers(0, 5), st.sampled_from([0.1, 0.5, 0.8]))
def test_no_group_is_parted_and_order_does_not_matter(rows, seed, share):
    labels, groups, names = arrays(rows)
    held = splitting.cut(labels, groups, names, share, seed, "t")
    for group in set(groups) - {""}:
        assert held[groups == group].all() or not held[groups == group].any()
    order = np.random.default_rng(seed).permutation(len(rows))
    again = splitting.cut(labels[order], groups[order], names[order], share, seed, "t")
    assert (again == held[order]).all()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=200), st.floats(0, 1), st.integers(0, 9))
def test_single_images_are_stratified_to_one(labels, share, seed):
    labels = np.array(labels)
    names = [f"{i}" for i in range(len(labels))]
    held = splitting.cut(labels, [""] * len(labels), names, share, seed, "t")
    for k in set(labels):
        assert abs(held[labels == k].sum() - share * (labels == k).sum()) < 1 + 1e-6
    assert abs(held.sum() - share * len(labels)) < 1 + 1e-6


def test_groups_of_a_realistic_size_come_near_the_share():
    rng = np.random.default_rng(0)
    patient = np.sort(rng.integers(0, 400, 4000))
    labels = (patient % 5 + (rng.random(4000) < 0.2)).astype(int)
    groups = np.array([f"p{p}" for p in patient], dtype=object)
    held = splitting.cut(labels, groups, [str(i) for i in range(4000)], 0.25, 1, "t")
    for k in range(6):
        assert abs(held[labels == k].mean() - 0.25) < 0.02
    assert (held != splitting.cut(labels, groups, [str(i) for i in range(4000)], 0.25, 2, "t")).any()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=100), st.integers(1, 20), st.integers(0, 3))
def test_cap_is_nested_and_exact(labels, cap, seed):
    labels = np.array(labels)
    names = [f"{i}" for i in range(len(labels))]
    keep = splitting.cap(labels, names, cap, seed)
    assert (np.bincount(labels[keep], minlength=5) == np.minimum(np.bincount(labels, minlength=5), cap)).all()
    assert not (splitting.cap(labels, names, max(1, cap - 1), seed) & ~keep).any()
    order = np.random.default_rng(seed).permutation(len(labels))
    assert (splitting.cap(labels[order], [names[i] for i in order], cap, seed) == keep[order]).all()


@settings(deadline=None, max_examples=40)
@given(labels_and_groups, st.integers(0, 5))
def test_every_class_stays_in_train(rows, seed):
    labels, groups, names = arrays(rows)
    parts = splitting.split(labels, groups, names, {"test": 0.3, "val": 0.3}, seed)
    assert set(labels[parts == "train"]) == set(labels)
    for group in set(groups) - {""}:
        assert len(set(parts[groups == group])) == 1


def test_keys_never_change():
    # Published samples hang on these numbers.
    assert splitting.keys(["a.png"], 0, "sample").tolist() == [12620859123461991017]
