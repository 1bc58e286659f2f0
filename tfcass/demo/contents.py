"""What a report shows: plain values. gather.py collects them, figures.py and beam_pipelines.drawing draw them."""

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from beam_pipelines.drawing.views import PatchPicture, SlideView


@attrs.frozen
class SplitCount:
    """One line of the table of splits. `stored` counts all patches of its patients, `used` those the split took."""

    name: str
    patients: Sequence[str]
    slides: int
    used_by_label: Sequence[int]
    stored_by_label: Sequence[int]

    @property
    def used(self) -> int:
        return sum(self.used_by_label)

    @property
    def stored(self) -> int:
        return sum(self.stored_by_label)


@attrs.frozen
class TableCount:
    """Rows of one table, read back from Cassandra."""

    table: str
    rows: int
    rows_by_label: Sequence[int]


@attrs.frozen
class History:
    """Training curves, one value an epoch. `majority` is the accuracy of always answering the commoner class."""

    loss: Sequence[float]
    val_loss: Sequence[float]
    accuracy: Sequence[float]
    val_accuracy: Sequence[float]
    majority: float


@attrs.frozen(eq=False)
class Confusion:
    """Counts of truth (rows) against prediction (columns) on one split.

    Attributes:
      split: Which split was asked.
      counts: int [classes, classes].
    """

    split: str
    counts: np.ndarray

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Share of right answers; 0 when nothing was asked."""
        return float(np.trace(self.counts)) / self.total if self.total else 0.0

    @property
    def majority(self) -> float:
        """Accuracy of always answering the commoner class."""
        return float(self.counts.sum(axis=1).max()) / self.total if self.total else 0.0

    @property
    def sensitivity(self) -> float:
        """Share of tumour patches called tumour; NaN without tumour patches."""
        return float(self.counts[1, 1] / self.counts[1].sum()) if self.counts[1].sum() else float("nan")

    @property
    def specificity(self) -> float:
        """Share of normal patches called normal; NaN without normal patches."""
        return float(self.counts[0, 0] / self.counts[0].sum()) if self.counts[0].sum() else float("nan")


@attrs.frozen
class StageLine:
    """Time of one stage.

    Attributes:
      title, what: A word, and what it did.
      seconds: Wall-clock, with the start of its processes.
      rows, rows_what: Rows moved to or from Cassandra, and how ("written", "read"); None where a stage moves none.
      rows_per_s: Measured inside the stage, over the part that moves rows.
      earlier: True if an earlier run did it.
    """

    title: str
    what: str
    seconds: float
    rows: int | None = None
    rows_what: str = ""
    rows_per_s: float | None = None
    earlier: bool = False


@attrs.frozen(eq=False)
class Report:
    """Everything on the page. `environment` and `settings` are shown as they are: name -> text."""

    tables: Sequence[TableCount]
    splits: Sequence[SplitCount]
    leaks: Mapping[tuple[str, str], int]  # Pair of splits -> groups (patients) that are in both.
    slides: Sequence[SlideView]
    patches: Sequence[PatchPicture]
    history: History
    confusions: Sequence[Confusion]
    read_rows: int
    read_rows_per_s: float
    read_mb_per_s: float
    stages: Sequence[StageLine]
    environment: Mapping[str, str]
    settings: Mapping[str, str]
    provenance: str
    unreadable_slides: Sequence[tuple[str, str]] = ()  # File name, reason.
    finished: str = ""
