"""How well the audit finds copies: a folder of images, known edits of some of them, and what is found of these.

python benchmarks/likeness.py FOLDER        prints a table for docs/data.md

Each edit is applied to the same images, drawn by a seed, and the edited ones are put beside all images of the folder.
recall        share of the edited images that are joined with their original: as a copy, and at any level
wrong copies  of the pairs "edited image, other image" called copies: those whose originals are not called copies
wrong         of the pairs "edited image, other image" found at any level: those whose originals are not alike at any level
The folder's own pairs say how often likeness crosses its subfolders: different classes are no copies and no series.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow")]

from calibench.data import near, prints  # noqa: E402
from calibench.data.readers import FolderReader  # noqa: E402
from calibench.planning.configuration import dataset_settings  # noqa: E402

Edit = Callable[[np.ndarray], np.ndarray]
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pgm"}


def brighter(image: np.ndarray) -> np.ndarray:
    """15 % brighter; what is too bright is cut."""
    return np.clip(image * 1.15, 0, 255).astype(np.uint8)


def contrast(image: np.ndarray) -> np.ndarray:
    """30 % more contrast about the middle grey, cut at both ends."""
    return np.clip((image - 128.0) * 1.3 + 128, 0, 255).astype(np.uint8)


def gamma(image: np.ndarray) -> np.ndarray:
    """The dark parts lifted: gamma 0.7."""
    return (255 * (image / 255.0) ** 0.7).astype(np.uint8)


def equalised(image: np.ndarray) -> np.ndarray:
    """Contrast-limited histogram equalisation (CLAHE, limit 2, 8x8 tiles)."""
    return cv2.createCLAHE(2.0, (8, 8)).apply(image)


def sharper(amount: float) -> Edit:
    """Unsharp mask with a radius of 1/150 of the height."""

    def edit(image: np.ndarray) -> np.ndarray:
        blurred = cv2.GaussianBlur(image, (0, 0), max(0.5, image.shape[0] / 150))
        return cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)

    return edit


def jpeg(quality: int) -> Edit:
    """Saved as JPEG once more."""
    return lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


def shrunk(image: np.ndarray) -> np.ndarray:
    """Half as wide and high."""
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def cropped(share: float) -> Edit:
    """A border cut off, ``share`` of each side's length in all, and scaled up again."""

    def edit(image: np.ndarray) -> np.ndarray:
        h, w = image.shape
        top, left = (max(1, round(n * share / 2)) for n in (h, w))
        return cv2.resize(image[top : h - top, left : w - left], (w, h), interpolation=cv2.INTER_LINEAR)

    return edit


def moved(shift: float = 0, degrees: float = 0) -> Edit:
    """Shifted right and down by a share of the sides, or turned about the middle; the border is repeated."""

    def edit(image: np.ndarray) -> np.ndarray:
        h, w = image.shape
        matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), degrees, 1)
        matrix[:, 2] += max(1, round(w * shift)) * (shift > 0), max(1, round(h * shift)) * (shift > 0)
        return cv2.warpAffine(image, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)

    return edit


EDITS: dict[str, Edit] = {
    "brightness +15 %": brighter,
    "contrast +30 %": contrast,
    "gamma 0.7": gamma,
    "CLAHE": equalised,
    "sharpening, amount 1": sharper(1),
    "sharpening, amount 2": sharper(2),
    "JPEG, quality 50": jpeg(50),
    "JPEG, quality 20": jpeg(20),
    "half the size": shrunk,
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "crop of 2 %": cropped(0.02),
    "crop of 4 %": cropped(0.04),
    "shift by 1 %": moved(shift=0.01),
    "shift by 2 %": moved(shift=0.02),
    "rotation by 1°": moved(degrees=1),
    "rotation by 2°": moved(degrees=2),
    "rotation by 5°": moved(degrees=5),
    "rotation by 90°": lambda image: np.ascontiguousarray(np.rot90(image)),
    "upside down": lambda image: np.ascontiguousarray(image[::-1]),
}


class Images:
    """Images in memory, as a reader of the audit."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self.images = images

    def read(self, name: str) -> np.ndarray:
        """The image of that number."""
        return self.images[int(name)]


def take_prints(images: list[np.ndarray]) -> prints.Prints:
    """Prints as the audit makes them."""
    return prints.take_prints(Images(images), [str(i) for i in range(len(images))], None, 1)


def pairs_of(*parts: prints.Prints) -> tuple[near.Pairs, np.ndarray]:
    """Similar images among all parts, and which of the pairs are copies."""
    audit = dataset_settings("{}")[0]["audit"]
    form, detail = (np.concatenate([getattr(p, name) for p in parts]) for name in ("form", "detail"))
    found = near.pairs(form, detail, np.arange(len(form)), audit["series_correlation"])
    return found, found.likeness >= audit["copy_correlation"]


def codes(first: np.ndarray, second: np.ndarray, n: int) -> np.ndarray:
    """One number per unordered pair."""
    return np.minimum(first, second) * n + np.maximum(first, second)


def measure(own: prints.Prints, edited: prints.Prints, chosen: np.ndarray) -> list[str]:
    """Cells of one edit: recall as a copy, recall at any level, wrong copies, wrong at any level."""
    n = len(own.content)
    found, copy = pairs_of(own, edited)
    known = [
        codes(found.first[link], found.second[link], n)
        for link in (copy & (found.second < n), found.second < n)
    ]
    joined = (found.first < n) & (found.second >= n)
    original, other = chosen[found.second[joined] - n], found.first[joined]
    right = original == other
    cells = []
    for level in (copy[joined], np.ones(joined.sum(), bool)):
        cells.append(f"{100 * (right & level).sum() / len(chosen):.1f} %")
    for level, sure in zip((copy[joined], np.ones(joined.sum(), bool)), known, strict=True):
        pairs = ~right & level
        wrong = ~np.isin(codes(original[pairs], other[pairs], n), sure)
        cells.append(f"{wrong.sum()} of {level.sum()}")
    return cells


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="images, in subfolders by class")
    parser.add_argument("--edited", type=int, default=1000, help="images that are edited")
    args = parser.parse_args()
    files = sorted(
        p.relative_to(args.folder).as_posix() for p in args.folder.rglob("*") if p.suffix.lower() in SUFFIXES
    )
    if len(files) < args.edited:
        parser.error(f"{args.folder} has {len(files)} images; give more, or a smaller --edited")
    reader = FolderReader(args.folder)
    images = [prints.to_colour(prints.to_uint8(reader.read(name), None), "grey") for name in files]
    own = take_prints(images)
    chosen = np.sort(np.random.default_rng(0).choice(len(files), args.edited, replace=False))
    found, copy = pairs_of(own)
    folders = np.array([name.rpartition("/")[0] for name in files])
    across = folders[found.first] != folders[found.second]
    print(f"{len(files)} images, {args.edited} of them edited.")
    for name, link in (("copies", copy), ("series", ~copy)):
        print(
            f"Own pairs, {name}: {link.sum()}, across subfolders {(across & link).sum()}; flipped {((found.flip > 0) & link).sum()}."
        )
    print(
        "\n| edit | recall as a copy | at any level | wrong copies | wrong at any level |\n|---|---|---|---|---|"
    )
    for name, edit in EDITS.items():
        cells = measure(own, take_prints([edit(images[i]) for i in chosen]), chosen)
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
