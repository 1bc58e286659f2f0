"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from beam_pipelines.slides.errors import OutputError


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside `path`, renamed to `path` when the block ends well and removed otherwise.

    Two processes that write the same file do not mix: each has its own temporary name, and the last rename wins.

    Raises:
      OutputError: the folder cannot be made, the disk is full, or another OSError of the block; nothing new stays
        behind.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(final)
        yield temporary
        os.replace(temporary, final)
    except OSError as error:
        raise OutputError(f"cannot write {str(final)!r}: {_reason(error, final.parent)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _remove_leftovers(final: Path) -> None:
    """Removes temporary files of processes that were killed; a living one may still be writing its own."""
    for part in final.parent.glob(f".{glob.escape(final.name)}.*.part"):
        pid = part.name.split(".")[-2]
        if not pid.isdecimal():
            continue
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            part.unlink(missing_ok=True)
        except OSError:
            continue  # Alive, but another user's.


def _reason(error: OSError, folder: Path) -> str:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror or error}; check the folder and its permissions"
    try:
        left = f"{shutil.disk_usage(folder).free / 2**20:.0f} MiB left"
    except OSError:
        left = "free space unknown"
    return f"{error.strerror} ({left}); make room or choose another folder, then run it again: finished files are kept"
