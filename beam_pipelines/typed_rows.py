"""Rows as dicts, as NamedTuples, or as beam.Row with the table's own types: what the transforms take and give."""

import dataclasses
import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
from apache_beam.typehints.row_type import RowTypeConstraint

from tfcass.errors import OptionError

if TYPE_CHECKING:
    from tfcass.schema import Column, TableSchema

# As Beam's schemas have them; what is not listed travels as Any.
_PYTHON_TYPES: Mapping[str, type] = {
    "ascii": str,
    "bigint": np.int64,
    "blob": bytes,
    "boolean": bool,
    "counter": np.int64,
    "decimal": decimal.Decimal,
    "double": np.float64,
    "float": np.float32,
    "inet": str,
    "int": np.int32,
    "smallint": np.int16,
    "text": str,
    "timestamp": datetime.datetime,
    "timeuuid": uuid.UUID,
    "tinyint": np.int8,
    "uuid": uuid.UUID,
    "varchar": str,
}


def as_mapping(row: Any) -> Mapping[str, Any]:
    """A row of any kind that WriteToCassandra takes: a mapping, NamedTuple, beam.Row or dataclass instance.

    Raises:
      TypeError: It is none of these.
    """
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "_asdict"):  # NamedTuple and beam.Row.
        return row._asdict()
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    raise TypeError(f"a row is a {type(row).__name__}; expected a dict, a NamedTuple, a beam.Row or a dataclass")


def check_row_type(row_type: Any) -> None:
    """Raises OptionError unless ReadFromCassandra can make rows of this type."""
    if row_type in (dict, beam.Row) or _fields(row_type):
        return
    raise OptionError(f"rows={row_type!r} is not dict, beam.Row or a typing.NamedTuple class")


def columns_of(row_type: Any, columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """What to read: the columns asked for, else the fields of the type, else None for all.

    Raises:
      OptionError: Both are given and differ.
    """
    fields = _fields(row_type)
    if fields and columns is not None and tuple(columns) != fields:
        raise OptionError(
            f"columns={tuple(columns)!r} are not the fields of {row_type.__name__}: {fields!r}; leave columns out"
        )
    return fields or (None if columns is None else tuple(columns))


def row_maker(row_type: Any, names: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    """Values in the order of `names` -> a row."""
    if row_type is dict:
        return lambda values: dict(zip(names, values, strict=True))
    if row_type is beam.Row:
        return lambda values: beam.Row(**dict(zip(names, values, strict=True)))
    return row_type._make


def element_type(row_type: Any, columns: "Sequence[Column] | None", table: "TableSchema | None") -> Any:
    """Beam's type of the rows. A NamedTuple and beam.Row have a schema, which transforms such as GroupBy use."""
    if row_type is dict:
        return dict[str, Any]
    if row_type is not beam.Row:
        return row_type
    return RowTypeConstraint.from_fields(
        [(column.name, _python_type(column, nullable=column.name not in table.primary_key)) for column in columns]
    )


def _python_type(column: "Column", *, nullable: bool) -> Any:
    known = _PYTHON_TYPES.get(column.cql_type)
    if known is None or known in (uuid.UUID, datetime.datetime):  # No schema type of Beam's: carried as they are.
        return Any
    return known | None if nullable else known


def _fields(row_type: Any) -> tuple[str, ...]:
    is_named_tuple = isinstance(row_type, type) and issubclass(row_type, tuple) and hasattr(row_type, "_fields")
    return row_type._fields if is_named_tuple else ()
