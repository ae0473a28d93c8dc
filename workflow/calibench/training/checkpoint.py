"""The resume checkpoint of a run: everything needed to go on bit for bit, and a lock against a second trainer.

It lives in ``<run>/checkpoint/``, which is no output of the workflow: Snakemake deletes declared outputs before it
starts a job again, and these files must survive that.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from calibench.errors import UserError
from calibench.files import atomic_path, canonical, read_json

log = logging.getLogger(__name__)
OUTPUT_FOLDERS = ("weights", "predictions", "features")


def settings_hash(settings: dict[str, Any]) -> str:
    """Hash of a run's settings: a checkpoint of other settings is never resumed."""
    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:16]


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically."""
    plain = {k: v.detach().to("cpu").contiguous().clone() for k, v in tensors.items()}
    with atomic_path(path) as part:
        try:
            save_file(plain, part)
        except SafetensorError as error:
            raise OSError(str(error)) from error


class CheckpointFolder:
    """The undeclared folder beside a run's outputs.

    Args:
        run_dir: folder of the run.
        settings: the run's settings; a checkpoint of other settings is moved aside.
    """

    def __init__(self, run_dir: Path, settings: dict[str, Any]) -> None:
        self.folder = run_dir / "checkpoint"
        self.hash = settings_hash(settings)
        self.state_file = self.folder / "state.pt"
        self.history_file = self.folder / "history.jsonl"
        self.finished = self.folder / "finished"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "lock").touch()
        except OSError as error:
            raise UserError(
                f"cannot write {self.folder}: {error.strerror}; free space or fix the permissions, then start again"
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run folder; the system releases the lock when the process ends, however it ends.

        Raises:
            UserError: if another process trains in this folder.
        """
        with open(self.folder / "lock", "a+") as handle:
            if not _locks(handle):
                handle.seek(0)
                raise UserError(
                    f"{self.folder.parent}: another process ({handle.read().strip() or 'unknown'}) trains this run; "
                    "wait for it or stop it, then start again"
                )
            handle.truncate(0)
            handle.write(f"process {os.getpid()} on {socket.gethostname()}")
            handle.flush()
            yield

    def save(self, state: dict[str, Any]) -> None:
        """Write the state (tensors, numbers and strings only) atomically."""
        with atomic_path(self.state_file) as part, open(part, "wb") as stream:
            try:
                torch.save({**state, "settings": self.hash}, stream)
            except RuntimeError as error:  # what torch makes of a failed write
                raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None

    def load(self) -> dict[str, Any] | None:
        """The last state, or None if there is none of these settings.

        Raises:
            UserError: if the file is damaged or holds anything but tensors and numbers.
        """
        if not self.state_file.exists():
            return None
        try:
            state = torch.load(self.state_file, map_location="cpu", weights_only=True)
            found = state["settings"]
        except Exception as error:  # a broken or hostile file raises half a dozen types
            why = f"damaged or no checkpoint ({type(error).__name__}); nothing was unpickled"
            raise self.unusable(why) from error
        if found != self.hash:
            self._move_aside(found)
            return None
        return state

    def unusable(self, why: str) -> UserError:
        """The error of a state that cannot be resumed; the file stays as it is."""
        return UserError(f"{self.state_file}: {why}; delete {self.folder} to train this run from its start")

    def _move_aside(self, found: str) -> None:
        aside = self.folder.with_name(f"checkpoint-of-{found}")
        log.warning("the checkpoint in %s belongs to other settings; kept as %s", self.folder, aside)
        aside.mkdir(exist_ok=True)
        for file in self.folder.iterdir():
            if file.name != "lock":
                os.replace(file, aside / file.name)

    def keep_best(self, which: str, epoch: int, tensors: dict[str, Tensor]) -> None:
        """Keep weights as the best by ``which``; older ones go only once the state names this epoch."""
        save_tensors(self._best_file(which, epoch), tensors)

    def drop_older(self, best_epochs: dict[str, int]) -> None:
        """Remove best weights that the saved state no longer names."""
        wanted = {self._best_file(which, epoch) for which, epoch in best_epochs.items()}
        for file in self.folder.glob("best-*.safetensors"):
            if file not in wanted:
                file.unlink()

    def best(self, which: str, epoch: int) -> dict[str, Tensor]:
        """Weights kept as best by ``which``."""
        return load_file(self._best_file(which, epoch))

    def _best_file(self, which: str, epoch: int) -> Path:
        return self.folder / f"best-{which}-{epoch:06d}.safetensors"

    def write_history(self, lines: list[dict[str, Any]]) -> None:
        """Write the history of the epochs so far (JSON lines), atomically."""
        with atomic_path(self.history_file) as part:
            part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def keep_finished(self) -> None:
        """Keep a finished run's outputs as hard links (no disk space) and drop the resume state.

        If Snakemake was killed meanwhile, it takes the outputs for incomplete and deletes them before it starts the
        run again; :meth:`restore_finished` then brings them back. The rule that evaluates the run removes the folder.
        """
        aside = self.folder / ".finished"
        shutil.rmtree(aside, ignore_errors=True)
        _link_tree(self.folder.parent, aside)
        shutil.rmtree(self.finished, ignore_errors=True)  # of other settings
        os.replace(aside, self.finished)
        for file in self.folder.glob("*.*"):
            if file.is_file():
                file.unlink()

    def restore_finished(self) -> bool:
        """Bring back the outputs of a run that had finished with these settings; False if there are none."""
        record = self.finished / "run.json"
        if not record.exists() or settings_hash(read_json(record)["settings"]) != self.hash:
            return False
        _link_tree(self.finished, self.folder.parent)
        log.info("this run had finished already; its outputs are restored")
        return True


def _locks(handle: IO, tries: int = 20) -> bool:
    """Take the lock; again for a second, since `calibench.status` holds it for an instant to look."""
    for _ in range(tries):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _link_tree(source: Path, target: Path) -> None:
    """Hard-link a run's outputs from one folder to another, ``run.json`` last."""
    folders = [source, *(source / name for name in OUTPUT_FOLDERS)]
    found = [
        p for folder in folders for p in sorted(folder.rglob("*") if folder != source else folder.iterdir())
    ]
    outputs = [
        p for p in found if p.is_file() and p.suffix in (".json", ".jsonl", ".safetensors", ".npy", ".csv")
    ]
    for path in sorted(outputs, key=lambda p: p.name == "run.json"):
        final = target / path.relative_to(source)
        final.parent.mkdir(parents=True, exist_ok=True)
        final.unlink(missing_ok=True)
        try:
            os.link(path, final)
        except OSError:  # a file system without hard links
            with atomic_path(final) as part:
                shutil.copyfile(path, part)
