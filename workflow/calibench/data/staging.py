"""Copy the images of a store to the node's own disk: shared file systems are slow at small random reads.

The first run on a node copies, the others wait and map the same file. If the copy is not possible (no temporary
folder, too little space, somebody else's folder), the run reads the shared file and logs why.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from calibench.errors import UserError
from calibench.files import atomic_path

log = logging.getLogger(__name__)
SPARE = 1.1  # required free space in sizes of the file: other jobs on the node write there as well
VARIABLES = ("SLURM_TMPDIR", "TMPDIR")


class _CannotStage(Exception):
    """Why the shared file is read instead."""


def node_folder() -> Path:
    """This user's private folder on the node's disk, made if necessary.

    All users of the node may write to its parent. So a link, or a folder that others can write to, is refused: they
    could put other images there.
    """
    name = next((name for name in VARIABLES if os.environ.get(name)), None)
    if name is None:
        raise _CannotStage("neither SLURM_TMPDIR nor TMPDIR is set")
    folder = Path(os.environ[name]) / f"calibench-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise _CannotStage(f"{name}: {folder}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise _CannotStage(f"{name}: {folder} is not a folder that only you can write to")
    return folder


def _names(images: Path) -> tuple[str, str]:
    """The start of the names of all copies of this store, and the name of the copy of its present content."""
    place = hashlib.sha256(str(images.parent.resolve()).encode()).hexdigest()[:16]
    now = images.stat()
    return f"store-{place}-", f"store-{place}-{now.st_size}-{now.st_mtime_ns}.npy"


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of one store on this node; the system releases it when the process ends, even by a crash."""
    with open(path, "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _copy(images: Path, copy: Path) -> None:
    need, free = images.stat().st_size, shutil.disk_usage(copy.parent).free
    if free < SPARE * need:
        raise _CannotStage(
            f"{copy.parent} has {free / 2**20:.0f} MB of free space, the images need {need / 2**20:.0f}"
        )
    with atomic_path(copy) as part:
        shutil.copyfile(images, part)
        if part.stat().st_size != need:
            raise _CannotStage(f"{images} changed while it was copied")


def _staged(images: Path) -> Path:
    folder = node_folder()
    prefix, name = _names(images)
    copy = folder / name
    with _alone(folder / f"{prefix}lock"):
        for old in [*folder.glob(f"{prefix}*.npy"), *folder.glob(f".{prefix}*.part")]:
            if old != copy:  # of an older store, or left by a killed process
                old.unlink()
        if copy.exists():
            log.info("reading images from %s, copied by an earlier run", copy)
        else:
            _copy(images, copy)
            log.info("reading images from %s, copied from %s", copy, images)
    return copy


def stage(images: Path) -> Path:
    """The file to map: a whole copy of ``images`` in the node's temporary folder, or ``images`` if none can be made."""
    try:
        return _staged(images)
    except (_CannotStage, UserError, OSError) as why:
        log.warning("images are not copied to the node (%s); reading %s", why, images)
        return images
