"""The embedded demo data: real files, deterministic bytes, readable by the ordinary stages."""

import json

import cv2
import numpy as np
from calibench.data import listing
from calibench.planning.configuration import dataset_settings
from calibench.stages import digits as digits_stage
from sklearn.datasets import load_digits


def test_digits_are_lists_and_files(tmp_path):
    digits_stage.main(["--out", str(tmp_path / "one")])
    digits_stage.main(["--out", str(tmp_path / "two")])
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 1797 + 3
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    image = cv2.imread(str(tmp_path / "one/digits/0003.png"), cv2.IMREAD_UNCHANGED)
    assert (image == np.rint(load_digits().images[3] * 255 / 16)).all()

    files = {s: f"{s}.csv" for s in ("train", "val", "test")}
    given = {"root": str(tmp_path / "one"), "files": files}
    frame, classes = listing.load(dataset_settings(json.dumps(given))[0])
    assert classes[["train", "val", "test"]].sum().tolist() == [800, 400, 597]
    assert classes["train"].min() >= 75
    assert (frame["target"].to_numpy() == load_digits().target[frame["filename"].str[7:11].astype(int)]).all()
