"""The rows of one split: positions in a table that all splits share, gathered when they are asked for."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tfcass.splits.columns import key_array, take_keys


class Part:
    """Rows of a table.

    Args:
      source: The table.
      positions: Integers [n]: which rows, in what order; None: all of them.
    """

    def __init__(self, source: pa.Table, positions: np.ndarray | None = None) -> None:
        self._source = source
        self._positions = positions
        self._keys: np.ndarray | None = None

    @property
    def rows(self) -> int:
        return self._source.num_rows if self._positions is None else len(self._positions)

    @property
    def column_names(self) -> list[str]:
        return self._source.column_names

    def table(self) -> pa.Table:
        """All columns. They are gathered once, and the shared table is let go."""
        if self._positions is not None:
            self._source = self._source.take(pa.array(self._positions))
            self._positions = self._keys = None
        return self._source

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns, each once."""
        few = self._source.select(list(dict.fromkeys(names)))
        return few if self._positions is None else few.take(pa.array(self._positions))

    def keys(self, key: str) -> np.ndarray:
        """uint8 [n, 16], read-only."""
        if self._keys is None:
            keys = key_array(self._source, key)
            if self._positions is not None:
                keys = take_keys(keys, self._positions)
            keys.flags.writeable = False
            self._keys = keys
        return self._keys
