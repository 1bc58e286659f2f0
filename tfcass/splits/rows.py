"""An Arrow table of rows, checked, and in an order that does not depend on the order in which the rows came."""

import dataclasses
import hashlib
import uuid
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass.errors import KeyFormatError, SplitError
from tfcass.splits.naming import choices

KEY_BYTES = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Rows in canonical order: ascending by key.

    Attributes:
      table: All columns that were given.
      keys: uint8 [n, 16].
      classes: The label values that occur, ascending: class c is `classes[c]`.
      row_class: int64 [n], in [0, len(classes)).
      group_by: The grouping columns; empty when each row is a group of its own.
      row_group: int64 [n], in [0, n_groups); groups ascend by their values.
      n_groups: Number of groups.
    """

    table: pa.Table
    keys: np.ndarray
    classes: tuple[object, ...]
    row_class: np.ndarray
    group_by: tuple[str, ...]
    row_group: np.ndarray
    n_groups: int

    @classmethod
    def check(cls, table: pa.Table, *, key: str, label: str, group_by: Sequence[str]) -> "Rows":
        """Sorts and encodes `table`.

        Raises:
          KeyFormatError: The key column is not fixed_size_binary(16).
          SplitError: No rows; unknown column; null key, label or group; duplicate keys; labels that are not classes.
        """
        if not isinstance(table, pa.Table):
            raise SplitError(f"rows is a {type(table).__name__}; pass a pyarrow.Table, as tfcass.read_rows() gives it")
        for role, name in [("key", key), ("label", label), *(("group_by", name) for name in group_by)]:
            if name not in table.column_names:
                raise SplitError(f"{role}={name!r} is not a column of the rows {choices(name, table.column_names)}")
        if table.num_rows == 0:
            raise SplitError(
                "no rows to split: the table is empty; was anything ingested, and does `where` match any row?"
            )
        for name in dict.fromkeys([key, label, *group_by]):
            _refuse_nulls(table, name, key=key)

        keys = key_array(table, key)
        order = key_order(keys)
        keys = keys[order]
        _refuse_duplicates(keys, key)
        table = table.take(pa.array(order))
        row_class, classes = _classes(table, label)
        row_group, n_groups = _groups(table, group_by)
        return cls(table, keys, classes, row_class, tuple(group_by), row_group, n_groups)

    def group_names(self) -> list[object]:
        """The value of each group, by group number; a tuple when there are several grouping columns."""
        first_row = np.unique(self.row_group, return_index=True)[1]
        return group_values(self.table.take(pa.array(first_row)), self.group_by)

    def digest(self) -> str:
        """sha256 of what decides a split: keys, labels and groups."""
        digest = hashlib.sha256(repr((self.classes, self.group_by, len(self.keys))).encode())
        for array in (self.keys, self.row_class, self.row_group):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def key_array(table: pa.Table, key: str) -> np.ndarray:
    """The key column as uint8 [n, 16]; no copy where the column is one chunk."""
    column = table.column(key)
    if isinstance(column.type, pa.BaseExtensionType):  # arrow.uuid
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if column.type != pa.binary(KEY_BYTES):
        raise KeyFormatError(
            f"key={key!r} has type {column.type}; expected fixed_size_binary(16), the bytes of a UUID: "
            "tfcass.read_rows() gives uuid columns so"
        )
    array = column.combine_chunks()
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    data = np.frombuffer(array.buffers()[1] or b"", np.uint8) if len(array) else np.zeros(0, np.uint8)
    return data[array.offset * KEY_BYTES : (array.offset + len(array)) * KEY_BYTES].reshape(-1, KEY_BYTES)


def key_order(keys: np.ndarray) -> np.ndarray:
    """int64 [n]: the order in which keys ascend as byte strings."""
    words = np.ascontiguousarray(keys).view(">u8").astype(np.uint64)
    return np.lexsort((words[:, 1], words[:, 0]))


def group_values(table: pa.Table, group_by: Sequence[str]) -> list[object]:
    """One value per row: the grouping column's, or a tuple of several."""
    columns = [table.column(name).to_pylist() for name in group_by]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def encode(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """A column without nulls -> (int64 [n] codes, the values by code, ascending)."""
    column = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    encoded = pa.chunked_array(column.chunks, column.type).combine_chunks()
    encoded = pa.concat_arrays(encoded.chunks) if isinstance(encoded, pa.ChunkedArray) else encoded
    encoded = encoded.dictionary_encode()
    ascending = pc.array_sort_indices(encoded.dictionary)
    code_of = np.empty(len(ascending), np.int64)
    code_of[ascending.to_numpy()] = np.arange(len(ascending))
    return code_of[encoded.indices.to_numpy()], encoded.dictionary.take(ascending)


def _classes(table: pa.Table, label: str) -> tuple[np.ndarray, tuple[object, ...]]:
    kind = table.schema.field(label).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
    ):
        raise SplitError(
            f"label={label!r} has type {kind}; classes are integers, booleans or strings: pass another column"
        )
    if pa.types.is_boolean(kind):  # Arrow does not sort booleans.
        codes, values = encode(table.column(label).cast(pa.int8()))
        return codes, tuple(bool(value) for value in values.to_pylist())
    codes, values = encode(table.column(label))
    return codes, tuple(values.to_pylist())


def _groups(table: pa.Table, group_by: Sequence[str]) -> tuple[np.ndarray, int]:
    if not group_by:
        return np.arange(table.num_rows), table.num_rows
    codes, values = encode(table.column(group_by[0]))
    count = len(values)
    for name in group_by[1:]:
        more, values = encode(table.column(name))
        # Packed again after each column, so that the product of many columns cannot overflow.
        present, codes = np.unique(codes * len(values) + more, return_inverse=True)
        count = len(present)
    return codes, count


def _refuse_nulls(table: pa.Table, name: str, *, key: str) -> None:
    nulls = table.column(name).null_count
    if not nulls:
        return
    first = pc.index(pc.is_null(table.column(name)), pa.scalar(True)).as_py()
    where = f"row {first}"
    value = None if name == key else table.column(key)[first].as_py()
    if isinstance(value, bytes) and len(value) == KEY_BYTES:
        where += f", {key}={uuid.UUID(bytes=value)}"
    raise SplitError(
        f"column {name!r} is null in {nulls} of {table.num_rows} rows (first: {where}); fill it or leave these rows out"
    )


def _refuse_duplicates(keys: np.ndarray, key: str) -> None:
    same = np.flatnonzero((keys[1:] == keys[:-1]).all(axis=1))
    if len(same):
        raise SplitError(
            f"{len(same)} of {len(keys)} rows repeat a key of column {key!r} (first: "
            f"{uuid.UUID(bytes=keys[same[0]].tobytes())}); each key may come once, else it could land in two splits: "
            "was the table read twice, or is this another table's id?"
        )
