"""What is particular to RadImageNet: the names of its lists and what its paths tell.

Layout (Mei et al. 2022): ``radiology_ai/{CT,MR}/<anatomy>/<pathology>/<file>.png``, one level less under
ultrasound: ``radiology_ai/US/<organ>/usnNNNNNN.png``. Patient ids are not released.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    """``modality/anatomy`` of each path (``CT/abd``, ``US/liver``), ``''`` where the path does not tell."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    folders = pc.replace_substring_regex(pa.chunked_array(pa.array(filenames)), r"/?[^/]*$", "")
    coded = folders.dictionary_encode().combine_chunks()  # few folders hold many images
    names = pa.array([_stratum(folder) for folder in coded.dictionary.to_pylist()], pa.string())
    return pd.Series(names.take(coded.indices).to_pandas(), dtype="str").set_axis(filenames.index)
