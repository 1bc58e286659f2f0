"""Which rows take part: `where`, `exclude` and `include`. What they leave out is counted, each row under the first."""

import uuid
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass.errors import KeyFormatError, SplitError
from tfcass.keys import keys as uuid_keys
from tfcass.splits.columns import KEY_BYTES
from tfcass.splits.filters import filter_mask
from tfcass.splits.naming import choices, listed

# Column -> values, or keys: uint8 [n, 16], or UUIDs.
Wanted = Mapping[str, Iterable[object]] | np.ndarray | Iterable[uuid.UUID | str]


def select(
    table: pa.Table,
    *,
    key: str,
    where: pc.Expression | str | None,
    include: Wanted | None,
    exclude: Wanted | None,
) -> tuple[np.ndarray | None, dict[str, int], list[str]]:
    """Returns bool [n], None if all rows take part; reason -> rows that do not; what the user should know.

    Raises:
      SplitError: A condition does not fit the rows, names what no row has, or leaves none.
    """
    taken: np.ndarray | None = None
    left_out: dict[str, int] = {}
    notes: list[str] = []
    for reason, met in _conditions(table, key, where, include, exclude, notes):
        now = met if taken is None else taken & met
        before = table.num_rows if taken is None else int(taken.sum())
        left_out[reason] = before - int(now.sum())
        taken = now
        if left_out[reason] == before:
            raise SplitError(f"{reason} leaves none of the {before} rows to split; ask for less")
    return taken, {reason: count for reason, count in left_out.items() if count}, notes


def _conditions(
    table: pa.Table,
    key: str,
    where: pc.Expression | str | None,
    include: Wanted | None,
    exclude: Wanted | None,
    notes: list[str],
) -> Iterable[tuple[str, np.ndarray]]:
    if where is not None:
        yield "where", _numpy(filter_mask(table, where))
    if exclude is not None:
        hit = np.zeros(table.num_rows, bool)
        for found in _matches("exclude", exclude, table, key, notes):
            hit |= found
        yield "exclude", ~hit
    if include is not None:
        hit = np.ones(table.num_rows, bool)
        for found in _matches("include", include, table, key, notes):
            hit &= found
        yield "include", hit


def _matches(what: str, wanted: Wanted, table: pa.Table, key: str, notes: list[str]) -> Iterable[np.ndarray]:
    if not isinstance(wanted, Mapping):
        yield _with_keys(what, wanted, table, key, notes)
        return
    for name, values in wanted.items():
        if name not in table.column_names:
            raise SplitError(f"{what} names {name!r}, which is not a column {choices(name, table.column_names)}")
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise SplitError(f"{what}[{name!r}]={values!r} is a single value; pass a list")
        yield _with_values(f"{what}[{name!r}]", list(values), table.column(name))


def _with_values(what: str, values: list[object], column: pa.ChunkedArray) -> np.ndarray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    try:
        values_array = pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise SplitError(f"{what}={listed(values)} does not fit the column, which is {kind}: {error}") from None
    there = column.unique()
    there = there.cast(kind) if pa.types.is_dictionary(there.type) else there
    missing = values_array.filter(pc.invert(pc.is_in(values_array, value_set=there))).to_pylist()
    if missing:
        raise SplitError(f"{what} names {missing[0]!r}, which no row has {choices(missing[0], there.to_pylist())}")
    if pa.types.is_dictionary(column.type):
        column = column.cast(kind)
    return _numpy(pc.is_in(column, value_set=values_array))


def _with_keys(what: str, wanted: object, table: pa.Table, key: str, notes: list[str]) -> np.ndarray:
    keys = wanted
    if not (isinstance(keys, np.ndarray) and keys.dtype == np.uint8):
        if isinstance(wanted, str | bytes | uuid.UUID) or not isinstance(wanted, Iterable):
            raise SplitError(
                f"{what}={wanted!r} is a single value; pass a list of keys, or a mapping of column to values, such as "
                f"{{'patient_id': [...]}}"
            )
        try:
            keys = uuid_keys(wanted)
        except KeyFormatError as error:
            raise SplitError(
                f"{what} is neither keys nor a mapping of column to values, such as {{'patient_id': [...]}}: {error}"
            ) from None
    if keys.ndim != 2 or keys.shape[1] != KEY_BYTES:
        raise SplitError(f"{what} has keys of shape {list(keys.shape)}; expected [n, {KEY_BYTES}]")
    found, missing = keys_in(table.column(key), keys)
    if missing:
        notes.append(f"{what} names {missing} of {len(keys)} keys that no row has")
    return found


def keys_in(column: pa.ChunkedArray, keys: np.ndarray) -> tuple[np.ndarray, int]:
    """bool [n]: which rows of the key column are among `keys`; and how many distinct `keys` are in no row."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    data = pa.py_buffer(np.ascontiguousarray(keys))
    wanted = pa.Array.from_buffers(pa.binary(KEY_BYTES), len(keys), [None, data]).unique()
    found = _numpy(pc.is_in(column, value_set=wanted))
    return found, len(wanted) - int(found.sum())


def _numpy(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy()
