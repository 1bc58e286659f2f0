"""Files that are there complete or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path


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
