"""The names of all files of a finished run, relative to its folder."""

from collections.abc import Iterable
from typing import Any

KEYS = ["dataset", "backbone", "regime", "variant", "seed"]  # identify a run
CHECKPOINTS = ("top1", "nll", "last")  # best validation Top-1, best validation NLL, last epoch
REFINED = "refined"  # best validation NLL after temperature scaling; kept only if it is asked for
PARTS = {"val": ("select", "calibrate"), "test": ("test",)}  # a file of predictions and the parts in it
FEATURE_SPLITS = ("train", "val", "test")
INDEX_COLUMNS = ["row", "target", "part", "group", "stratum"]  # which image each row of logits is
RECORD = "run.json"
HISTORY = "history.jsonl"
STATE = "regime.safetensors"
SET = "test@"  # start of the names of evaluation sets other than test


def run_folder(experiment: str, dataset: str, backbone: str, run: str, seed: int | str) -> str:
    """Folder of a run, where ``run`` is its regime with its variants."""
    return f"{experiment}/{dataset}/{backbone}/{run}/seed{seed}"


def kept(refined: bool) -> tuple[str, ...]:
    """The checkpoints of a run whose settings ask for the refined one, or do not."""
    return (*CHECKPOINTS, REFINED) if refined else CHECKPOINTS


def weights(checkpoint: str) -> str:
    """Weights of the network at a checkpoint."""
    return f"weights/{checkpoint}.safetensors"


def index(split: str) -> str:
    """The image of each row of the logits of ``split``: row, target, part, group, stratum."""
    return f"predictions/{split}.csv"


def logits(checkpoint: str, split: str) -> str:
    """Logits (N, K) float32 of a checkpoint on ``split``."""
    return f"predictions/{checkpoint}/{split}.npy"


def features(split: str) -> str:
    """Penultimate features (N, D) float16 of some images of ``split``."""
    return f"features/{split}.npy"


def features_index(split: str) -> str:
    """The image of each row of the features: row, target."""
    return f"features/{split}.csv"


def parts_of(split: str) -> tuple[str, ...]:
    """The parts in the files of a split; an evaluation set has one part with its own name."""
    return (split,) if split.startswith(SET) else PARTS[split]


def snapshots(split: str) -> str:
    """Logits (M, N, K) float32 of M epochs on ``split``."""
    return f"snapshots/{split}.npy"


def logits_of_training(checkpoint: str) -> str:
    """Logits (N, K) float32 of the training images, made only if a figure needs them."""
    return f"training/{checkpoint}.npy"


def split_of(part: str) -> str:
    """The split whose files contain a part: ``select`` is in ``val``."""
    if part.startswith(SET):
        return part
    return next(split for split, parts in PARTS.items() if part in parts)


def set_files(checkpoint: str, sets: Iterable[str]) -> list[str]:
    """Index files and logits of a checkpoint on evaluation sets other than test."""
    return [file for split in sets for file in (index(split), logits(checkpoint, split))]


def all_weights(checkpoints: Iterable[str] = CHECKPOINTS) -> list[str]:
    """Weights of every checkpoint."""
    return [weights(checkpoint) for checkpoint in checkpoints]


def all_predictions(checkpoints: Iterable[str] = CHECKPOINTS) -> list[str]:
    """Index files and logits of every checkpoint and split."""
    found = [index(split) for split in PARTS]
    return found + [logits(checkpoint, split) for checkpoint in checkpoints for split in PARTS]


def all_features(kept: bool) -> list[str]:
    """Feature files; none if the run keeps no features."""
    splits = FEATURE_SPLITS if kept else ()
    return [name(split) for split in splits for name in (features, features_index)]


def all_snapshots(kept: bool) -> list[str]:
    """Logits of several epochs; none if the run keeps none."""
    return [snapshots(split) for split in PARTS if kept]


def all_files(features_kept: bool, snapshots_kept: bool = False, refined: bool = False) -> list[str]:
    """All files of a finished run; the last one is the record, which is written last."""
    extras = [*all_features(features_kept), *all_snapshots(snapshots_kept)]
    checkpoints = kept(refined)
    return [*all_weights(checkpoints), STATE, *all_predictions(checkpoints), *extras, HISTORY, RECORD]


def files_of(train: dict[str, Any]) -> list[str]:
    """All files of a finished run with these settings of training."""
    return all_files(bool(train["features"]), bool(train.get("snapshots")), bool(train.get(REFINED)))
