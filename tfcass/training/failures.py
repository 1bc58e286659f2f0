"""What becomes of rows that are missing or cannot be decoded, such that all ranks stay in step.

A batch never gets shorter: a failed row keeps its place, with the weight 0, or another row takes it.
"""

import dataclasses
import os
import threading
from pathlib import Path

from tfcass.errors import OptionError, TfcassError
from tfcass.keys import key_text
from tfcass.training.epochs import EpochParts
from tfcass.training.quarantine import append_to_quarantine

POLICIES = ("error", "replace", "zero_weight")
ATTEMPTS = 8  # Replacements that may fail themselves, one after the other.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failures:
    """How row_batches() deals with rows that are missing, or that `decode` fails on.

    Attributes:
      policy: "error" stops the run at the first one, naming it. "zero_weight" keeps its place in the batch, with zeros
        and "" as content and 0 as "weight": no metric or loss that is weighted sees it. "replace" puts another row of
        the split there, which one is a function of plan, epoch and position alone: a resumed run puts the same.
      budget: How many rows of one rank may fail in an epoch before the run stops: a number of rows (int), or a share
        of the rows that the rank reads in an epoch (float in [0, 1]). Not used by "error".
      quarantine: File to which each failed row is added, with the reason; see Quarantine. On a file system that
        several machines share, give each rank its own. None: not kept.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    policy: str = "error"
    budget: int | float = 0.001
    quarantine: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise OptionError(f"policy={self.policy!r} is not one of {', '.join(map(repr, POLICIES))}")
        count = isinstance(self.budget, int) and not isinstance(self.budget, bool) and self.budget >= 0
        if not count and not (isinstance(self.budget, float) and 0 <= self.budget <= 1):
            raise OptionError(
                f"budget={self.budget!r} is neither a number of rows (an int of at least 0) nor a share of them (a "
                "float in [0, 1])"
            )

    def allowed(self, rows: int) -> int:
        """Rows that may fail in an epoch of `rows` rows of this rank."""
        return self.budget if isinstance(self.budget, int) else int(self.budget * rows)


class FailureRecord:
    """Counts failed rows of one dataset, and writes them down. Any thread."""

    def __init__(self, failures: Failures, parts: EpochParts) -> None:
        self._failures, self._plan, self._rank = failures, parts.whole.plan, parts.whole.shard.rank
        self._rows = parts.whole.rows
        self._path = Path(failures.quarantine) if failures.quarantine is not None else None
        if self._path is not None:
            append_to_quarantine(self._path, [])  # A file that cannot be written is told now.
        self._lock = threading.Lock()
        self._failed: dict[int, set[bytes]] = {}

    def add(self, epoch: int, rows: list[tuple[bytes, int, str]]) -> str:
        """Notes failed rows: (key, position, reason).

        Returns:
          Why the run must stop; "" while it may go on.
        """
        with self._lock:
            failed = self._failed.setdefault(epoch, set())
            # An epoch that is read again, or a repeat that fills up a batch, does not count twice.
            new = {key: (position, reason) for key, position, reason in rows if key not in failed}
            failed.update(new)
            if new and self._path is not None:
                try:
                    append_to_quarantine(self._path, [self._entry(epoch, key, *rest) for key, rest in new.items()])
                except TfcassError as error:
                    return str(error)
            return self._verdict(epoch, len(failed), *rows[-1]) if rows else ""

    def exhausted(self, key: bytes, position: int) -> str:
        return (
            f"no replacement for row {key_text(key)} (position {position} of split {self._plan.name!r}): {ATTEMPTS} "
            "other rows failed as well; is this the right table, and does `decode` fit it?"
        )

    def _verdict(self, epoch: int, failed: int, key: bytes, position: int, reason: str) -> str:
        row = f"row {key_text(key)} (split {self._plan.name!r}, epoch {epoch}, position {position}): {reason}"
        where = f"; all of them are in {self._path}" if self._path else ""
        if self._failures.policy == "error":
            return f"{row}; ingest it again, or pass Failures(policy='zero_weight' or 'replace')"
        allowed = self._failures.allowed(self._rows)
        if failed <= allowed:
            return ""
        return (
            f"{failed} rows failed in epoch {epoch} on rank {self._rank}, and budget={self._failures.budget!r} allows "
            f"{allowed} of its {self._rows}; the last: {row}{where}; ingest them again, leave them out of the Plan, "
            "or raise the budget"
        )

    def _entry(self, epoch: int, key: bytes, position: int, reason: str) -> dict:
        return {
            "patch_id": key_text(key),
            "reason": reason,
            "split": self._plan.name,
            "epoch": epoch,
            "position": position,
            "rank": self._rank,
        }
