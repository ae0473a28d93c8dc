"""Readers: from the name of an image to its pixels, whatever it is kept in."""

import errno
import os
import stat
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from calibench.data import arrays, shards
from calibench.data.decode import Window, decode
from calibench.data.limits import MAX_BYTES
from calibench.data.sources import root_of
from calibench.data.unreadable import Unreadable


class Reader(Protocol):
    """Gives the pixels of an image; safe to use from several threads."""

    def read(self, filename: str) -> np.ndarray:
        """(H, W), (H, W, 3) BGR or (H, W, 4) BGRA; raises Unreadable."""


class FolderReader:
    """Images as files below a folder; nothing outside the folder is ever opened, symbolic links included."""

    def __init__(self, root: str | os.PathLike, window: Window = None) -> None:
        self.window = window
        self.root = os.path.realpath(root)
        self._folders: dict[str, str] = {}  # a dataset has many images and few folders

    def _inside(self, real: str) -> str:
        if real != self.root and not real.startswith(self.root.rstrip(os.sep) + os.sep):
            raise Unreadable("a symbolic link leads out of the dataset's root")
        return real

    def _path(self, filename: str) -> str:
        folder, _, name = filename.rpartition("/")
        if name in ("", ".", "..") or os.path.isabs(filename):
            raise Unreadable("not a path inside the dataset's root")
        if folder not in self._folders:
            self._folders[folder] = self._inside(os.path.realpath(os.path.join(self.root, folder)))
        return f"{self._folders[folder]}/{name}"

    def load(self, filename: str) -> bytes:
        """Bytes of a regular file.

        Raises:
            Unreadable: missing, forbidden, not a regular file, too large, or outside the root.
        """
        path = self._path(filename)
        # Non-blocking: a named pipe cannot hang the stage. Not following links: each is looked at.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
        try:
            try:
                handle = os.open(path, flags)
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                handle = os.open(self._inside(os.path.realpath(path)), flags)
            with open(handle, "rb", buffering=0) as stream:
                status = os.fstat(handle)
                if not stat.S_ISREG(status.st_mode):
                    raise Unreadable("not a regular file")
                if status.st_size > MAX_BYTES:
                    raise Unreadable(f"{status.st_size} bytes, more than the limit of {MAX_BYTES}")
                return stream.readall()
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from error

    def read(self, filename: str) -> np.ndarray:
        """Pixels of one file; see :func:`calibench.data.decode.decode`."""
        return decode(self.load(filename), self.window)


class TarReader:
    """Images out of tar files, by the names that :func:`calibench.data.shards.read_list` gives."""

    def __init__(self, root: Path, window: Window = None) -> None:
        self.window = window
        self.places = shards.places(root)

    def read(self, filename: str) -> np.ndarray:
        """Pixels of one image; see :func:`calibench.data.decode.decode`."""
        if filename not in self.places:
            raise Unreadable("not in the tar files any more")
        return decode(self.places[filename].read(), self.window)


def open_reader(settings: dict[str, Any]) -> Reader:
    """The reader for a dataset's format.

    Raises:
        UserError: if the dataset's root is missing.
    """
    root: Path = root_of(settings)
    if settings["format"] in arrays.FORMATS:
        return arrays.ArrayReader(arrays.load(settings, root))
    if settings["format"] == shards.FORMAT:
        return TarReader(root, settings["store"]["window"])
    return FolderReader(root, settings["store"]["window"])
