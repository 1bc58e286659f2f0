"""What a run leaves behind and passes around as text, by path or by URL: see files.py."""

import json
from collections.abc import Sequence
from typing import Any

from beam_pipelines import files
from beam_pipelines.slides.errors import OutputError


def write_text(path: str, text: str) -> None:
    """Writes a file in UTF-8, whole or not at all.

    Raises:
      OutputError: It cannot be written.
    """
    files.write_bytes(path, text.encode())


def write_lines(path: str, items: Sequence[Any]) -> None:
    """Writes a line of JSON for each item; a value that JSON lacks, such as a UUID, becomes its text."""
    write_text(path, "".join(json.dumps(item, default=str) + "\n" for item in items))


def take_lines(path: str) -> list[Any]:
    """Reads what write_lines wrote, and removes it."""
    items = [json.loads(line) for line in files.read_bytes(path).decode().splitlines()]
    files.remove(path)
    return items


def make_output(folder: str, *names: str) -> None:
    """Makes the folder, and removes these files of an earlier run: after a failure, nothing may look like a result.

    Raises:
      OutputError: It cannot be written to.
    """
    try:
        files.make_folder(folder)
        for name in names:
            files.remove(files.join(folder, name))
    except (OSError, ValueError) as error:  # ValueError: a scheme that Beam does not know.
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write to {folder!r}: {reason}; check the folder and its permissions") from None
