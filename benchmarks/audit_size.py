"""What an audit of many images costs beyond reading them: seconds of the search, and the memory of the whole stage.

python benchmarks/audit_size.py             100,000 generated images
python benchmarks/audit_size.py 1354886     as many as RadImageNet has

The images are made instead of read: 165 classes in 14 regions, ten slices to a series, every 50th image a brighter copy of
the one before. Two of them are about as alike as two images of a real collection (the quantiles are printed).
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]

REGIONS, CLASSES, SLICES, COPY = 14, 165, 10, 50
SIDE, WAVES, NOISE = 32, 8, 1 << 20


class Made:
    """Images as a pure function of their number; a reader of the audit."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        points, waves = np.arange(SIDE), np.arange(WAVES)
        self.basis = np.cos(np.pi * (2 * points[:, None] + 1) * waves / (2 * SIDE)).astype(np.float32)
        self.fall = (1 / (1 + waves[:, None] ** 2 + waves**2)).astype(np.float32)  # natural images: 1/f²
        self.common = self._waves(draw)
        self.region = np.stack([self._waves(draw) for _ in range(REGIONS)])
        self.label = np.stack([self._waves(draw) for _ in range(CLASSES)])
        self.noise = draw.standard_normal(NOISE).astype(np.float32)

    def _waves(self, draw: np.random.Generator) -> np.ndarray:
        return draw.standard_normal((WAVES, WAVES)).astype(np.float32) * self.fall

    def _texture(self, number: int) -> np.ndarray:
        begin = number * 7919 % (NOISE - SIDE * SIDE)
        return self.noise[begin : begin + SIDE * SIDE].reshape(SIDE, SIDE)

    def read(self, name: str) -> np.ndarray:
        """(32, 32) uint8."""
        number = int(name)
        if number % COPY == COPY - 1:
            return np.clip(self.read(str(number - 1)) * 1.1, 0, 255).astype(np.uint8)
        series, place = divmod(number, SLICES)
        draw = np.random.default_rng(series)
        k = series % CLASSES
        form = self.common + 0.7 * self.region[k % REGIONS] + 0.3 * self.label[k] + 0.55 * self._waves(draw)
        form = form + 0.02 * (place - SLICES / 2) * self._waves(draw)
        texture = 0.9 * self._texture(series) + 0.4 * self._texture(number)
        image = 110 + 45 * self.basis @ form @ self.basis.T + 8 * texture
        return np.clip(image, 0, 255).astype(np.uint8)


def quantiles(made: Made, count: int) -> list[float]:
    """Correlation of the forms of two images: its median, 90, 99 and 99.9 %."""
    from calibench.data.prints import forms

    numbers = np.random.default_rng(1).choice(count, 2000, replace=False)
    form = forms(np.stack([made.read(str(i)) for i in numbers]).astype(np.float32)).astype(np.float32)
    pairs = (form @ form.T)[np.triu_indices(len(form), 1)]
    return np.quantile(pairs, [0.5, 0.9, 0.99, 0.999]).round(3).tolist()


def measure(count: int, threads: int) -> dict[str, Any]:
    """Audit so many images: seconds, memory, and how many of the planted copies were found."""
    from calibench.data import auditing as audit
    from calibench.planning.configuration import dataset_settings

    made = Made()
    number = np.arange(count)
    target = number // SLICES % CLASSES
    frame = pd.DataFrame(
        {
            "filename": number.astype(str),
            "label": pd.Series([f"class {k}" for k in range(CLASSES)])[target].to_numpy(),
            "target": target,
            "split": np.array(["train", "val", "test"])[
                np.searchsorted([75, 85], number % 100, side="right")
            ],
            "group": "",
            "stratum": "",
            "drawn": "0",
        }
    )
    read: list[float] = []
    take = audit.take_prints

    def timed(*args: Any) -> Any:
        prints = take(*args)
        read.append(time.process_time())
        return prints

    audit.take_prints = timed  # to tell reading from what comes after it
    table, audited, report = audit.audit(
        frame, dataset_settings(json.dumps({"name": "made"}))[0], made, threads
    )
    beyond = time.process_time() - read[0]
    copies = table["copies"].to_numpy()
    planted = number[number % COPY == COPY - 1]
    return {
        "images": count,
        "form_correlation": quantiles(made, count),
        "seconds_reading": report["seconds"],
        "cpu_seconds_after_reading": round(beyond, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "pairs": report["copy"]["pairs"] + report["series"]["pairs"],
        "series_found": report["series"]["images"],
        "planted_found": float(((copies[planted] != "") & (copies[planted] == copies[planted - 1])).mean()),
        "kept": len(audited),
    }


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="?", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    for name, value in measure(args.images, args.threads).items():
        print(f"{name:25} {value}", flush=True)


if __name__ == "__main__":
    main()
