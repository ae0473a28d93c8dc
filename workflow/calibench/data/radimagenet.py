"""What is particular to RadImageNet: the names of its lists and what its paths tell.

Layout (Mei et al. 2022): ``radiology_ai/{CT,MR}/<anatomy>/<pathology>/<file>.png``, one level less under
ultrasound: ``radiology_ai/US/<organ>/usnNNNNNN.png``. Patient ids are not released.
"""

from collections.abc import Iterable

FILES = {split: f"RadiologyAI_{split}.csv" for split in ("train", "val", "test")}
MODALITIES = ("CT", "MR", "US")
ACCESS = "access is granted on request at https://www.radimagenet.com"


def _stratum(folder: str) -> str:
    parts = folder.split("/")
    for modality, anatomy in zip(parts, parts[1:], strict=False):
        if modality in MODALITIES:
            return f"{modality}/{anatomy}"
    return ""


def strata(filenames: Iterable[str]) -> list[str]:
    """``modality/anatomy`` of each path (``CT/abd``, ``US/liver``), ``''`` where the path does not tell."""
    cache: dict[str, str] = {}
    result = []
    for filename in filenames:
        folder = filename[: filename.rfind("/") + 1].rstrip("/")
        if folder not in cache:
            cache[folder] = _stratum(folder)
        result.append(cache[folder])
    return result
