"""How long all measures, 1,000 group resamples and 1,000 null draws take on one set of predictions.

    python benchmarks/metrics.py --images 130000 --classes 165

Aim: 10 s on 2 cores. Prints one line per part.
"""

import argparse
import time

import numpy as np
from calibench.metrics import Predictions, measure_all
from calibench.metrics.debiased import null_distribution
from calibench.statistics.resampling import Sums, bootstrap


def main() -> None:
    """Make logits, time each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=130_000)
    parser.add_argument("--classes", type=int, default=165)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--group-size", type=int, default=1, help="images per group")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    targets = rng.integers(0, args.classes, args.images)
    logits = (2 * rng.normal(size=(args.images, args.classes))).astype(np.float32)
    logits[np.arange(args.images), targets] += 6
    codes = np.arange(args.images) // args.group_size
    import scipy.sparse  # noqa: F401  (its import is not what is measured)
    import threadpoolctl  # noqa: F401

    seen = Predictions.of(logits, targets)
    parts = {
        "all measures": lambda: measure_all(seen),
        f"{args.resamples} resamples": lambda: bootstrap(Sums(seen, codes), args.resamples, seed=0),
        f"{args.resamples} null draws": lambda: null_distribution(seen.confidence, args.resamples, seed=0),
    }
    total = 0.0
    for name, work in parts.items():
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        total += seconds
        print(f"{name:20s} {seconds:6.2f} s")
    print(f"{'total':20s} {total:6.2f} s  ({args.images:,} × {args.classes})")


if __name__ == "__main__":
    main()
