"""Remote slides as local files, in a cache of bounded size: OpenSlide reads local files only.

    with local_copy("gs://bucket/slide.mrxs", cache) as path:
        open_slide(path)

All processes of a machine share the cache's folder. A copy in use is locked, which ends with its process however that
ends; when room is needed, the copies go that nobody uses, the one used longest ago first. A copy is found again by
where it came from and by the size and time of its files, so that a slide that changed is fetched anew.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from beam_pipelines import files
from beam_pipelines.slides.errors import SlideError
from tfcass.errors import OptionError

_CHUNK = 8 * 2**20
_WHOLE = ".whole"  # There once every file of a copy is.


@dataclasses.dataclass(frozen=True)
class CopyCache:
    """Where copies are kept.

    Attributes:
      folder: On a disk of this machine; made when absent.
      limit_bytes: Of all copies together. A slide larger than this is refused.
    """

    folder: str = dataclasses.field(default_factory=lambda: os.path.join(tempfile.gettempdir(), "tfcass-slides"))
    limit_bytes: int = 50 * 2**30

    def __post_init__(self) -> None:
        if isinstance(self.limit_bytes, bool) or not isinstance(self.limit_bytes, int) or self.limit_bytes < 1:
            raise OptionError(f"limit_bytes={self.limit_bytes!r} is not a whole number of bytes above 0")


@contextlib.contextmanager
def local_copy(path: str, cache: CopyCache) -> Iterator[str]:
    """Gives the local path of a slide: its own, or that of a copy which stays while the block runs.

    Raises:
      SlideError: It is not there, cannot be fetched, or is larger than the cache.
    """
    if not files.is_url(path):
        yield path
        return
    try:
        members = files.parts(path)
        needed = files.size(members)
        mark = files.fingerprint(path)
    except (OSError, OptionError) as error:
        raise SlideError(path, f"cannot be fetched: {error}") from None
    if needed > cache.limit_bytes:
        raise SlideError(
            path, f"has {needed:,} bytes, more than the {cache.limit_bytes:,} of the cache; raise --slide-cache-gb"
        )
    entry = Path(cache.folder) / hashlib.sha256(f"{path} {mark}".encode()).hexdigest()[:32]
    with contextlib.ExitStack() as in_use:
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            in_use.enter_context(_lock(entry, fcntl.LOCK_SH))
            if not (entry / _WHOLE).exists():
                with _lock(Path(cache.folder) / "room", fcntl.LOCK_EX):  # One fetches at a time, so that the sum holds.
                    if not (entry / _WHOLE).exists():
                        _make_room(cache, needed, keep=entry.name)
                        _fetch(members, path, entry)
            now_ns = time.time_ns()  # Given: the kernel's own idea of now moves in steps of some ms.
            os.utime(entry, ns=(now_ns, now_ns))
        except OSError as error:
            raise SlideError(
                path, f"cannot be copied to {cache.folder!r}: {error.strerror or error}; pass another --slide-cache"
            ) from error
        yield str(entry / os.path.basename(path))


def _fetch(members: list[str], path: str, entry: Path) -> None:
    shutil.rmtree(entry, ignore_errors=True)  # Of a process that was killed.
    base = path.rpartition("/")[0]
    from apache_beam.io.filesystems import FileSystems

    for member in members:
        target = entry / member[len(base) + 1 :]
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileSystems.open(member, compression_type="uncompressed") as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK)
        except OSError:
            raise
        except Exception as error:  # Each filesystem has exceptions of its own.
            raise SlideError(path, f"cannot be fetched: {error}") from error
    (entry / _WHOLE).touch()


def _make_room(cache: CopyCache, needed: int, *, keep: str) -> None:
    """Deletes what nobody uses until `needed` bytes fit. What is in use may go over the limit, and is never deleted."""
    entries = [entry for entry in Path(cache.folder).iterdir() if entry.is_dir() and entry.name != keep]
    used = {entry: sum(file.stat().st_size for file in entry.rglob("*") if file.is_file()) for entry in entries}
    for entry in sorted(entries, key=lambda entry: entry.stat().st_mtime):
        if sum(used.values()) + needed <= cache.limit_bytes:
            return
        with contextlib.suppress(BlockingIOError), _lock(entry, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(entry)
            del used[entry]


@contextlib.contextmanager
def _lock(entry: Path, kind: int) -> Iterator[None]:
    """Beside the folder and never deleted: a lock on a file that is replaced locks nothing."""
    with open(f"{entry}.lock", "w") as lock:
        fcntl.flock(lock, kind)
        yield
