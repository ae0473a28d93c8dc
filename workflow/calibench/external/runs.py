"""Predictions of other programs written as a finished run: what has no network, no features and no history."""

from pathlib import Path
from typing import Any

import numpy as np

from calibench import files
from calibench.errors import UserError
from calibench.external.given import Given
from calibench.finished import names

VOTES = "votes.npy"  # (N, K) shares of the votes on the test images, beside the record if the file had votes


def write_external(
    folder: Path, given: Given, run: dict[str, Any], checkpoints: tuple[str, ...], source: Path
) -> None:
    """Write the files that everything behind the predictions reads; the network is finished, so every checkpoint is it.

    Args:
        folder: of the run.
        given: its predictions; ``index`` may name rows of a store, else images are numbered.
        run: its keys.
        checkpoints: under which its logits are found.
        source: the file it was read from.

    Raises:
        UserError: if no image is of part test.
    """
    if not (given.index["part"] == "test").any():
        raise UserError(f"{given.where}: no image is of part test")
    index = given.index.assign(row=given.index.get("row", np.arange(len(given.index))))
    for split, parts in names.PARTS.items():
        mask = index["part"].isin(parts).to_numpy()
        files.write_csv(index.loc[mask, names.INDEX_COLUMNS], folder / names.index(split))
        for checkpoint in checkpoints:
            files.save_npy(folder / names.logits(checkpoint, split), given.logits[mask])
    record = {
        "run": run,
        "settings": {},
        "external": {"file": str(source), "sha256": files.sha256_of(source)},
    }
    files.write_json(folder / names.RECORD, record)
