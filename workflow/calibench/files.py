"""Write files so that only whole files have their final names (write to a temporary file, sync, rename)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibench.errors import UserError

if TYPE_CHECKING:  # planning needs only JSON and must start quickly
    import numpy as np
    import pandas as pd

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # errors of a file system without locks


@contextlib.contextmanager
def _held(part: Path) -> Iterator[None]:
    """Lock a half-written file; the system releases the lock when the process ends, even by a crash."""
    with open(part, "ab+") as handle:  # +: NFSv4 refuses a shared lock on a file that is not readable (EBADF)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
        except OSError as error:  # without locks, abandoned files are not removed either
            if error.errno not in NO_LOCKS:
                raise
        yield


def _remove_abandoned(final: Path) -> None:
    """Remove half-written files of this name that no running process has locked."""
    for part in final.parent.glob(f".{glob.escape(final.name)}.*.part"):
        with contextlib.suppress(OSError), open(part, "rb+") as handle:  # locked, or removed by now
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@contextlib.contextmanager
def atomic_path(final: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path next to ``final``, and rename it to ``final`` after the block has succeeded.

    Half-written files of killed processes are removed. UserError if the file system is full or read-only; then the
    temporary file is removed as well.
    """
    final = Path(final)
    beside = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _held(beside):
            _remove_abandoned(final)
            yield beside
        with open(beside, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(beside, final)
    except OSError as error:
        raise UserError(
            f"cannot write {final}: {error.strerror or error}; free space or fix the permissions"
        ) from error
    finally:
        if os.path.exists(beside):
            os.unlink(beside)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal settings give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write indented JSON atomically; ValueError for NaN and infinity, which are not JSON."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Read JSON; UserError if the file is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; run the stage that writes it first") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); delete it and run again") from error


def write_csv(frame: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a frame as CSV (no index, UTF-8, LF) atomically."""
    with atomic_path(path) as part:
        frame.to_csv(part, index=False, encoding="utf-8", lineterminator="\n")


def save_npy(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write an array as ``.npy`` atomically."""
    import numpy as np

    with atomic_path(path) as part, open(part, "wb") as stream:
        np.save(stream, array, allow_pickle=False)


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
