"""Wrong labels: by a rule, from a file, and what the history says of them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from calibench.errors import UserError
from calibench.finished import names, read
from calibench.training.labelnoise import NoiseCount, flipped, from_file, given_labels

from tests.training.conftest import contents, make_settings, start, train


def test_symmetric_noise_replaces_the_share_by_other_classes():
    targets = np.arange(10_000) % 10
    noisy = flipped(targets, 0.4, 10, seed=0)
    changed = noisy != targets
    assert abs(changed.mean() - 0.4) < 0.02
    pairs = pd.crosstab(targets[changed], noisy[changed]).to_numpy()
    assert (np.diag(pairs) == 0).all() and pairs[~np.eye(10, dtype=bool)].min() > 20


def test_pair_noise_takes_the_next_class():
    targets = np.arange(3000) % 3
    noisy = flipped(targets, 0.3, 3, seed=1, kind="pair")
    changed = noisy != targets
    assert abs(changed.mean() - 0.3) < 0.03 and (noisy[changed] == (targets[changed] + 1) % 3).all()
    assert (changed == (flipped(targets, 0.3, 3, seed=1) != targets)).all(), (
        "the same images as symmetric noise"
    )


def write(path, rows):
    pd.DataFrame(rows, columns=["filename", "label"]).to_csv(path, index=False)
    return path


NAMES = ["0.png", "1.png", "2.png"]


def test_labels_from_a_file_in_any_order(tmp_path):
    file = write(tmp_path / "n.csv", [("2.png", "b"), ("0.png", "b"), ("1.png", "a"), ("9.png", "a")])
    assert list(from_file(file, NAMES, ["a", "b"])) == [1, 0, 1]
    frame = pd.DataFrame({"filename": NAMES, "target": [0, 0, 1]})
    given, clean = given_labels(frame, ["a", "b"], {"label_noise": 0, "noise": str(file)}, seed=5)
    assert list(given) == [1, 0, 1] and list(clean) == [0, 0, 1]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([("0.png", "a"), ("1.png", "a")], "labels for 2 of 3 training images; '2.png' has none"),
        ([("0.png", "a"), ("1.png", "c"), ("2.png", "a")], "'1.png' has the label 'c', which is not a class"),
        ([("0.png", "a"), ("0.png", "b"), ("2.png", "a")], "'0.png' has two rows"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path, rows, sentence):
    with pytest.raises(UserError) as error:
        from_file(write(tmp_path / "n.csv", rows), NAMES, ["a", "b"])
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_counts():
    clean, given = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 1, 2, 2])
    count = NoiseCount(clean, given, [0] * 5)
    count.add(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 0]), given[:3])
    count.add(torch.tensor([3, 4]), torch.tensor([1, 2]), given[3:])
    assert count.line() == {
        "clean_error": 1 / 3,
        "flipped_error": 1 / 2,
        "flipped_fitted": 1 / 2,
        "flipped": 2,
    }


def test_history_of_a_noisy_run_and_its_resume(store, tmp_path):
    """Test error and noise are in the history; stopped in an epoch, the counts come back."""
    extras = {"epochs": 2, "watch_test": True, "snapshots": [2], "checkpoint_minutes": 1e-9}
    settings = make_settings("hard+noisy", train=extras)
    train(settings, store, tmp_path / "whole")
    process = start(settings, store, tmp_path / "parts")
    while not (tmp_path / "parts/checkpoint/state.pt").exists() and process.poll() is None:
        pass
    process.kill()
    process.communicate()
    train(settings, store, tmp_path / "parts")
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")
    wanted = ["test_top1", "clean_error", "flipped_error", "flipped_fitted", "flipped"]
    lines = [
        [{key: line[key] for key in wanted} for line in read.history_lines(tmp_path / run / names.HISTORY)]
        for run in ("whole", "parts")
    ]
    assert lines[0] == lines[1] and lines[0][0]["flipped"] > 10
    plain = make_settings("hard+noisy", train={"epochs": 2, "checkpoint_minutes": 1e-9})
    train(plain, store, tmp_path / "plain")
    quiet, watched = contents(tmp_path / "plain"), contents(tmp_path / "whole")
    assert {k: v for k, v in watched.items() if not k.startswith("snapshots")} == quiet, (
        "watching changes nothing"
    )
    logits = np.load(tmp_path / "whole" / names.snapshots("test"))
    assert logits.shape == (2, 15, 3)
    assert (logits[1] == np.load(tmp_path / "whole" / names.logits("last", "test"))).all()


def test_a_run_without_noise_has_no_noise_in_its_history(store, tmp_path):
    train(make_settings("hard", train={"epochs": 1}), store, tmp_path)
    line = json.loads((tmp_path / names.HISTORY).read_text())
    assert not {"test_top1", "clean_error", "flipped"} & set(line)
