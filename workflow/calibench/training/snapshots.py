"""Keep the logits of some epochs during training, next to the checkpoint until the run is finished."""

from pathlib import Path

import numpy as np

from calibench.data.batches import Images
from calibench.files import save_npy
from calibench.finished import names
from calibench.finished.snapshots import all_epochs, write_snapshots
from calibench.training.checkpoint import CheckpointFolder
from calibench.training.predicting import predict_split
from calibench.training.step import Job


class Snapshots:
    """The snapshots of one run; ``folder`` has the logits of the epochs until :meth:`finish`."""

    def __init__(self, settings: dict, splits: dict[str, Images], folder: CheckpointFolder) -> None:
        train = settings["train"]
        self.epochs = all_epochs(train.get("snapshots"), train["epochs"])
        self.settings, self.splits, self.folder = settings, splits, folder

    def _file(self, epoch: int, split: str) -> Path:
        return self.folder.folder / f"snapshot-{epoch:06d}-{split}.npy"

    def take(self, job: Job, epoch: int) -> None:
        """Write the logits if this epoch is one to keep, without autocast, like all stored predictions."""
        if epoch in self.epochs:
            for split in names.PARTS:
                logits = predict_split(job.model, self.splits[split], self.settings)[1]
                save_npy(self._file(epoch, split), logits.numpy().astype(np.float32))

    def finish(self, out: Path) -> None:
        """Write all of them as outputs of the run; UserError if one is missing."""
        for split in names.PARTS if self.epochs else ():
            files = [self._file(epoch, split) for epoch in self.epochs]
            for file in files:
                if not file.is_file():
                    raise self.folder.unusable("a snapshot is missing", file)
            write_snapshots(out, split, files)
