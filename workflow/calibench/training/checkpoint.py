"""The resume checkpoint of a run: everything needed to go on bit for bit, and a lock against a second trainer.

It lives in ``<run>/checkpoint/``, which is no output of the workflow: Snakemake deletes declared outputs before it
starts a job again, and these files must survive that.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from calibench.errors import UserError
from calibench.files import NO_LOCKS, atomic_path, canonical, read_json
from calibench.finished import names as finished_names
from calibench.finished.write import save_tensors, write_history

log = logging.getLogger(__name__)


def settings_hash(settings: dict[str, Any]) -> str:
    """Hash of a run's settings: a checkpoint of other settings is never resumed."""
    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:16]


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
        self.unfinished = self.folder / ".finished"
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

        A state of other settings is moved aside; that of these settings, moved aside earlier, is taken back.

        Raises:
            UserError: if the file is damaged or holds anything but tensors and numbers, or if best weights that it
                names are missing or damaged.
        """
        state = self._read_state()
        if state is not None and state["settings"] != self.hash:
            self._move_aside(state["settings"])
            state = None
        if state is None and self._take_back():
            state = self._read_state()
        if state is not None:
            self._check_best(state)
        return state

    def _read_state(self) -> dict[str, Any] | None:
        if not self.state_file.exists():
            return None
        try:
            state = torch.load(self.state_file, map_location="cpu", weights_only=True)
            if not re.fullmatch(r"[0-9a-f]{16}", state["settings"]):  # it becomes the name of a folder
                raise ValueError("no hash of settings")
        except Exception as error:  # a broken or hostile file raises half a dozen types
            why = f"damaged or no checkpoint ({type(error).__name__}); nothing was unpickled"
            raise self.unusable(why) from error
        return state

    def _check_best(self, state: dict[str, Any]) -> None:
        """Find out now, not after the last epoch, that best weights are missing or cut off."""
        try:
            best = state["progress"]["best"].items()
            wanted = [self._best_file(which, found["epoch"]) for which, found in best]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self.unusable("damaged, its progress cannot be read") from error
        for file in wanted:
            try:
                with safe_open(file, "pt"):  # compares the header with the file's length, reads no weights
                    pass
            except (OSError, SafetensorError) as error:
                raise self.unusable(f"missing or damaged ({type(error).__name__})", file) from error

    def unusable(self, why: str, file: Path | None = None) -> UserError:
        """The error of a state, or of another file of it, that cannot be resumed; the file stays as it is."""
        return UserError(
            f"{file or self.state_file}: {why}; delete {self.folder} to train this run from its start"
        )

    def _aside(self, settings: str) -> Path:
        return self.folder.with_name(f"checkpoint-of-{settings}")

    def _move_aside(self, found: str) -> None:
        log.warning(
            "the checkpoint in %s belongs to other settings; kept as %s", self.folder, self._aside(found)
        )
        _move(self.folder, self._aside(found))

    def _take_back(self) -> bool:
        """Take back the checkpoint of these settings that others had moved aside; False if there is none."""
        aside = self._aside(self.hash)
        if not (aside / "state.pt").exists():
            return False
        log.info("the checkpoint kept as %s belongs to these settings; taken back", aside)
        _move(aside, self.folder)
        with contextlib.suppress(OSError):  # something else lies in it
            aside.rmdir()
        return True

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
        write_history(self.history_file, lines)

    def new_outputs(self) -> Path:
        """An empty folder for the outputs of this run, until :meth:`publish` gives them their names."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self.unfinished.mkdir()
        return self.unfinished

    def publish(self, names: list[str]) -> None:
        """Give the outputs of a finished run their names (hard links, no disk space) and drop the resume state.

        A Snakemake that is killed or refused takes the outputs for incomplete and deletes them, also while this
        process runs; the kept ones stay, and :meth:`restore_finished` brings them back. The rule
        ``remove_checkpoints`` removes the folder once Snakemake has taken the outputs.

        Args:
            names: all outputs, relative to the run's folder, the record last.

        Raises:
            UserError: if one of them was not written or is gone; the resume state stays.
        """
        if lacking := _lacking(self.unfinished, names):
            raise UserError(
                f"{self.unfinished / lacking[0]} was removed meanwhile; start again to write the outputs"
            )
        shutil.rmtree(self.finished, ignore_errors=True)  # of other settings
        os.replace(self.unfinished, self.finished)
        _link(self.finished, self.folder.parent, names)
        self.state_file.unlink(missing_ok=True)  # first: no state without its best weights
        for file in self.folder.glob("*.*"):
            if file.is_file():
                file.unlink()

    def restore_finished(self, names: list[str]) -> bool:
        """Bring back the outputs of a run that had finished with these settings; False if not all are there.

        Args:
            names: all outputs, relative to the run's folder, the record last.
        """
        record = self.finished / finished_names.RECORD
        if not record.exists() or settings_hash(read_json(record)["settings"]) != self.hash:
            return False
        if lacking := _lacking(self.finished, names):
            log.warning("%s is missing; the finished run is made again", self.finished / lacking[0])
            return False
        _link(self.finished, self.folder.parent, names)
        log.info("this run had finished already; its outputs are restored")
        return True


def _locks(handle: IO, tries: int = 20) -> bool:
    """Take the lock; again for a second, since `calibench.stages.status` holds it for an instant to look."""
    for _ in range(tries):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            why = "%s: this file system has no locks (%s); two trainers in one run folder are not kept apart"
            log.warning(why, handle.name, error.strerror)
            return True
        else:
            return True
    return False


def _move(source: Path, target: Path) -> None:
    """Move a checkpoint's files, the state last: a move that was cut short is then taken up again."""
    target.mkdir(exist_ok=True)
    files = [file for file in source.iterdir() if file.is_file() and file.name != "lock"]
    for file in sorted(files, key=lambda file: file.name == "state.pt"):
        os.replace(file, target / file.name)


def _lacking(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if not (folder / name).is_file()]


def _link(source: Path, target: Path, names: list[str]) -> None:
    """Hard-link files from one folder to another, in this order; copy them where there are no hard links."""
    for name in names:
        final = target / name
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            final.unlink(missing_ok=True)
            os.link(source / name, final)
        except OSError:  # a file system without hard links, or the folder was removed meanwhile
            with atomic_path(final) as part:
                shutil.copyfile(source / name, part)
