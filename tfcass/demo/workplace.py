"""Folders that an interrupted stage continues in if it has the same settings; files that one leaves to another."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcass.errors import TfcassError

_MARK = "made_for.json"


def continue_or_clear(folder: Path, purpose: Mapping[str, Any]) -> bool:
    """True if the folder was made for the same purpose, so that what it holds can be gone on with; else empties it.

    Args:
      folder: Made if absent.
      purpose: What its content depends on. JSON values.
    Raises:
      TfcassError: the folder cannot be written.
    """
    mark = folder / _MARK
    text = json.dumps(dict(purpose), sort_keys=True)
    try:
        if mark.is_file() and mark.read_text("utf-8") == text:
            return True
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        mark.write_text(text, "utf-8")
    except OSError as error:
        raise TfcassError(f"cannot write into {str(folder)!r}: {error.strerror}") from error
    return False


def read_json(path: Path) -> Any:
    """Raises TfcassError, naming the file, where it is absent or no JSON."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TfcassError(f"cannot read {path}: {error}; run the demo again") from error
