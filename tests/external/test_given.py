"""Files of predictions as other programs write them, and what is wrong with some, in one sentence each."""

import numpy as np
import pandas as pd
import pytest
from calibench.errors import UserError
from calibench.external.given import read_given, same_images
from calibench.metrics.probabilities import softmax


@pytest.fixture
def predicted(rng):
    """Logits (12, 3) and labels."""
    return rng.normal(size=(12, 3)).astype(np.float32), np.arange(12) % 3


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("scores", ["probs", "probabilities", "y_prob"])
@pytest.mark.parametrize("labels", ["labels", "y_true", "target"])
def test_names_of_other_programs_mean_the_same(tmp_path, predicted, scores, labels):
    logits, targets = predicted
    path = save(tmp_path / "a.npz", **{scores: softmax(logits).astype(np.float16), labels: targets[:, None]})
    given = read_given(path)
    assert softmax(given.logits) == pytest.approx(softmax(logits), abs=1e-3)
    assert list(given.index["target"]) == list(targets) and set(given.index["part"]) == {"test"}
    assert given.classes == ["0", "1", "2"] and given.votes is None


def test_validation_may_be_a_part_or_arrays_of_its_own(tmp_path, predicted):
    logits, targets = predicted
    part = np.array(["val", "test"])[np.arange(12) // 6]
    one = read_given(
        save(tmp_path / "a.npz", logits=logits, labels=targets, split=part, groups=np.arange(12))
    )
    own = {"logits": logits[6:], "labels": targets[6:], "val_logits": logits[:6], "val_labels": targets[:6]}
    two = read_given(save(tmp_path / "b.npz", **own, val_groups=np.arange(6), groups=np.arange(6, 12)))
    order = np.r_[6:12, 0:6]
    assert (two.logits == one.logits[order]).all()
    for column in ("target", "group", "part"):
        assert list(two.index[column]) == list(one.index[column].iloc[order])
    assert list(one.index["part"]) == ["calibrate"] * 6 + ["test"] * 6


def test_a_csv_has_a_column_per_class_and_may_name_labels(tmp_path, predicted):
    logits, targets = predicted
    frame = pd.DataFrame(logits.astype(float), columns=["logit_cat", "logit_dog", "logit_owl"])
    votes = pd.DataFrame(1 + np.eye(3)[targets], columns=["votes_cat", "votes_dog", "votes_owl"])
    named = frame.assign(
        y_true=np.array(["cat", "dog", "owl"])[targets], filename=[f"{i}.png" for i in range(12)]
    )
    named.assign(patient=[f"p{i // 2}" for i in range(12)], stratum="").join(votes).to_csv(
        tmp_path / "a.csv", index=False
    )
    given = read_given(tmp_path / "a.csv")
    assert given.classes == ["cat", "dog", "owl"] and list(given.index["target"]) == list(targets)
    assert given.logits == pytest.approx(logits) and given.index["group"][3] == "p1"
    assert given.votes == pytest.approx((1 + np.eye(3)[targets]) / 4)


def test_one_score_per_image_is_that_of_class_1(tmp_path):
    score, labels = np.array([0.9, 0.2, 0.5]), np.array([True, False, True])
    from_probs = read_given(save(tmp_path / "a.npz", probs=score, labels=labels))
    from_logits = read_given(
        save(tmp_path / "b.npz", logits=np.log(score / (1 - score))[:, None], labels=labels)
    )
    for given in (from_probs, from_logits):
        assert softmax(given.logits)[:, 1] == pytest.approx(score) and list(given.index["target"]) == [
            1,
            0,
            1,
        ]


GOOD = {"probs": np.full((4, 2), 0.5), "labels": np.array([0, 1, 0, 1])}


def changed(name, row, value):
    array = np.array(GOOD[name])
    array[row] = value
    return {**GOOD, name: array}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (changed("probs", 2, [0.5, 0.6]), r"1 of 4 rows do not sum to 1 \(first: row 2, .* sum 1.1\)"),
        (changed("probs", 1, [np.nan, 0.5]), "1 of 4 rows hold NaN or infinity .first: row 1"),
        (changed("probs", 3, [1.5, -0.5]), "negative probability .first: row 3"),
        (changed("labels", 2, 7), "row 2 has target 7 but the logits have 2 classes"),
        (
            {**GOOD, "labels": np.array(["0", "1", "x", "1"])},
            "row 2 .from 0. has the label 'x', which is not a class",
        ),
        ({**GOOD, "labels": np.arange(3)}, "4 rows of logits but targets of shape .3,."),
        ({**GOOD, "groups": np.arange(3)}, "3 groups for 4 predictions"),
        ({**GOOD, "split": np.array(["test", "dev", "test", "test"])}, "row 1 .from 0. is of part 'dev'"),
        ({**GOOD, "classes": np.array(["a", "a"])}, "1 different class names for 2 classes"),
        ({**GOOD, "votes": np.zeros((4, 2))}, r"votes of row 0 are \[0.0, 0.0\]"),
        ({"logits": GOOD["probs"], "labels": GOOD["labels"]}, "if they are probabilities, call them probs"),
        (
            {"logits": np.array([[1.0, np.inf]] * 4), "labels": GOOD["labels"]},
            "4 of 4 rows hold NaN or infinity",
        ),
        ({"labels": GOOD["labels"]}, "has no logits or probs; it has labels"),
        ({"probs": GOOD["probs"]}, "has no labels; it has probs"),
        ({**GOOD, "y_true": GOOD["labels"]}, "both mean labels"),
        ({**GOOD, "val_labels": GOOD["labels"]}, "has no val_logits or val_probs"),
    ],
)
def test_what_cannot_be_measured_is_told_with_its_row(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message) as error:
        read_given(save(tmp_path / "bad.npz", **arrays))
    assert "bad.npz" in str(error.value)


def test_other_files_are_told(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "objects.npz", probs=GOOD["probs"], labels=np.array([{}], dtype=object))
    (tmp_path / "letters.csv").write_text("prob_a,prob_b,label\n.5,x,a\n")
    for name in ("missing.npz", "text.npz", "objects.npz", "letters.csv"):
        with pytest.raises(UserError, match=name):
            read_given(tmp_path / name)


def test_images_are_matched_by_name_or_must_stand_in_the_same_order(tmp_path, predicted):
    logits, targets = predicted
    names, turned = np.array([f"{i}.png" for i in range(12)]), np.arange(12)[::-1]
    first = read_given(save(tmp_path / "a.npz", logits=logits, labels=targets, filename=names))
    other = read_given(
        save(tmp_path / "b.npz", logits=logits[turned], labels=targets[turned], filename=names[turned])
    )
    assert (same_images([first, other])[1].logits == logits).all()
    plain = [
        read_given(save(tmp_path / f"{i}.npz", logits=logits[o], labels=targets[o]))
        for i, o in enumerate((turned[::-1], turned))
    ]
    with pytest.raises(UserError, match="1.npz: row 0 .from 0. has target '2' but '0' in .*0.npz"):
        same_images(plain)
    fewer = read_given(save(tmp_path / "c.npz", logits=logits[1:], labels=targets[1:], filename=names[1:]))
    with pytest.raises(UserError, match="c.npz lacks the image '0.png' .row 0"):
        same_images([first, fewer])
    with pytest.raises(UserError, match="a.npz has the image '0.png', which .*c.npz lacks"):
        same_images([fewer, first])
    with pytest.raises(UserError, match="11 images and .* 12"):
        same_images([plain[0], fewer])
    two = read_given(save(tmp_path / "d.npz", logits=logits[:, :2], labels=targets % 2))
    with pytest.raises(UserError, match="other classes"):
        same_images([first, two])
