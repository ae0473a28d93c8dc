"""Readers: from the name of an image to its pixels, for files in folders, arrays and tar files."""

import functools
import os
import stat
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from calibench.data import arrays, shards
from calibench.data.decode import Window, decode
from calibench.data.sources import root_of
from calibench.data.unreadable import Unreadable, check_bytes


class Reader(Protocol):
    """Reads the pixels of an image; several threads may use it at once."""

    def read(self, filename: str) -> np.ndarray:
        """(H, W), (H, W, 3) BGR or (H, W, 4) BGRA; raises Unreadable."""


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a named pipe would stop the stage for ever


class FolderReader:
    """Images as files below a folder; files outside it are never opened, not even through a symbolic link."""

    def __init__(self, root: str | os.PathLike, window: Window = None) -> None:
        self.window = window
        self.root = os.path.realpath(root)
        self._real_folder = functools.cache(os.path.realpath)  # a data set has many images and few folders

    def load(self, filename: str) -> bytes:
        """Content of a file; Unreadable if missing, forbidden, not a regular file, too large, or outside the root."""
        folder, name = os.path.split(os.path.join(self.root, filename))
        path = os.path.join(self._real_folder(folder), name)
        if os.path.islink(path):
            path = os.path.realpath(path)
        if not path.startswith(os.path.join(self.root, "")):
            raise Unreadable("the path or a symbolic link leads outside the data set's root")
        try:
            with open(path, "rb", buffering=0, opener=_open_without_waiting) as stream:
                status = os.fstat(stream.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise Unreadable("not a regular file")
                check_bytes(status.st_size)
                return stream.readall()
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from error

    def read(self, filename: str) -> np.ndarray:
        """Pixels of one file; see :func:`calibench.data.decode.decode`."""
        return decode(self.load(filename), self.window)


class TarReader:
    """Images in tar files, named as in :func:`calibench.data.shards.read_list`."""

    def __init__(self, root: Path, window: Window = None) -> None:
        self.window = window
        self.images = shards.find_images(root)

    def read(self, filename: str) -> np.ndarray:
        """Pixels of one image; see :func:`calibench.data.decode.decode`."""
        if filename not in self.images:
            raise Unreadable("no longer in the tar files")
        return decode(self.images[filename].read(), self.window)


def open_reader(settings: dict[str, Any]) -> Reader:
    """The reader for the format of a data set; UserError if its root is missing."""
    root, window = root_of(settings), settings["store"]["window"]
    if settings["format"] in arrays.FORMATS:
        return arrays.ArrayReader(arrays.load(settings, root))
    return (TarReader if settings["format"] == shards.FORMAT else FolderReader)(root, window)
