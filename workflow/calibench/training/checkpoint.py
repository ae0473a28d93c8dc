"""The resume checkpoint of a run: all that is needed to continue bit for bit, and a lock against a second process.

It is in ``<run>/checkpoint/``, which is not an output of the workflow: Snakemake deletes declared outputs before it
restarts a job, and these files must survive that.
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
    """Hash of the settings of a run; only a checkpoint with the same hash is resumed."""
    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:16]


class CheckpointFolder:
    """The folder ``run_dir/checkpoint``; a checkpoint of other settings in it is renamed."""

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
                f"cannot write {self.folder}: {error.strerror}; free space or fix the permissions, and start again"
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run folder, or raise UserError if another process trains in it.

        The system releases the lock when the process ends, even by a crash.
        """
        with open(self.folder / "lock", "a+") as handle:
            if not _locks(handle):
                handle.seek(0)
                raise UserError(
                    f"{self.folder.parent}: another process ({handle.read().strip() or 'unknown'}) trains this run; "
                    "wait for it or stop it, and start again"
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
            except RuntimeError as error:  # torch's error for a failed write
                raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None

    def load(self) -> dict[str, Any] | None:
        """The last state with these settings, or None if there is none.

        A state of other settings is moved aside; a state of these settings that was moved aside earlier is moved
        back. UserError if the file is damaged or contains more than tensors and numbers, or if the best weights that
        it names are missing or damaged.
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
            if not re.fullmatch(r"[0-9a-f]{16}", state["settings"]):  # it becomes part of a folder name
                raise ValueError("no hash of settings")
        except Exception as error:  # a broken or hostile file raises errors of many types
            why = f"damaged, or not a checkpoint ({type(error).__name__}); nothing was unpickled"
            raise self.unusable(why) from error
        return state

    def _check_best(self, state: dict[str, Any]) -> None:
        """Find out now, not after the last epoch, whether best weights are missing or truncated."""
        try:
            best = state["progress"]["best"].items()
            wanted = [self._best_file(which, found["epoch"]) for which, found in best]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self.unusable("damaged, its progress cannot be read") from error
        for file in wanted:
            try:
                with safe_open(file, "pt"):  # checks the length of the file, reads no weights
                    pass
            except (OSError, SafetensorError) as error:
                raise self.unusable(f"missing or damaged ({type(error).__name__})", file) from error

    def unusable(self, why: str, file: Path | None = None) -> UserError:
        """The error for a state, or another file of the checkpoint, that cannot be used; the file is not changed."""
        return UserError(
            f"{file or self.state_file}: {why}; delete {self.folder} to train this run from its start"
        )

    def _aside(self, settings: str) -> Path:
        return self.folder.with_name(f"checkpoint-of-{settings}")

    def _move_aside(self, found: str) -> None:
        aside = self._aside(found)
        log.warning("the checkpoint in %s is of other settings; kept as %s", self.folder, aside)
        _move(self.folder, aside)

    def _take_back(self) -> bool:
        """Move back a checkpoint of these settings that was moved aside; False if there is none."""
        aside = self._aside(self.hash)
        if not (aside / "state.pt").exists():
            return False
        log.info("the checkpoint kept as %s is of these settings; moved back", aside)
        _move(aside, self.folder)
        with contextlib.suppress(OSError):  # other files are in it
            aside.rmdir()
        return True

    def keep_best(self, which: str, epoch: int, tensors: dict[str, Tensor]) -> None:
        """Keep weights as the best by ``which``; :meth:`drop_older` removes older ones after the state was saved."""
        save_tensors(self._best_file(which, epoch), tensors)

    def drop_older(self, best_epochs: dict[str, int]) -> None:
        """Remove best weights that the saved state does not name any more."""
        wanted = {self._best_file(which, epoch) for which, epoch in best_epochs.items()}
        for file in self.folder.glob("best-*.safetensors"):
            if file not in wanted:
                file.unlink()

    def best(self, which: str, epoch: int) -> dict[str, Tensor]:
        """The best weights by ``which``."""
        return load_file(self._best_file(which, epoch))

    def _best_file(self, which: str, epoch: int) -> Path:
        return self.folder / f"best-{which}-{epoch:06d}.safetensors"

    def write_history(self, lines: list[dict[str, Any]]) -> None:
        """Write the history up to this epoch (JSON lines), atomically."""
        write_history(self.history_file, lines)

    def new_outputs(self) -> Path:
        """An empty folder for the outputs of this run, until :meth:`publish` moves them to their places."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self.unfinished.mkdir()
        return self.unfinished

    def hold(self, names: list[str]) -> None:
        """Hold the outputs of a finished run for :meth:`restore_finished`, and remove the resume state.

        Args:
            names: all outputs, relative to the run's folder, the record last.

        Raises:
            UserError: one of them is missing; the resume state stays.
        """
        if lacking := _lacking(self.unfinished, names):
            raise UserError(
                f"{self.unfinished / lacking[0]} has been removed; start again to write the outputs"
            )
        shutil.rmtree(self.finished, ignore_errors=True)  # of other settings
        os.replace(self.unfinished, self.finished)
        self.state_file.unlink(missing_ok=True)  # first, so that it never names weights that are gone
        for file in self.folder.glob("*.*"):
            if file.is_file():
                file.unlink()

    def publish(self, names: list[str]) -> None:
        """Hold the outputs, and link them to their places (hard links, no disk space).

        If Snakemake is killed or refuses to start, it takes the outputs for incomplete and deletes them, perhaps
        while this process runs. The copies here stay, and :meth:`restore_finished` restores the outputs. Once
        Snakemake has accepted the outputs, the rule ``remove_checkpoints`` removes this folder.
        """
        self.hold(names)
        _link(self.finished, self.folder.parent, names)

    def has_finished(self, names: list[str]) -> bool:
        """Whether all outputs (``names``, as above) of a run that finished with these settings are held."""
        record = self.finished / finished_names.RECORD
        if not record.exists() or settings_hash(read_json(record)["settings"]) != self.hash:
            return False
        if lacking := _lacking(self.finished, names):
            log.warning("%s is missing; the run is trained again", self.finished / lacking[0])
            return False
        return True

    def restore_finished(self, names: list[str]) -> bool:
        """Restore the outputs of a run that finished with these settings; False if one is gone."""
        if not self.has_finished(names):
            return False
        _link(self.finished, self.folder.parent, names)
        log.info("this run had already finished; its outputs were restored")
        return True


def _locks(handle: IO, tries: int = 20) -> bool:
    """Try to take the lock for a second: `calibench status` may hold it for a moment."""
    for _ in range(tries):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            why = "%s: this file system has no locks (%s); do not start a second trainer in this run folder"
            log.warning(why, handle.name, error.strerror)
            return True
        else:
            return True
    return False


def _move(source: Path, target: Path) -> None:
    """Move the files of a checkpoint, the state last, so that an interrupted move is continued next time."""
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
