"""An Arrow table of rows, checked and as codes, in an order that does not depend on the order in which they came."""

import dataclasses
import hashlib
import uuid
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass.errors import SplitError
from tfcass.splits import labels as labelling_
from tfcass.splits.cells import Strata
from tfcass.splits.columns import (
    KEY_BYTES,
    chunks,
    compact,
    encode,
    encode_groups,
    group_values,
    key_array,
    key_order,
    take_keys,
)
from tfcass.splits.labels import Labelling, RowLabels
from tfcass.splits.naming import choices, listed
from tfcass.splits.selection import Wanted, select

__all__ = ["Rows", "key_array", "key_order"]

_WEIGHT_BITS = 20  # A weight of mean size counts 2**20: weights are whole numbers, whose sums are exact.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns mean what; see split()."""

    key: str
    label: str | Sequence[str]
    group_by: tuple[str, ...] = ()
    cover: tuple[str, ...] = ()
    stratify: tuple[str, ...] = ()
    weight: str | None = None

    def check(self, table: pa.Table) -> None:
        """Raises SplitError unless `table` is a table with rows and these columns."""
        if not isinstance(table, pa.Table):
            raise SplitError(f"rows is a {type(table).__name__}; pass a pyarrow.Table, as tfcass.read_rows() gives it")
        labels = (self.label,) if isinstance(self.label, str) else tuple(self.label)
        roles = [("key", (self.key,)), ("label", labels), ("group_by", self.group_by), ("cover", self.cover)]
        roles += [("stratify", self.stratify), ("weight", (self.weight,) if self.weight is not None else ())]
        for role, names in roles:
            for name in names:
                if name not in table.column_names:
                    raise SplitError(f"{role}={name!r} is not a column of the rows {choices(name, table.column_names)}")
        if table.num_rows == 0:
            raise SplitError(
                "no rows to split: the table is empty; was anything ingested, and does `where` match any row?"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The rows that take part, ascending by key. Codes and positions are by this order.

    Attributes:
      table: What was given, in its order.
      order: int64 [n]: the position in `table` of each row.
      keys: uint8 [len(table), 16], in the order of `table`.
      columns: What was asked.
      labelling: How classes come from columns.
      labels: The classes of rows.
      row_group: int32 [n], in [0, n_groups); groups ascend by their values. None: each row is a group of its own.
      n_groups: Number of groups.
      strata: Classes first, then columns to cover, then columns to stratify by.
      weight: int64 [n], or None.
      left_out: Reason -> rows that take no part.
      notes: What the user should know.
    """

    table: pa.Table
    order: np.ndarray
    keys: np.ndarray
    columns: Columns
    labelling: Labelling
    labels: RowLabels
    row_group: np.ndarray | None
    n_groups: int
    strata: tuple[Strata, ...]
    weight: np.ndarray | None
    left_out: Mapping[str, int]
    notes: tuple[str, ...]

    @classmethod
    def check(
        cls,
        table: pa.Table,
        columns: Columns,
        *,
        where: pc.Expression | str | None = None,
        include: Wanted | None = None,
        exclude: Wanted | None = None,
        labels: Sequence[object] | None = None,
        label_map: Mapping[object, object] | None = None,
        num_classes: int | None = None,
        quantiles: int | None = None,
        labelling: Labelling | None = None,
    ) -> "Rows":
        """Selects, sorts and encodes `table`; with a `labelling`, that one is used.

        Raises:
          KeyFormatError: The key column is not fixed_size_binary(16).
          SplitError: No rows; unknown column; null key, label or group; duplicate keys; labels that are not classes; a
            setting that does not fit the rows.
        """
        columns.check(table)
        key = columns.key
        keys = key_array(table, key)
        _refuse_nulls(table, key, None, key=key)
        taken, left_out, notes = select(table, key=key, where=where, include=include, exclude=exclude)
        if labelling is None:
            labelling = labelling_.make_labelling(
                table,
                columns.label,
                labels=labels,
                label_map=label_map,
                num_classes=num_classes,
                quantiles=quantiles,
                taken=taken,
            )
        row_labels = labelling.encode(table)
        taken = _without_class(row_labels, labelling, table, taken, left_out, key)
        order = _order(keys, taken, key)
        n = len(order)
        row_labels = row_labels.at(order, table.num_rows)
        n_classes = len(labelling.classes)
        strata = [Strata("class", labelling.classes, row_labels.codes, row_labels.row)]
        if labelling.multiple:  # Rows without a class count too.
            strata.append(Strata("rows", ("rows",), np.zeros(n, np.int32), required=False))
        elif labelling.kind == "class":
            present = np.bincount(row_labels.codes, minlength=n_classes)
            if not present.all():
                absent = [labelling.classes[c] for c in np.flatnonzero(present == 0)]
                if labels is not None or label_map is not None or num_classes is not None:
                    raise SplitError(f"class {listed(absent)} is absent: no row that takes part has it")
        for name in (*columns.cover, *columns.stratify):
            strata.append(_column_strata(table, name, order, key, required=name in columns.cover))
        row_group, n_groups = None, n
        if columns.group_by:
            for name in columns.group_by:
                _refuse_nulls(table, name, taken, key=key)
            codes, count = encode_groups(table, columns.group_by)
            row_group, groups = compact(codes[order], count)
            n_groups = len(groups)
        weight = None if columns.weight is None else _weights(table, columns.weight, order, key)
        return cls(
            table,
            order,
            keys,
            columns,
            labelling,
            row_labels,
            row_group,
            n_groups,
            tuple(strata),
            weight,
            left_out,
            tuple(notes),
        )

    def __len__(self) -> int:
        return len(self.order)

    def groups(self) -> np.ndarray:
        """int [n]: the group of each row."""
        return np.arange(len(self)) if self.row_group is None else self.row_group

    def group_names(self) -> list[object]:
        """The value of each group, by group number; a tuple when there are several grouping columns."""
        first_row = np.empty(self.n_groups, np.int64)
        first_row[self.row_group[::-1]] = np.arange(len(self) - 1, -1, -1)
        columns = self.table.select(list(self.columns.group_by))
        return group_values(columns.take(pa.array(self.order[first_row])), self.columns.group_by)

    def digest(self) -> str:
        """sha256 of what decides a split: keys, classes, groups and strata."""
        what = [(part.what, tuple(part.values)) for part in self.strata]
        digest = hashlib.sha256(repr((what, self.columns.group_by, len(self))).encode())
        for piece in chunks(len(self)):
            digest.update(take_keys(self.keys, self.order[piece]).data)
        arrays = [array for part in self.strata for array in (part.row, part.codes)]
        for array in (*arrays, self.row_group, self.weight):
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _order(keys: np.ndarray, taken: np.ndarray | None, key: str) -> np.ndarray:
    """int64 [n]: the positions of the rows taken, ascending by key; no key twice in all of `keys`."""
    order = key_order(keys)
    same = 0
    for piece in chunks(len(order) - 1):
        ahead = take_keys(keys, order[piece.start : piece.stop + 1]).view(np.uint64)
        equal = np.flatnonzero((ahead[1:] == ahead[:-1]).all(axis=1))
        if len(equal) and not same:
            first = uuid.UUID(bytes=ahead[equal[0]].tobytes())
        same += len(equal)
    if same:
        raise SplitError(
            f"{same} of {len(keys)} rows repeat a key of column {key!r} (first: {first}); each key may come once, else "
            "it could land in two splits: was the table read twice, or is this another table's id?"
        )
    return order if taken is None else order[taken[order]]


def _without_class(
    row_labels: RowLabels,
    labelling: Labelling,
    table: pa.Table,
    taken: np.ndarray | None,
    left_out: dict[str, int],
    key: str,
) -> np.ndarray | None:
    """Leaves out and counts what label_map and labels leave out; a null label, or a class unknown, is an error."""
    _refuse_unknown(row_labels, labelling, table, taken)
    if row_labels.row is not None:
        null = np.zeros(table.num_rows, bool)
        null[row_labels.row[row_labels.codes == labelling_.NULL]] = True
        if taken is not None:
            null &= taken
        if null.any():
            raise SplitError(
                f"column {labelling.columns[0]!r} has a null among the labels of {int(null.sum())} of {len(null)} rows "
                f"(first: {_row_words(table, int(null.argmax()), key)}); fill it or leave these rows out"
            )
        return taken
    if not (row_labels.codes < 0).any():
        return taken
    here = np.ones(table.num_rows, bool) if taken is None else taken
    null = (row_labels.codes == labelling_.NULL) & here
    if null.any():
        raise SplitError(_null_words(table, labelling.columns[0], null, key))
    for reason, code in (("label_map", labelling_.UNMAPPED), ("labels", labelling_.UNLISTED)):
        count = int(((row_labels.codes == code) & here).sum())
        if count:
            left_out[reason] = count
    here = here & (row_labels.codes >= 0)
    if not here.any():
        raise SplitError(f"{listed(left_out)} leave none of the {table.num_rows} rows to split")
    return here


def _refuse_unknown(row_labels: RowLabels, labelling: Labelling, table: pa.Table, taken: np.ndarray | None) -> None:
    """Only where rows are encoded as others were."""
    unknown = np.flatnonzero(row_labels.codes == labelling_.UNKNOWN)
    rows = unknown if row_labels.row is None else row_labels.row[unknown]
    rows = rows if taken is None else rows[taken[rows]]
    if len(rows):
        value = table.column(labelling.columns[0])[int(rows[0])].as_py()
        raise SplitError(
            f"label {value!r} of {len(rows)} rows is not a class of these splits (has: {listed(labelling.classes)}); "
            "leave such rows out with where=..., or make new splits"
        )


def _column_strata(table: pa.Table, name: str, order: np.ndarray, key: str, *, required: bool) -> Strata:
    _refuse_nulls(table, name, None if len(order) == table.num_rows else _mask(order, table.num_rows), key=key)
    try:
        codes, values = encode(table.column(name))
    except SplitError as error:
        raise SplitError(f"{'cover' if required else 'stratify'}={name!r}: {error}") from None
    codes, present = compact(codes[order], len(values))
    return Strata(name, tuple(values.take(pa.array(present)).to_pylist()), codes, required=required)


def _weights(table: pa.Table, name: str, order: np.ndarray, key: str) -> np.ndarray:
    column = table.column(name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise SplitError(f"weight={name!r} has type {column.type}; it must be a number")
    _refuse_nulls(table, name, None if len(order) == table.num_rows else _mask(order, table.num_rows), key=key)
    weight = column.cast(pa.float64(), safe=False).to_numpy()[order]
    bad = ~(np.isfinite(weight) & (weight > 0))
    if bad.any():
        at = int(bad.argmax())
        raise SplitError(
            f"weight={name!r} is {weight[at]} in {int(bad.sum())} rows (first: "
            f"{_row_words(table, int(order[at]), key)}); weights are positive numbers: leave such rows out"
        )
    # Divided by a power of two near their mean, which changes no digit.
    mean = float(np.sort(weight).sum()) / len(weight)
    scale = _WEIGHT_BITS - int(np.frexp(mean)[1])
    return np.maximum(1, np.rint(np.ldexp(weight, scale))).astype(np.int64)


def _mask(positions: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[positions] = True
    return mask


def _refuse_nulls(table: pa.Table, name: str, taken: np.ndarray | None, *, key: str) -> None:
    column = table.column(name)
    if pa.types.is_dictionary(column.type) and any(chunk.dictionary.null_count for chunk in column.chunks):
        column = column.cast(column.type.value_type)
    if not column.null_count:
        return
    null = pc.is_null(column).to_numpy()
    if taken is not None:
        null = null & taken
    if null.any():
        raise SplitError(_null_words(table, name, null, key))


def _null_words(table: pa.Table, name: str, null: np.ndarray, key: str) -> str:
    where = f"row {int(null.argmax())}" if name == key else _row_words(table, int(null.argmax()), key)
    return (
        f"column {name!r} is null in {int(null.sum())} of {len(null)} rows (first: {where}); fill it or leave these "
        "rows out"
    )


def _row_words(table: pa.Table, row: int, key: str) -> str:
    value = table.column(key)[row].as_py()
    value = value.bytes if isinstance(value, uuid.UUID) else value
    known = isinstance(value, bytes) and len(value) == KEY_BYTES
    return f"row {row}" + (f", {key}={uuid.UUID(bytes=value)}" if known else "")
