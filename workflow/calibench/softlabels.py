"""The label a regime trains against, one row per class, where it has one that is the same for all images of a class."""

from typing import Any

import numpy as np


def soft_labels(
    regime: str, settings: dict[str, Any], state: dict[str, np.ndarray], k: int
) -> np.ndarray | None:
    """Training targets (K, K) float64 of a finished run, row = class of the image; None where it has none.

    OLS and its controls: α·onehot + (1-α)·S (with ``weights: sum`` half of each), S of the last epoch. LS++ and its
    proxy teacher: (1-α)·onehot + α·C. LS and ``ls_matched``: (1-ε)·onehot + ε/K.

    Args:
        regime: its name.
        settings: of the regime, from ``run.json``.
        state: buffers of ``regime.safetensors``.
        k: number of classes K.
    """
    hot = np.eye(k)
    if regime == "hard":
        return hot
    if regime in ("ls", "ls_matched"):
        eps = float(settings["eps"] if regime == "ls" else state["eps"])
        return (1 - eps) * hot + eps / k
    if "matrix" not in state or "alpha" not in settings:
        return None
    matrix, alpha = state["matrix"].astype(np.float64), settings["alpha"]
    if regime in ("lspp", "pt_lspp"):
        return (1 - alpha) * hot + alpha * matrix
    hard = 0.5 if settings.get("weights") == "sum" else alpha
    return hard * hot + (1 - hard) * matrix
