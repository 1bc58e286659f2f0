"""Small files by path or URL, through Beam's filesystems: local, gs://, s3://, hdfs://."""

import os
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.slides.errors import OutputError
from beam_pipelines.slides.output import whole_file


def is_url(path: str) -> bool:
    return "://" in path


def read_bytes(path: str) -> bytes:
    """All of a file, as it lies there.

    Raises:
      OSError: It cannot be read.
    """
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            return file.read()
    except BeamIOError as error:  # Of a filesystem that is not there; not an OSError of its own accord.
        raise OSError(str(error)) from None


def write_text(path: str, text: str) -> None:
    """Writes a file, whole or not at all.

    Raises:
      OutputError: It cannot be written.
    """
    if not is_url(path):
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return
    try:
        with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(text.encode())
    except (OSError, BeamIOError) as error:
        raise OutputError(f"cannot write {path!r}: {error}") from None


def remove(*paths: str) -> None:
    """Removes files; it is well if one is not there.

    Raises:
      OutputError: One is there and cannot be removed.
    """
    for path in paths:
        try:
            if is_url(path):
                if FileSystems.exists(path):
                    FileSystems.delete([path])
            else:
                Path(path).unlink(missing_ok=True)
        except (OSError, BeamIOError) as error:
            raise OutputError(f"cannot remove {path!r}: {error}") from None


def make_folder(path: str) -> None:
    """Makes a local folder with what is above it; object stores need none.

    Raises:
      OutputError: It cannot be made.
    """
    if not is_url(path):
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot write to {path!r}: {error.strerror}; check the folder and its permissions"
            ) from None


def joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"
