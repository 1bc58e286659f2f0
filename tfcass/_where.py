"""Which rows of a table: what a user's `where` means, and who compares what. Values become bytes as on the wire.

An equality with one value is left to the server. It takes a range of tokens or a part of the key, and not both, and no
list of values for most columns: those are compared in the engine.
"""

import dataclasses
import ipaddress
import itertools
import operator
import struct
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa

from tfcass._describe import UUID_TYPES, Column, TableSchema
from tfcass.cluster import Cluster
from tfcass.errors import OptionError, SchemaError


@dataclasses.dataclass(frozen=True)
class Condition:
    """What rows must meet.

    Attributes:
      cql: What the server compares, with question marks for `values`; "" for nothing.
      values: As on the wire.
      filters: What is compared in the engine: the values that a column may have, as on the wire.
      partitions: The partitions to read, each a value for each column of the key; None for all there are.
    """

    cql: str = ""
    values: tuple[bytes, ...] = ()
    filters: Mapping[Column, tuple[bytes, ...]] = dataclasses.field(default_factory=dict)
    partitions: tuple[tuple[bytes, ...], ...] | None = None


def conditions_of(
    where: Mapping[str, Any] | tuple[str, Sequence[Any]] | None, schema: TableSchema, cluster: Cluster
) -> Condition:
    """What `where` asks of the rows.

    Raises:
      OptionError: It is of no such form, or its CQL is refused.
      SchemaError: An unknown column, or a value that does not fit its column.
    """
    if where is None:
        return Condition()
    if isinstance(where, tuple | list) and len(where) == 2 and isinstance(where[0], str):
        return _by_cql(where[0], where[1], schema, cluster)
    if not isinstance(where, Mapping):
        raise OptionError(
            f"where={where!r} must map columns to values, as in {{'label': 1}}, or be CQL with its values, as in "
            "('x >= ? AND x < ?', [0, 100])"
        )
    columns = schema.select(list(where)) if where else []
    for column in columns:
        if column.arrow is None:
            raise SchemaError(
                f"where={{{column.name!r}: ...}}: the column is {column.cql_type}, which cannot be compared"
            )
    values = {column: _values(column, given) for column, given in zip(columns, where.values(), strict=True)}

    key = [schema.columns[name] for name in schema.partition_key]
    by_partition = all(column in values for column in key)
    rest = {column: of for column, of in values.items() if column not in key}
    on_server = {column: of[0] for column, of in rest.items() if len(of) == 1}
    filters = {column: of for column, of in rest.items() if column not in on_server}
    if not by_partition:
        filters |= {column: of for column, of in values.items() if column in key}
    partitions = tuple(itertools.product(*(values[column] for column in key))) if by_partition else None
    if not all(values.values()):
        filters, partitions = {}, ()  # No value will do: no partition needs a look.
    return Condition(
        cql=" AND ".join(f"{column.cql_name} = ?" for column in on_server),
        values=tuple(on_server.values()),
        filters={column: _also_equal(column, of) for column, of in filters.items()},
        partitions=partitions,
    )


def _by_cql(cql: str, values: Sequence[Any], schema: TableSchema, cluster: Cluster) -> Condition:
    from cassandra import InvalidRequest
    from cassandra.protocol import SyntaxException

    if not cql.strip():
        raise OptionError(f"where=({cql!r}, ...): the CQL is empty; leave `where` out to read every row")
    with cluster.session() as session:
        try:
            statement = session.prepare(f"SELECT * FROM {schema.cql_name} WHERE {cql} ALLOW FILTERING")
        except (InvalidRequest, SyntaxException) as error:
            raise OptionError(f"where=({cql!r}, ...): the server refuses it: {error}") from None
        try:
            bound = statement.bind(list(values)).values
        except (TypeError, ValueError, struct.error) as error:
            raise OptionError(f"where=({cql!r}, {values!r}): the values do not fit: {error}") from None
    if len(values) != len(statement.column_metadata or ()) or not all(isinstance(value, bytes) for value in bound):
        raise OptionError(f"where=({cql!r}, {values!r}): there must be a value, and not None, for each question mark")
    return Condition(cql=cql, values=tuple(bound))


def _values(column: Column, given: Any) -> tuple[bytes, ...]:
    """The distinct values of one condition, as on the wire."""
    if isinstance(given, np.ndarray):
        one = column.cql_type in UUID_TYPES and given.ndim == 1 and given.dtype == np.uint8
        given = [given] if one else list(given)
    elif isinstance(given, pa.Array | pa.ChunkedArray):
        given = given.to_pylist()
    elif not isinstance(given, list | tuple | Set | range):
        given = [given]
    return tuple(dict.fromkeys(_value(column, value) for value in given))


def _value(column: Column, given: Any) -> bytes:
    if given is None:
        raise OptionError(f"where={{{column.name!r}: None}}: a null equals nothing; leave the condition out")
    try:
        if column.cql_type in UUID_TYPES:
            if isinstance(given, np.ndarray):
                given = given.tobytes()
            elif isinstance(given, uuid.UUID | str):
                given = uuid.UUID(str(given)).bytes
        elif pa.types.is_integer(column.arrow):
            given = operator.index(given)  # Arrow would cut a fraction off.
        return _encoded(column, pa.scalar(given, column.arrow))
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, TypeError, OverflowError):
        raise SchemaError(
            f"where={{{column.name!r}: {given!r}}}: the value does not fit the column, which is {column.cql_type}"
        ) from None


_FORMATS = {  # Of struct, by Arrow type.
    pa.int8(): ">b",
    pa.int16(): ">h",
    pa.int32(): ">i",
    pa.int64(): ">q",
    pa.float32(): ">f",
    pa.float64(): ">d",
}


def _encoded(column: Column, value: pa.Scalar) -> bytes:
    """As CQL's native protocol has it."""
    if column.cql_type == "timestamp":
        return struct.pack(">q", value.cast(pa.int64()).as_py())
    if column.cql_type == "date":
        return struct.pack(">I", value.cast(pa.int32()).as_py() + 2**31)
    if column.cql_type == "inet":
        return ipaddress.ip_address(value.as_py()).packed
    if column.cql_type == "boolean":
        return bytes([value.as_py()])
    if column.arrow in _FORMATS:
        return struct.pack(_FORMATS[column.arrow], value.as_py())
    plain = value.as_py()
    return plain.encode() if isinstance(plain, str) else plain


def _also_equal(column: Column, values: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """With the other zero of each zero: the engine compares bytes."""
    if column.cql_type not in ("float", "double"):
        return values
    zeros = {
        bytes(len(value)) for value in values if not value.strip(b"\0") or value == b"\x80" + bytes(len(value) - 1)
    }
    return tuple(dict.fromkeys([*values, *zeros, *(b"\x80" + zero[1:] for zero in zeros)]))
