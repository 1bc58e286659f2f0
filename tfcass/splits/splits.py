"""Splits: named, disjoint sets of rows, and how they were made."""

import functools
import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass.errors import SplitError
from tfcass.splits.labels import RowLabels
from tfcass.splits.naming import choices
from tfcass.splits.parts import Part
from tfcass.splits.recipe import Recipe
from tfcass.splits.report import SplitReport, make_report
from tfcass.splits.selection import Wanted

if TYPE_CHECKING:
    from tfcass.sharding import WorkerSplits


class Splits:
    """Named splits. Made by `tfcass.split` or `Splits.load`; immutable.

    Two Splits with the same `digest` hold the same keys under the same names.
    """

    def __init__(self, parts: Mapping[str, pa.Table | Part], recipe: Recipe) -> None:
        self._parts = {name: part if isinstance(part, Part) else Part(part) for name, part in parts.items()}
        self.recipe = recipe

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of `ratios`."""
        return tuple(self._parts)

    @property
    def classes(self) -> tuple[object, ...]:
        """The classes, ascending; of several label columns, their names; of quantiles, their ranges in words."""
        return self.recipe.labelling.classes

    def table(self, name: str) -> pa.Table:
        """The rows of a split with all columns that were given, ascending by key."""
        return self._part(name).table()

    def columns(self, name: str, columns: list[str]) -> pa.Table:
        """Some columns of table(name), without gathering the others."""
        part = self._part(name)
        for column in columns:
            if column not in part.column_names:
                raise SplitError(f"column {column!r} is not in these splits {choices(column, part.column_names)}")
        return part.columns(columns)

    def keys(self, name: str) -> np.ndarray:
        """uint8 [n, 16], read-only, in the order of `table(name)`."""
        return self._part(name).keys(self.recipe.key)

    def rows(self, name: str) -> int:
        """How many rows a split has."""
        return self._part(name).rows

    def class_codes(self, name: str) -> np.ndarray:
        """int32 [n]: the place in `classes` of each row's class, in the order of `keys(name)`.

        Raises:
          SplitError: No such split; or rows have several classes.
        """
        if self.recipe.labelling.multiple:
            raise SplitError("class_codes: multi-label rows have several classes; see table(name)")
        return self.row_labels(name).codes

    def row_labels(self, name: str) -> RowLabels:
        """The classes of the rows of a split, several a row if they are multi-label."""
        return self.recipe.labelling.encode(self._part(name).columns(self.recipe.labelling.columns))

    @functools.cached_property
    def digest(self) -> str:
        """sha256 over names and keys: what shards and checkpoints are tied to."""
        digest = hashlib.sha256(b"tfcass splits 1\n")
        for name in self.names:
            keys = self.keys(name)
            digest.update(f"{name} {len(keys)}\n".encode())
            digest.update(np.ascontiguousarray(keys).data)
        return digest.hexdigest()

    def for_workers(self, n: int, *, train: str = "train", validation: str = "val", seed: int = 0) -> "WorkerSplits":
        """n train and n validation splits, one of each per worker, see tfcass.sharding.workers."""
        from tfcass.sharding.workers import for_workers

        return for_workers(self, n, train=train, validation=validation, seed=seed)

    def report(self) -> SplitReport:
        """Counts per split, class and group, from the rows themselves, and the groups in several splits (none)."""
        return self._report

    @functools.cached_property
    def _report(self) -> SplitReport:
        return make_report(self)

    def fold(self, turn: int, validation: float | None = None) -> "Splits":
        """One turn of cross-validation. Needs split(folds=...).

        Args:
          turn: Which fold is held out, in [0, folds).
          validation: None: "val" is that fold, and "train" all others. Else nested: "test" is that fold, and "val" this
            share of the others, again by whole groups and with the same class proportions; "train" has the rest.
        """
        from tfcass.splits.folds import fold

        return fold(self, turn, validation)

    def extend(
        self,
        rows: pa.Table,
        *,
        where: pc.Expression | str | None = None,
        include: Wanted | None = None,
        exclude: Wanted | None = None,
    ) -> "Splits":
        """With rows that came later. No row that is in a split moves.

        New rows of a group that is in a split go there; new groups go where they bring the splits closest to the
        ratios.

        Args:
          rows: The new rows, or a table that has all the old ones as well: rows whose key is in a split are skipped.
            The columns must be those of these splits.
          where, include, exclude: As in split(). A `where` given there as text holds here too, unless another is
            given; what else was given there must be given again.
        Raises:
          SplitError: The rows do not fit; or old rows are among them and these splits were drawn under max_patches,
            balance or targets, so that rows that were left out then cannot be told from new ones: give new rows only.
        """
        from tfcass.splits.growing import extend

        return extend(self, rows, where=where, include=include, exclude=exclude)

    def merge(self, other: "Splits") -> "Splits":
        """The rows of both under each name; a name of one alone is kept.

        Raises:
          SplitError: A key or a group would be in two splits; or columns, labels or grouping differ.
        """
        from tfcass.splits.growing import merge

        return merge(self, other)

    def subtract(self, other: "Splits | np.ndarray", *, groups: bool = False) -> "Splits":
        """Without the rows of `other`: splits, or keys uint8 [n, 16]. With `groups`, without all of their groups."""
        from tfcass.splits.growing import subtract

        return subtract(self, other, groups=groups)

    def missing_from(self, keys: np.ndarray | pa.ChunkedArray | pa.Array) -> dict[str, np.ndarray]:
        """The rows of each split that a table lacks.

            keys = tfcass.read_rows("wsi.data_by_uuid_tiff", cluster=cluster, columns=["patch_id"])["patch_id"]
            lost = splits.missing_from(keys)

        Args:
          keys: The keys that there are: uint8 [n, 16], or an Arrow column of them.
        Returns:
          Split -> uint8 [m, 16], ascending; splits that lack nothing are not in it.
        """
        from tfcass.splits.growing import missing_from

        return missing_from(self, keys)

    def check_in(self, keys: np.ndarray | pa.ChunkedArray | pa.Array, table: str = "the table") -> None:
        """Raises SplitError, naming some, if a table lacks rows of these splits. Args as in missing_from."""
        from tfcass.splits.growing import check_in

        check_in(self, keys, table)

    def prune(self, keys: np.ndarray | pa.ChunkedArray | pa.Array) -> "Splits":
        """Without the rows that missing_from(keys) names; they are counted in the report under "pruned".

        Raises:
          SplitError: A split would be empty.
        """
        from tfcass.splits.growing import prune

        return prune(self, keys)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes manifest.json and one Parquet file per split; a folder that holds splits is replaced in one step.

        Raises:
          SplitError: The folder cannot be written; what it held before is untouched.
        """
        from tfcass.splits.store import save

        save(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Splits":
        """Reads what `save` wrote, checking every hash, and that no key or group is in two splits.

        Raises:
          SplitError: No splits there, damaged ones, or ones of another version.
        """
        from tfcass.splits.store import load

        return load(folder)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={part.rows}" for name, part in self._parts.items())
        return f"Splits({counts}, digest={self.digest[:12]})"

    def _part(self, name: str) -> Part:
        if name not in self._parts:
            raise SplitError(f"split={name!r} is not in these splits {choices(name, self.names)}")
        return self._parts[name]
