"""Whole tables into Arrow: every row once, page by page, several token ranges at a time.

Each query asks for one range of the token ring: together the ranges hold every row, and none twice. A page that fails
is asked for again by itself. An equality in `where` is left to the server; lists of values are compared here.
"""

import itertools
import operator
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfcass._describe import UUID_TYPES, Column, TableSchema, describe, split_table_name
from tfcass.cluster import Cluster
from tfcass.errors import ClusterError, OptionError, SchemaError
from tfcass.options import CONSISTENCIES

if TYPE_CHECKING:
    from cassandra.cluster import Session

# What the rows must meet: column -> the values it may have, at least one, as Arrow gives them back.
_Conditions = dict[Column, list[Any]]

_MIN_TOKEN, _MAX_TOKEN = (
    -(2**63),
    2**63 - 1,
)  # Murmur3Partitioner's. No row has the lowest: ranges are open on the left.
_WORKERS = 8  # Ranges read at a time. Decoding rows holds the interpreter's lock, so more of them would wait for it.
_MIN_RANGES = 32  # So that one full range at the end does not keep seven workers waiting.
_PAGE_ROWS = 5_000
_PAGE_ROWS_WITH_BLOBS = 100  # The server builds a page in memory: 100 images of 100 kB are 10 MB.
_ATTEMPTS = 4
_BACKOFF_S = 0.2  # Doubles with each attempt.


def read_rows(
    table: str,
    *,
    cluster: Cluster,
    columns: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    consistency: str = "LOCAL_QUORUM",
) -> pa.Table:
    """Reads a table, or the part of it that `where` describes, into memory.

        rows = tfcass.read_rows("wsi.metadata_by_nat", cluster=cluster, where={"label": [0, 1], "level": 1})

    Args:
      table: "keyspace.table".
      cluster: How to reach the cluster.
      columns: Names of the columns wanted, in this order; None means all of them.
      where: Column -> value, or a list of values of which any will do. Rows must meet all of it; a null meets nothing.
        With the whole partition key given, only those partitions are read. Otherwise every row is looked at: the server
        drops those that miss a single value (ALLOW FILTERING), and this process those that miss a list of values or a
        part of the key.
      consistency: Replicas that must answer, as in CQL. The default sees whatever was written with LOCAL_QUORUM.
    Returns:
      Rows in the order of their tokens, so that equal tables read equal; or of the partitions given. int -> int32,
      bigint -> int64, smallint, tinyint, float, double, boolean likewise, text -> string, blob -> binary,
      uuid -> fixed_size_binary(16), timestamp -> milliseconds in UTC. Nulls stay null.
    Raises:
      SchemaError: An unknown table or column, a column of a type not named above, or a value that does not fit.
      OptionError: `where` or `consistency` is outside what is accepted.
      ClusterError: The cluster cannot be reached, or a page could not be read in several attempts.
    """
    if consistency not in CONSISTENCIES:
        raise OptionError(f"consistency={consistency!r} must be one of {', '.join(map(repr, CONSISTENCIES))}")
    keyspace_name, table_name = split_table_name(table)
    with cluster.session() as session:
        schema = describe(session, keyspace_name, table_name)
        wanted = schema.select(list(schema.columns) if columns is None else columns)
        conditions = _conditions(where, schema)
        read = list(dict.fromkeys([*wanted, *conditions]))  # What is compared here is read, wanted or not.
        _check_types(read, schema)
        batches: list[pa.RecordBatch] = []
        if all(conditions.values()):
            scan = _Scan(session, schema, read, conditions, consistency)
            with ThreadPoolExecutor(_WORKERS, thread_name_prefix="tfcass-scan") as pool:
                for part in pool.map(scan.read, scan.parts()):
                    batches += part
    rows = pa.Table.from_batches(batches, pa.schema([(column.name, column.arrow) for column in read]))
    return rows.select([column.name for column in wanted])


class _Scan:
    """One statement, and what to bind to it: `parts()` are disjoint and complete. `read()` may run in any thread."""

    def __init__(
        self, session: "Session", schema: TableSchema, read: list[Column], conditions: _Conditions, consistency: str
    ) -> None:
        from cassandra import ConsistencyLevel
        from cassandra.cluster import EXEC_PROFILE_DEFAULT
        from cassandra.query import tuple_factory

        self._session = session
        self._schema = schema
        self._read = read
        self._key = [schema.columns[name] for name in schema.partition_key]
        self._by_partition = all(column in conditions for column in self._key)
        self._key_values = [conditions[column] for column in self._key] if self._by_partition else []
        rest = {column: values for column, values in conditions.items() if column not in self._key}
        on_server = {column: values[0] for column, values in rest.items() if len(values) == 1}
        self._here = {column: values for column, values in rest.items() if column not in on_server}
        if not self._by_partition:  # The server takes a token range, or a part of the key, and not both.
            self._here |= {column: values for column, values in conditions.items() if column in self._key}
        self._server_values = tuple(_to_driver(column, value) for column, value in on_server.items())
        self._statement = session.prepare(self._cql(on_server))
        blobs = any(column.cql_type == "blob" for column in read)
        self._statement.fetch_size = _PAGE_ROWS_WITH_BLOBS if blobs else _PAGE_ROWS
        self._profile = session.execution_profile_clone_update(
            EXEC_PROFILE_DEFAULT,
            row_factory=tuple_factory,
            consistency_level=ConsistencyLevel.name_to_value[consistency],
        )

    def _cql(self, on_server: Mapping[Column, Any]) -> str:
        names = [column.cql_name for column in self._key]
        if self._by_partition:
            relations = [f"{name} = ?" for name in names]
        else:
            token = f"token({', '.join(names)})"
            relations = [f"{token} > ?", f"{token} <= ?"]
        relations += [f"{column.cql_name} = ?" for column in on_server]
        selected = ", ".join(column.cql_name for column in self._read)
        filtering = " ALLOW FILTERING" if on_server else ""
        return f"SELECT {selected} FROM {self._schema.cql_name} WHERE {' AND '.join(relations)}{filtering}"

    def parts(self) -> Iterator[tuple[Any, ...]]:
        """The values that `read` binds first: a partition key, or a token range."""
        if self._by_partition:
            for values in itertools.product(*self._key_values):
                yield tuple(_to_driver(column, value) for column, value in zip(self._key, values, strict=True))
        else:
            yield from _token_ranges(self._session)

    def read(self, part: tuple[Any, ...]) -> list[pa.RecordBatch]:
        """The rows of one part, a batch per page."""
        bound = self._statement.bind((*part, *self._server_values))
        batches = []
        paging_state = None
        while True:
            page = self._page(bound, paging_state)
            batches.append(self._filtered(_to_arrow(page.current_rows, self._read)))
            paging_state = page.paging_state
            if paging_state is None:
                return batches

    def _page(self, bound: object, paging_state: bytes | None):
        from cassandra import OperationTimedOut, ReadFailure, ReadTimeout, Unavailable
        from cassandra.cluster import NoHostAvailable

        from tfcass._connect import server_message

        for attempt in itertools.count(1):
            try:
                return self._session.execute(bound, execution_profile=self._profile, paging_state=paging_state)
            except ReadFailure as error:  # The replicas' own trouble with this page: asking again ends the same way.
                failure = error
            except (OperationTimedOut, ReadTimeout, Unavailable, NoHostAvailable) as error:
                failure = error
                if attempt < _ATTEMPTS:
                    time.sleep(_BACKOFF_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
                    continue
            raise ClusterError(
                f"a page of {self._schema.name} could not be read in {attempt} attempts: {server_message(failure)}; "
                "look at `nodetool status`, or accept fewer replicas with consistency='LOCAL_ONE'"
            ) from None

    def _filtered(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for column, values in self._here.items():
            batch = batch.filter(pc.is_in(batch[column.name], value_set=pa.array(values, column.arrow)))
        return batch


def _conditions(where: Mapping[str, Any] | None, schema: TableSchema) -> _Conditions:
    if where is None:
        return {}
    if not isinstance(where, Mapping):
        raise OptionError(f"where={where!r} must map columns to values, as in {{'label': 1}}")
    columns = schema.select(list(where)) if where else []
    conditions = {column: _values(column, value) for column, value in zip(columns, where.values(), strict=True)}
    _check_types(columns, schema)
    return conditions


def _values(column: Column, given: Any) -> list[Any]:
    """The distinct values of one condition, as Arrow gives them back."""
    if isinstance(given, np.ndarray):
        one = column.cql_type in UUID_TYPES and given.ndim == 1 and given.dtype == np.uint8
        given = [given] if one else list(given)
    elif isinstance(given, pa.Array | pa.ChunkedArray):
        given = given.to_pylist()
    elif not isinstance(given, list | tuple | Set | range):
        given = [given]
    return list(dict.fromkeys(_value(column, value) for value in given))


def _value(column: Column, given: Any) -> Any:
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
        return pa.scalar(given, column.arrow).as_py()
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, TypeError, OverflowError):
        raise SchemaError(
            f"where={{{column.name!r}: {given!r}}}: the value does not fit the column, which is {column.cql_type}"
        ) from None


def _check_types(columns: Sequence[Column], schema: TableSchema) -> None:
    for column in columns:
        if column.arrow is None:
            raise SchemaError(
                f"column {column.name} of {schema.name} is {column.cql_type}, which read_rows cannot hold; "
                "pass columns=[...] without it"
            )


def _to_driver(column: Column, value: Any) -> Any:
    return uuid.UUID(bytes=value) if column.cql_type in UUID_TYPES else value


def _to_arrow(rows: list[tuple], columns: list[Column]) -> pa.RecordBatch:
    by_column = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = []
    for column, values in zip(columns, by_column, strict=True):
        if column.cql_type in UUID_TYPES:
            values = [None if value is None else value.bytes for value in values]
        elif column.cql_type == "date":
            values = [None if value is None else value.days_from_epoch for value in values]
        arrays.append(pa.array(values, column.arrow))
    return pa.record_batch(arrays, names=[column.name for column in columns])


def _token_ranges(session: "Session") -> list[tuple[int, int]]:
    """(after, up to and including) that cover the ring: those of the nodes, cut further when they are few."""
    metadata = session.cluster.metadata
    if metadata.token_map is None or not metadata.partitioner.endswith("Murmur3Partitioner"):
        raise ClusterError(
            f"tables are read by Murmur3 tokens, and this cluster's partitioner is {metadata.partitioner}"
        )
    bounds = sorted({_MIN_TOKEN, _MAX_TOKEN, *(token.value for token in metadata.token_map.ring)})
    cuts = -(-_MIN_RANGES // (len(bounds) - 1))
    ranges = []
    for low, high in itertools.pairwise(bounds):
        edges = [low + (high - low) * cut // cuts for cut in range(cuts + 1)]
        ranges += [(after, upto) for after, upto in itertools.pairwise(edges) if after < upto]
    return ranges
