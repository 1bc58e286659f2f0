"""Splits: named, disjoint sets of rows, and how they were made."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tfcass.errors import SplitError
from tfcass.splits.naming import choices
from tfcass.splits.report import SplitReport, make_report
from tfcass.splits.rows import key_array

if TYPE_CHECKING:
    from tfcass.sharding import WorkerSplits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What split() was asked and given, in values that JSON holds; saved with the splits.

    Attributes:
      key, label, group_by, ratios, balance, bags, max_patches, folds, seed: As given to split(); classes and groups as
        text.
      input_rows: Rows that were given.
      input_sha256: Digest of their keys, labels and groups.
      left_out: Reason ("balance", "max_patches") -> split -> class -> rows; only reasons that apply.
    """

    key: str
    label: str
    group_by: tuple[str, ...]
    ratios: Mapping[str, float]
    balance: str | Mapping[str, float] | None
    bags: Mapping[str, tuple[str, ...]]
    max_patches: int | None
    folds: int | None
    seed: int
    input_rows: int
    input_sha256: str
    left_out: Mapping[str, Mapping[str, Mapping[str, int]]]


class Splits:
    """Named splits. Made by `tfcass.split` or `Splits.load`; immutable.

    Two Splits with the same `digest` hold the same keys under the same names.
    """

    def __init__(self, tables: Mapping[str, pa.Table], recipe: Recipe) -> None:
        self._tables = dict(tables)
        self.recipe = recipe

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of `ratios`."""
        return tuple(self._tables)

    def table(self, name: str) -> pa.Table:
        """The rows of a split with all columns that were given, ascending by key."""
        if name not in self._tables:
            raise SplitError(f"split={name!r} is not in these splits {choices(name, self.names)}")
        return self._tables[name]

    def keys(self, name: str) -> np.ndarray:
        """uint8 [n, 16], read-only, in the order of `table(name)`."""
        keys = key_array(self.table(name), self.recipe.key)
        keys.flags.writeable = False
        return keys

    @functools.cached_property
    def classes(self) -> tuple[object, ...]:
        """The label values that occur, ascending."""
        values = {
            value for table in self._tables.values() for value in table.column(self.recipe.label).unique().to_pylist()
        }
        return tuple(sorted(values))

    @functools.cached_property
    def digest(self) -> str:
        """sha256 over names and keys: what shards and checkpoints are tied to."""
        digest = hashlib.sha256(b"tfcass splits 1\n")
        for name in self.names:
            keys = self.keys(name)
            digest.update(f"{name} {len(keys)}\n".encode())
            digest.update(np.ascontiguousarray(keys).data)
        return digest.hexdigest()

    def fold(self, turn: int) -> "Splits":
        """One turn of cross-validation: "val" is the fold `turn`, "train" all others. Needs split(folds=...)."""
        if self.recipe.folds is None:
            raise SplitError(f"fold({turn}) needs splits made with split(folds=...); these are {', '.join(self.names)}")
        if turn not in range(self.recipe.folds):
            raise SplitError(f"fold({turn!r}) is not in [0, {self.recipe.folds})")
        val = f"fold{turn}"
        train = pa.concat_tables([table for name, table in self._tables.items() if name != val])
        ratios = {"train": float(self.recipe.folds - 1), "val": 1.0}
        # What was left out is told by fold in the splits that this is a view of.
        recipe = dataclasses.replace(
            self.recipe, ratios=ratios, folds=None, bags={}, left_out={}, input_rows=self._rows()
        )
        return Splits({"train": train.sort_by(self.recipe.key), "val": self._tables[val]}, recipe)

    def for_workers(self, n: int, *, train: str = "train", validation: str = "val", seed: int = 0) -> "WorkerSplits":
        """n train and n validation splits, one of each per worker, see tfcass.sharding.workers."""
        from tfcass.sharding.workers import for_workers

        return for_workers(self, n, train=train, validation=validation, seed=seed)

    def report(self) -> SplitReport:
        """Counts per split, class and group, from the rows themselves, and the groups in several splits (none)."""
        return make_report(self._tables, self.classes, self.recipe)

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
          SplitError: No splits there, or damaged ones.
        """
        from tfcass.splits.store import load

        return load(folder)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={table.num_rows}" for name, table in self._tables.items())
        return f"Splits({counts}, digest={self.digest[:12]})"

    def _rows(self) -> int:
        return sum(table.num_rows for table in self._tables.values())
