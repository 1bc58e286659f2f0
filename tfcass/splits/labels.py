"""Label columns -> classes: one class a row, several (multi-label), or quantiles of a number (regression)."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass.errors import SplitError
from tfcass.splits.columns import encode
from tfcass.splits.naming import choices, listed
from tfcass.splits.randomness import Stream

NULL, UNMAPPED, UNLISTED, UNKNOWN = -1, -2, -3, -4  # Codes of rows that have no class.
_MOST_QUANTILES = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelling:
    """How classes come from columns, in values that JSON holds; kept with the splits, so that counts can be made again.

    Attributes:
      columns: The label columns.
      kind: "class": a class a row. "list": a list of classes a row. "columns": a class a column, which says whether the
        row has it. "quantiles": a number a row, whose range is a class.
      label_map: (value, class) pairs; the class None leaves the value out. None: the values are the classes.
      listed: Whether other classes are left out.
      classes: The classes, ascending.
      edges: Of quantiles: class i holds the values in [edges[i], edges[i + 1]), the last its upper edge too.
    """

    columns: tuple[str, ...]
    kind: str
    label_map: tuple[tuple[object, object], ...] | None
    classes: tuple[object, ...]
    listed: bool = False
    edges: tuple[float, ...] | None = None

    @property
    def multiple(self) -> bool:
        """Whether a row can have several classes, or none."""
        return self.kind in ("list", "columns")

    def encode(self, table: pa.Table) -> "RowLabels":
        """The classes of rows."""
        if self.kind == "quantiles":
            numbers = _numbers(table, self.columns[0])
            inner = np.array(self.edges[1:-1])
            codes = np.searchsorted(inner, numbers, side="right").astype(np.int32)
            codes[np.isnan(numbers)] = NULL
            return RowLabels(codes, None)
        if self.kind == "columns":
            return _encode_flags(table, self.columns)
        raw = _raw_codes(table, self.columns[0], self.kind)
        return raw.through(self._lookup(raw.values))

    def _lookup(self, values: Sequence[object]) -> np.ndarray:
        """int32: the class of each value, or why it has none."""
        class_of = {cls: code for code, cls in enumerate(self.classes)}
        mapped = dict(self.label_map) if self.label_map is not None else None
        lookup = np.empty(len(values), np.int32)
        for i, value in enumerate(values):
            if mapped is not None and value not in mapped:
                lookup[i] = UNKNOWN
                continue
            cls = value if mapped is None else mapped[value]
            lookup[i] = UNMAPPED if cls is None else class_of.get(cls, UNLISTED if self.listed else UNKNOWN)
        return lookup


@dataclasses.dataclass(frozen=True, eq=False)
class RowLabels:
    """Classes by row.

    Attributes:
      codes: int32 [n]: the class of row i, or [p]: of pair i. Below 0: none, see NULL and so on.
      row: None when codes[i] is of row i; else int64 [p], ascending: the row of each pair, each (row, class) once.
    """

    codes: np.ndarray
    row: np.ndarray | None

    def at(self, positions: np.ndarray, n: int) -> "RowLabels":
        """Of the rows at `positions` of n, each named once, in that order."""
        if self.row is None:
            return RowLabels(self.codes[positions], None)
        place = np.full(n, -1, np.int64)
        place[positions] = np.arange(len(positions))
        row = place[self.row]
        kept = np.flatnonzero(row >= 0)
        kept = kept[np.argsort(row[kept], kind="stable")]
        return RowLabels(self.codes[kept], row[kept])

    def draw_codes(self, n: int) -> tuple[np.ndarray, int]:
        """int32 [n]: what a row counts as when rows are drawn, its class or its set of classes; how many there are.

        Of single classes: no code is below 0.
        """
        if self.row is None:
            return self.codes, int(self.codes.max(initial=-1)) + 1
        words = Stream(1).priorities(int(self.codes.max(initial=0)) + 1)
        sums = np.zeros(n, np.uint64)
        np.add.at(sums, self.row, words[self.codes])  # Modulo 2**64: a set of classes is known by its sum.
        present, codes = np.unique(sums, return_inverse=True)
        return codes.astype(np.int32), len(present)


@dataclasses.dataclass(frozen=True, eq=False)
class _Raw:
    values: list[object]
    codes: np.ndarray
    row: np.ndarray | None

    def through(self, lookup: np.ndarray) -> RowLabels:
        codes = np.append(lookup, np.int32(NULL))[self.codes]
        if self.row is None:
            return RowLabels(codes, None)
        # Null stays, to be refused; what has no class is no label of its row; what is mapped to one class counts once.
        kept = (codes >= NULL) | (codes == UNKNOWN)
        pairs = np.unique(np.stack([self.row[kept], codes[kept].astype(np.int64)]), axis=1)
        return RowLabels(pairs[1].astype(np.int32), pairs[0])


def make_labelling(
    table: pa.Table,
    label: str | Sequence[str],
    *,
    labels: Sequence[object] | None,
    label_map: Mapping[object, object] | None,
    num_classes: int | None,
    quantiles: int | None,
    taken: np.ndarray | None,
) -> Labelling:
    """The labelling that these settings mean for the rows that are taken (bool [n], None: all).

    Raises:
      SplitError: Columns of other types, or settings that do not fit the values.
    """
    columns = (label,) if isinstance(label, str) else tuple(label)
    if not columns or len(set(columns)) != len(columns):
        raise SplitError(f"label={label!r} names no column, or one twice")
    rows = table if taken is None else table.filter(pa.array(taken))
    if len(columns) > 1:
        _refuse_with("several label columns", quantiles=quantiles, labels=labels, label_map=label_map)
        _encode_flags(rows.slice(0, 0), columns)  # Checks their types.
        _check_num_classes(num_classes, columns, columns)
        return Labelling(columns=columns, kind="columns", label_map=None, classes=columns)
    if quantiles is not None:
        _refuse_with(f"quantiles={quantiles}", labels=labels, label_map=label_map, num_classes=num_classes)
        return _quantile_labelling(rows, columns, quantiles)
    kind = rows.schema.field(columns[0]).type
    form = "list" if pa.types.is_list(kind) or pa.types.is_large_list(kind) else "class"
    values = _raw_codes(rows, columns[0], form).values
    pairs = None if label_map is None else _checked_map(label_map, values, columns[0])
    mapped = values if pairs is None else [cls for _, cls in pairs if cls is not None]
    found = set(mapped) if pairs is None else {cls for value, cls in pairs if cls is not None and value in set(values)}
    classes = _ascending(found)
    _check_num_classes(num_classes, classes, columns)
    if labels is not None:
        classes = _listed_classes(labels, classes, columns[0])
    if not classes:
        raise SplitError(f"no row has a class in column {columns[0]!r} after label_map; map some value to a class")
    return Labelling(columns=columns, kind=form, label_map=pairs, classes=classes, listed=labels is not None)


def _raw_codes(table: pa.Table, name: str, form: str) -> _Raw:
    column = table.column(name)
    row = None
    if form == "list":
        nulls = pc.is_null(column).to_numpy()
        if nulls.any():
            raise SplitError(
                f"column {name!r} is null in {int(nulls.sum())} of {len(column)} rows (first: row "
                f"{int(nulls.argmax())}); a row without labels has an empty list"
            )
        row = np.repeat(np.arange(len(column)), pc.list_value_length(column).to_numpy())
        column = pc.list_flatten(column)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
    ):
        raise SplitError(
            f"label={name!r} has type {table.schema.field(name).type}; classes are integers, booleans or strings, or "
            "lists of them: pass another column, or quantiles=... to stratify on ranges of a number"
        )
    codes, values = encode(column)
    values = values.to_pylist()
    if pa.types.is_dictionary(column.type):  # Not all of a dictionary need be in the rows.
        there = np.bincount(codes + 1, minlength=len(values) + 1)[1:] > 0
        place = np.cumsum(there, dtype=np.int32) - np.int32(1)
        codes = np.where(codes < 0, codes, np.append(place, np.int32(NULL))[codes])
        values = [value for value, has in zip(values, there.tolist(), strict=True) if has]
    return _Raw(values, codes, row)


def _encode_flags(table: pa.Table, columns: Sequence[str]) -> RowLabels:
    rows, codes = [], []
    for code, name in enumerate(columns):
        column = table.column(name)
        if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)):
            raise SplitError(
                f"label names several columns, and {name!r} has type {column.type}; each must say whether a row has "
                "the class: boolean, or integers 0 and 1"
            )
        if column.null_count:
            raise SplitError(
                f"column {name!r} is null in {column.null_count} of {len(column)} rows (first: row "
                f"{pc.index(pc.is_null(column), pa.scalar(True)).as_py()}); fill it or leave these rows out"
            )
        flags = column.to_numpy()
        if flags.dtype != bool and len(flags) and not ((flags == 0) | (flags == 1)).all():
            raise SplitError(
                f"label names several columns, and {name!r} has the value {flags[(flags != 0) & (flags != 1)][0]}; "
                "each must be 0 or 1: pass one column of classes, or one of lists"
            )
        rows.append(np.flatnonzero(flags))
        codes.append(np.full(len(rows[-1]), code, np.int32))
    row = np.concatenate(rows)
    order = np.argsort(row, kind="stable")
    return RowLabels(np.concatenate(codes)[order], row[order])


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """float64 [n], NaN for null."""
    column = table.column(name)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise SplitError(f"quantiles: label={name!r} has type {column.type}; it must be a number")
    return pc.fill_null(column.cast(pa.float64(), safe=False), float("nan")).to_numpy()


def _quantile_labelling(rows: pa.Table, columns: tuple[str, ...], quantiles: object) -> Labelling:
    if isinstance(quantiles, bool) or not isinstance(quantiles, int) or not 2 <= quantiles <= _MOST_QUANTILES:
        raise SplitError(f"quantiles={quantiles!r} is not an integer in [2, {_MOST_QUANTILES}]")
    numbers = np.sort(_numbers(rows, columns[0]))
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        raise SplitError(f"column {columns[0]!r} has no finite number to take quantiles of")
    # Values, not means of two: the same on every machine.
    edges = np.unique(numbers[np.arange(1, quantiles) * len(numbers) // quantiles])
    edges = edges[edges > numbers[0]]
    bounds = [float(numbers[0]), *edges.tolist(), float(numbers[-1])]
    last = len(bounds) - 2
    classes = tuple(
        f"{low:g} to {high:g}" if i == last else f"{low:g} to <{high:g}"
        for i, (low, high) in enumerate(zip(bounds[:-1], bounds[1:], strict=True))
    )
    if len(set(classes)) < len(classes):  # Edges that %g does not tell apart.
        classes = tuple(f"q{i}: {name}" for i, name in enumerate(classes))
    return Labelling(columns=columns, kind="quantiles", label_map=None, classes=classes, edges=tuple(bounds))


def _checked_map(
    label_map: Mapping[object, object], values: Sequence[object], name: str
) -> tuple[tuple[object, object], ...]:
    if not isinstance(label_map, Mapping) or not label_map:
        raise SplitError(f"label_map={label_map!r} is empty or no mapping of values of {name!r} to classes")
    missing = [value for value in values if value is not None and value not in label_map]
    if missing:
        raise SplitError(
            f"label_map has nothing for {listed(map(repr, missing))} of column {name!r} "
            f"(has: {listed(map(repr, label_map))}); map it to a class, or to None to leave its rows out"
        )
    for value, cls in label_map.items():
        if value not in values:
            raise SplitError(f"label_map names {value!r}, which no row has in column {name!r} {choices(value, values)}")
        if cls is not None and not isinstance(cls, int | str | np.integer | np.bool_):
            raise SplitError(f"label_map[{value!r}]={cls!r} is not a class: an integer, boolean or text, or None")
    return tuple((_plain(value), _plain(cls)) for value, cls in label_map.items())


def _listed_classes(labels: object, classes: Sequence[object], name: str) -> tuple[object, ...]:
    if isinstance(labels, str | bytes) or not isinstance(labels, Sequence | range | set | frozenset | np.ndarray):
        raise SplitError(f"labels={labels!r} is a single value; pass a list of classes")
    wanted = [_plain(cls) for cls in labels]
    if not wanted or len(set(wanted)) != len(wanted):
        raise SplitError(f"labels={wanted} is empty or names a class twice")
    for cls in wanted:
        if cls not in classes:
            raise SplitError(f"labels names class {cls!r}, which no row has in column {name!r} {choices(cls, classes)}")
    return tuple(cls for cls in classes if cls in wanted)


def _check_num_classes(num_classes: object, classes: Sequence[object], columns: Sequence[str]) -> None:
    if num_classes is None:
        return
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise SplitError(f"num_classes={num_classes!r} is not a positive integer")
    if columns == classes:
        if num_classes != len(columns):
            raise SplitError(f"num_classes={num_classes}, and label names {len(columns)} columns")
        return
    outside = [cls for cls in classes if isinstance(cls, str) or not 0 <= cls < num_classes]
    if outside:
        raise SplitError(
            f"label {listed(map(repr, outside))} of column {columns[0]!r} is out of range [0, {num_classes}) that "
            f"num_classes={num_classes} gives; pass label_map or labels, or correct num_classes"
        )
    absent = sorted(set(range(num_classes)) - {int(cls) for cls in classes})
    if absent:
        raise SplitError(
            f"class {listed(absent)} of num_classes={num_classes} is absent: no row of column {columns[0]!r} has it "
            f"(has: {listed(classes)})"
        )


def _refuse_with(what: str, **settings: object) -> None:
    for name, value in settings.items():
        if value is not None:
            raise SplitError(f"{name}={value!r} does not go with {what}; leave one of them out")


def _ascending(values: set[object]) -> tuple[object, ...]:
    try:
        return tuple(sorted(values))
    except TypeError:
        raise SplitError(
            f"label_map gives classes of several kinds ({listed(map(repr, values))}); use integers or texts alone"
        ) from None


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
