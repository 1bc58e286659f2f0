"""The patches of one slide."""

import dataclasses
import difflib
import math

import numpy as np
import pyarrow as pa

from tfcass._scan import read_rows
from tfcass.cluster import Cluster
from tfcass.errors import OptionError, TfcassError
from tfcass.splits.rows import key_array

COLUMNS = ("patch_id", "slide", "x", "y", "level", "mpp")


def rows_of_slide(table: str, slide: str, *, cluster: Cluster, columns: tuple[str, ...] = COLUMNS) -> pa.Table:
    """All rows of a slide in a metadata table.

    The slide is no part of that table's key: the servers look at every row, and send those of the slide.

    Args:
      table: "keyspace.table", with a column `slide`.
      slide: As in that column: the slide's file name.
    Returns:
      The columns asked, ordered by y and then x where both are among them.
    Raises:
      TfcassError: The table has no row of this slide; the message lists slides of similar names.
      SchemaError, ClusterError: As read_rows.
    """
    rows = read_rows(table, cluster=cluster, columns=columns, where={"slide": slide})
    if rows.num_rows:
        return rows.sort_by([(name, "ascending") for name in ("y", "x") if name in columns])
    stored = sorted(set(read_rows(table, cluster=cluster, columns=["slide"])["slide"].drop_null().to_pylist()))
    near = difflib.get_close_matches(slide, stored, n=3)
    shown = ", ".join(map(repr, near or stored[:5])) + (", ..." if not near and len(stored) > 5 else "")
    hint = f"did you mean {shown}?" if near else f"it has {len(stored)} slides: {shown}" if stored else "it has none"
    raise TfcassError(f"{table} has no patch of slide {slide!r}; {hint}")


@dataclasses.dataclass(frozen=True, eq=False)
class SlidePatches:
    """Patches of a slide with what a model says of them.

    Attributes:
      slide: File name of the slide.
      keys: uint8 [n, 16].
      corners_l0: int [n, 2]: x, y of the top-left corners, in level-0 pixels.
      side_l0: Side of a patch in level-0 pixels, positive.
      probabilities: float32 [n, classes].
      classes: Names of the classes 0, 1, ...
    Raises:
      OptionError: Shapes do not fit together, or a probability is not in [0, 1].
    """

    slide: str
    keys: np.ndarray
    corners_l0: np.ndarray
    side_l0: float
    probabilities: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.keys)
        shapes = (self.keys.shape, self.corners_l0.shape, self.probabilities.shape)
        if shapes != ((n, 16), (n, 2), (n, len(self.classes))):
            raise OptionError(
                f"keys, corners_l0 and probabilities are {', '.join(str(list(shape)) for shape in shapes)}; "
                f"expected [n, 16], [n, 2] and [n, {len(self.classes)}] for classes {', '.join(self.classes)}"
            )
        if not 0 < self.side_l0 < math.inf:
            raise OptionError(f"side_l0={self.side_l0!r} is not a positive number of pixels")
        if not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():  # Also refuses nan.
            raise OptionError("a probability is not in [0, 1]: give predict() the activation that the model lacks")

    @classmethod
    def of_rows(
        cls, rows: pa.Table, probabilities: np.ndarray, *, side_l0: float, classes: tuple[str, ...]
    ) -> "SlidePatches":
        """From `rows_of_slide` and, in the same order, `predict`."""
        corners = np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], axis=1)
        slide = rows["slide"][0].as_py()
        return cls(slide, key_array(rows, "patch_id"), corners, float(side_l0), probabilities, tuple(classes))

    def index_of(self, name: str) -> int:
        """Number of a class.

        Raises:
          OptionError: No such class.
        """
        if name not in self.classes:
            raise OptionError(f"class {name!r} is not one of {', '.join(map(repr, self.classes))}")
        return self.classes.index(name)
