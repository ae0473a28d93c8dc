"""scikit-learn's handwritten digits as PNG files and lists, the data of the demo.

1,797 real scans, 8x8 pixels with 17 grey levels (Alpaydin and Kaynak 1998, UCI Optical Recognition of
Handwritten Digits, CC BY 4.0). They come with scikit-learn, so nothing is downloaded. They are written as files, so
that the demo takes the same way as RadImageNet. The writers are unknown: one writer may be in two splits.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from calibench.data import splitting
from calibench.errors import UserError
from calibench.files import write_csv

SHARES = {"test": 597 / 1797, "val": 400 / 1797}  # leaves 800 for train


def write(root: Path, seed: int = 0) -> pd.DataFrame:
    """Write ``root/digits/*.png`` and ``root/{train,val,test}.csv``; the same arguments give the same bytes.

    Returns the frame filename, label, split. UserError if the folder cannot be written.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = [f"digits/{i:04d}.png" for i in range(len(digits.target))]
    try:
        (root / "digits").mkdir(parents=True, exist_ok=True)
        for name, image in zip(names, digits.images, strict=True):
            grey = np.rint(image * (255 / 16)).astype(np.uint8)  # values are 0 to 16
            png = cv2.imencode(".png", grey, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
            (root / name).write_bytes(png.tobytes())
    except OSError as error:
        raise UserError(f"cannot write {root}: {error.strerror or error}") from error
    frame = pd.DataFrame({"filename": names, "label": [f"digit-{t}" for t in digits.target]})
    frame["split"] = splitting.split(digits.target, [""] * len(names), names, SHARES, seed)
    for split in ("train", "val", "test"):
        write_csv(frame.loc[frame["split"] == split, ["filename", "label"]], root / f"{split}.csv")
    return frame
