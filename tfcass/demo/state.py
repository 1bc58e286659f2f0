"""What the demo has finished: state.json, one record a stage, and the lock that keeps two runs out of one folder."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from tfcass._files import locked_folder, replace_file
from tfcass.errors import TfcassError

_FORMAT = 1


@attrs.frozen
class Record:
    """A finished stage.

    Attributes:
      run_id: Tells this result from the one that an earlier or later run of the same stage gave.
      after: run_id of the stage before it, whose result this one was made from; "" for the first.
      inputs: The settings that decided its result.
      seconds: How long it took, wall-clock.
      result: What the stage wants to be known of it: counts, rows/s. JSON values.
      finished: When, ISO 8601 with offset.
    """

    run_id: str
    after: str
    inputs: Mapping[str, Any]
    seconds: float
    result: Mapping[str, Any]
    finished: str


class State:
    """The records of one output folder. Each change is on disk, whole, when the call returns.

    Raises:
      TfcassError: state.json cannot be read or written, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: dict[str, Record] = _load(path)

    def get(self, stage: str) -> Record | None:
        return self._records.get(stage)

    def put(self, stage: str, record: Record) -> None:
        self._records[stage] = record
        self._save()

    def drop(self, stage: str) -> None:
        if self._records.pop(stage, None) is not None:
            self._save()

    def _save(self) -> None:
        content = {"format": _FORMAT, "stages": {name: attrs.asdict(record) for name, record in self._records.items()}}
        try:
            replace_file(self._path, (json.dumps(content, indent=1) + "\n").encode())
        except OSError as error:
            raise TfcassError(
                f"cannot write {str(self._path)!r}: {error.strerror}; make room or give another folder (--out)"
            ) from error


def _load(path: Path) -> dict[str, Record]:
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != _FORMAT:  # Of another version of tfcass: nothing in it counts as done.
            return {}
        return {name: Record(**fields) for name, fields in content["stages"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TfcassError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TfcassError(
            f"{str(path)!r} is damaged ({error!r}); remove it, and the demo starts from the beginning"
        ) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it for this process.

    Raises:
      TfcassError: another demo run uses the folder, or it cannot be made or written.
    """
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked_folder(folder))
        except BlockingIOError:
            raise TfcassError(
                f"another demo run is using {str(folder)!r}; wait for it, or give another folder (--out)"
            ) from None
        except OSError as error:
            raise TfcassError(
                f"cannot write into {str(folder)!r}: {error.strerror}; give another folder (--out)"
            ) from error
        yield
