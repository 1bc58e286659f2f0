"""Files by path or by URL: local ones directly, gs://, s3://, hdfs:// and the like through Beam's filesystems.

A local file that is written appears whole or not at all; an object store does that by itself.
"""

import glob
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from beam_pipelines.slides.errors import OutputError
from beam_pipelines.slides.output import whole_file
from tfcass.errors import OptionError

# Formats of several files: suffix of the file that names the slide. The rest lies in a folder of the same name (MIRAX)
# or beside it under names that only the file itself tells (Hamamatsu's VMS and VMU, DICOM).
FOLDER_SUFFIXES = (".mrxs",)
NEIGHBOUR_SUFFIXES = (".vms", ".vmu", ".dcm")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a scheme, as in gs://bucket/slide.svs."""
    return "://" in os.fspath(path)


def absolute(path: str | os.PathLike[str]) -> str:
    """A URL as it is, a path made absolute: workers may have another working directory."""
    text = os.fspath(path)
    return text.rstrip("/") if is_url(text) else str(Path(text).absolute())


def join(folder: str | os.PathLike[str], *names: str) -> str:
    """A path or URL inside a folder."""
    text = os.fspath(folder)
    return "/".join([text.rstrip("/"), *names]) if is_url(text) else os.path.join(text, *names)


def match(pattern: str) -> list[str]:
    """Files, not folders, that match a pattern; absolute and sorted.

    Raises:
      OptionError: No filesystem takes this URL, or it refuses.
    """
    if not is_url(pattern):
        files = glob.glob(pattern, recursive=True)
        return [os.path.abspath(path) for path in sorted(files) if not os.path.isdir(path)]
    return sorted(entry.path for entry in _entries(pattern))


def is_folder(path: str) -> bool:
    """Whether a path is a folder; a URL is one when it ends in "/": object stores have no folders of their own."""
    return path.endswith("/") if is_url(path) else os.path.isdir(path)


def exists(path: str) -> bool:
    return _filesystems().exists(path) if is_url(path) else os.path.exists(path)


def read_bytes(path: str) -> bytes:
    """Raises OSError when it cannot be read."""
    if not is_url(path):
        return Path(path).read_bytes()
    with _filesystems().open(path, compression_type="uncompressed") as file:
        return file.read()


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file, whole or not at all.

    Raises:
      OutputError: It cannot be written.
    """
    if not is_url(path):
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
        return
    try:
        with _filesystems().create(path, compression_type="uncompressed") as file:
            file.write(content)
    except Exception as error:  # Each filesystem has exceptions of its own.
        raise OutputError(f"cannot write {path!r}: {error}") from error


def remove(path: str) -> None:
    """Removes a file that may not be there."""
    if not is_url(path):
        Path(path).unlink(missing_ok=True)
    elif exists(path):
        _filesystems().delete([path])


def make_folder(path: str) -> None:
    """Makes a local folder, and finds out whether it can be written to; object stores need none."""
    if is_url(path):
        _filesystems().get_filesystem(path)
        return
    Path(path).mkdir(parents=True, exist_ok=True)


def parts(path: str) -> list[str]:
    """All files of a slide, the one that names it first."""
    stem, suffix = os.path.splitext(path)
    if suffix.lower() in FOLDER_SUFFIXES:
        return [path, *_inside(stem)]
    if suffix.lower() in NEIGHBOUR_SUFFIXES:
        folder = path.rpartition("/")[0] if is_url(path) else os.path.dirname(path)
        return [path, *(other for other in _inside(folder) if other != path)]
    return [path]


def size(paths: Iterable[str]) -> int:
    """Bytes of several files together."""
    return sum(number for _, number, _ in map(_stat, paths))


def fingerprint(path: str) -> str:
    """Changes when a file of the slide does, by sizes and times: a look that costs no reading.

    Raises:
      OSError: A file is gone.
    """
    told = [f"{os.path.basename(name)}:{number}:{changed}" for name, number, changed in map(_stat, parts(path))]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]


def _inside(folder: str) -> list[str]:
    return match(join(folder, "*") if is_url(folder) else os.path.join(glob.escape(folder), "*"))


def _stat(path: str) -> tuple[str, int, Any]:
    if not is_url(path):
        found = os.stat(path)
        return path, found.st_size, found.st_mtime_ns
    for entry in _entries(path):
        return path, entry.size_in_bytes, entry.last_updated_in_seconds
    raise FileNotFoundError(f"no such file: {path}")


def _entries(pattern: str) -> list[Any]:
    try:
        return _filesystems().match([pattern])[0].metadata_list
    except Exception as error:  # Beam's: an unknown scheme, a missing extra; and each filesystem's own.
        raise OptionError(
            f"{pattern!r} cannot be looked at: {error}; is the extra of this filesystem installed "
            "(apache-beam[gcp], [aws] or [hadoop])?"
        ) from None


def _filesystems() -> Any:
    from apache_beam.io.filesystems import FileSystems  # Here: local files need no Beam.

    return FileSystems
