"""A list of rows that could not be used, which the next run can leave out.

A text file with a line of JSON for each row:
    {"patch_id": "09b34ae6-...", "reason": "missing", "split": "train", "epoch": 0, "position": 512, "rank": 1}
"""

import dataclasses
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfcass.errors import KeyFormatError, SplitError, TfcassError
from tfcass.keys import keys as make_keys


@dataclasses.dataclass(frozen=True)
class Quarantine:
    """Rows and why they could not be used.

        plan = Plan(splits, "train", seed=7, leave_out=Quarantine.read("out/quarantine.jsonl").keys)

    Attributes:
      reasons: patch_id -> reason, in the order in which they were found.
    """

    reasons: Mapping[str, str]

    @property
    def keys(self) -> np.ndarray:
        """uint8 [m, 16], each once."""
        return make_keys(list(self.reasons))

    @classmethod
    def read(cls, *paths: str | os.PathLike[str]) -> "Quarantine":
        """Reads the files; one that is not there is an empty list, as that of a run without failures.

        A last line that was cut off by a crash is passed over.

        Raises:
          SplitError: Something in a file is no such line; the message names it.
        """
        reasons: dict[str, str] = {}
        for path in map(Path, paths):
            for number, line in _lines(path):
                try:
                    entry = json.loads(line)
                    make_keys([entry["patch_id"]])
                    reasons.setdefault(entry["patch_id"], str(entry["reason"]))
                except (ValueError, KeyError, TypeError, KeyFormatError) as error:
                    raise SplitError(
                        f"{path}:{number} is no entry of a quarantine list ({error}): {line[:80]!r}; "
                        "remove this line or the file"
                    ) from error
        return cls(reasons)


def append_to_quarantine(path: Path, entries: list[dict]) -> None:
    """Adds lines; several processes of a machine may do so at once.

    Raises:
      TfcassError: The file cannot be written.
    """
    try:
        with open(path, "ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = "".join(json.dumps(entry) + "\n" for entry in entries)
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # A line that was cut off stays alone.
                    text = "\n" + text
            file.write(text.encode())
    except OSError as error:
        raise TfcassError(
            f"cannot write the quarantine list {path}: {error.strerror or error}; free some space, or give another file"
        ) from error


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SplitError(f"the quarantine list {path} cannot be read: {error.strerror or error}") from error
    lines = text.split("\n")[:-1]  # What follows the last line end is nothing, or a line that was cut off.
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
