"""What is special about RadImageNet: the names of its lists, and the strata in its paths.

Layout (Mei et al. 2022): ``radiology_ai/{CT,MR}/<anatomy>/<pathology>/<file>.png``, and for ultrasound one level
less: ``radiology_ai/US/<organ>/usnNNNNNN.png``. Patient ids are not released.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # planning imports this module and must start without pandas
    import pandas as pd

LISTS = {split: f"RadiologyAI_{split}.csv" for split in ("train", "val", "test")}
MODALITIES = ("CT", "MR", "US")
ACCESS = "access is granted on request at https://www.radimagenet.com"


def _stratum(folder: str) -> str:
    parts = folder.split("/")
    for modality, anatomy in zip(parts, parts[1:], strict=False):
        if modality in MODALITIES:
            return f"{modality}/{anatomy}"
    return ""


def strata(filenames: pd.Series) -> pd.Series:
    """``modality/anatomy`` of each path (``CT/abd``, ``US/liver``), ``''`` where the path does not contain it."""
    # many images, few folders
    codes, folders = filenames.str.replace(r"/?[^/]*$", "", regex=True).factorize()
    return folders.map(_stratum).take(codes).to_series(index=filenames.index).astype("str")
