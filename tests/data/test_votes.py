"""Votes of readers in the order of a store."""

import numpy as np
import pandas as pd
import pytest
from calibench.data.votes import read_votes
from calibench.errors import UserError
from calibench.stages import votes as stage

INDEX = pd.DataFrame(
    {"row": range(4), "filename": ["test/000002", "train/000000", "test/000000", "val/000001"]}
).assign(part=["test", "train", "test", "select"])


def test_an_array_is_in_the_order_of_the_test_images(tmp_path):
    np.save(tmp_path / "v.npy", np.array([[5, 0], [9, 9], [1, 4]]))
    found = read_votes(tmp_path / "v.npy", INDEX, ["a", "b"])
    assert found[[0, 2]].tolist() == [[1, 4], [5, 0]] and np.isnan(found[[1, 3]]).all()


def test_a_table_names_images_and_classes(tmp_path):
    for columns in ("votes_b,votes_a", "b,a"):
        (tmp_path / "v.csv").write_text(
            f"filename,label,{columns}\ntest/000000,a,1,6\nother.png,b,3,3\ntest/000002,a,,\n"
        )
        found = read_votes(tmp_path / "v.csv", INDEX, ["a", "b"])
        assert found[2].tolist() == [6, 1] and np.isnan(found[[0, 1, 3]]).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.csv", "filename,votes_a\nx,1\n", "lacks the column 'votes_b'"),
        ("v.csv", "image,votes_a,votes_b\nx,1,1\n", "lacks the column 'filename'"),
        ("v.csv", "filename,votes_a,votes_b\nx,1,1\n", "names no image"),
        ("v.npy", np.ones((2, 2)), r"shape .2, 2.; 2 classes and 3 or more test images"),
        ("v.npy", np.ones((3, 5)), "shape"),
        ("v.npy", "no array", "not a complete .npy"),
    ],
)
def test_files_that_do_not_fit_are_told(tmp_path, name, content, message):
    path = tmp_path / name
    np.save(path, content) if isinstance(content, np.ndarray) else path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_votes(path, INDEX, ["a", "b"])


def test_an_array_needs_numbered_images(tmp_path):
    np.save(tmp_path / "v.npy", np.ones((3, 2)))
    with pytest.raises(UserError, match="give a CSV with filename"):
        read_votes(tmp_path / "v.npy", INDEX.assign(filename=["a.png"] * 4), ["a", "b"])


def test_the_stage_writes_a_row_per_row_of_the_store(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((4, 2, 2, 1), np.uint8))
    INDEX.assign(label="a", target=0, split="test", group="", stratum="").to_csv(
        tmp_path / "index.csv", index=False
    )
    (tmp_path / "classes.csv").write_text("target,label\n0,a\n1,b\n")
    file = tmp_path / "v.csv"
    arguments = [str(file), "--images", str(tmp_path / "images.npy"), "--out", str(tmp_path / "votes.npy")]
    file.write_text("filename,a,b\ntest/000000,2,1\n")
    stage.main(arguments)
    assert np.load(tmp_path / "votes.npy")[2].tolist() == [2, 1]
    file.write_text("filename,a,b\ntest/000000,0,0\n")
    with pytest.raises(UserError, match="votes of row 2"):
        stage.main(arguments)
