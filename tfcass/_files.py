"""Files that are there complete or not at all, and folders that one process at a time may change."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def replace_file(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Writes `path` in one step, even if the machine stops in the middle; a file that was there is replaced.

    Raises:
      OSError: The disk is full, or the folder cannot be written; `path` is as before.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # mkstemp gives 0600, and splits are shared.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def new_file(folder: str | os.PathLike[str], prefix: str) -> Iterator["NewFile"]:
    """A file that is written piece by piece and named when it is whole; without keep(), nothing of it stays.

    Raises:
      OSError: The disk is full, or the folder cannot be written.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{prefix}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            yield NewFile(file, Path(temporary))
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


class NewFile:
    """See new_file. `file` is open for writing bytes."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file = file
        self._path = path

    def keep(self, name: str) -> None:
        """Names it, in its folder, in one step; a file of that name is replaced."""
        self.file.flush()
        os.fchmod(self.file.fileno(), 0o644)  # mkstemp gives 0600, and splits are shared.
        os.fsync(self.file.fileno())
        os.replace(self._path, self._path.parent / name)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Makes the folder if it is absent and holds its lock, which ends with the process, however that ends.

    Raises:
      BlockingIOError: Another process holds it.
      OSError: The folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
