"""Whole tables: every row once, by ranges of tokens, many of them at a time.

scan()       a tf.data.Dataset            read_rows()   a pyarrow.Table

Both ask one engine (ops/fetch/scan): scan() through an op, read_rows() through a library that needs no TensorFlow. This
module says what to read, and _where.py which rows.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from tfcass import _scan_library
from tfcass._arguments import check_batch_size, check_cluster, check_found, check_options
from tfcass._describe import Column, TableSchema, describe_table
from tfcass._where import Condition, conditions_of
from tfcass.cluster import Cluster
from tfcass.errors import OptionError, SchemaError
from tfcass.options import CONSISTENCIES, FetchOptions

if TYPE_CHECKING:
    import tensorflow as tf

# What TensorFlow reads them as, where `Column.dtype` has nothing.
_DTYPES = {"date": "int32", "inet": "string", "timestamp": "int64"}

_PAGE_TIMEOUT_S = 60.0  # A whole table is no place for impatience.


def scan(
    table: str,
    *,
    cluster: Cluster,
    columns: Sequence[str] | None = None,
    where: Mapping[str, Any] | tuple[str, Sequence[Any]] | None = None,
    batch_size: int | None = None,
    options: FetchOptions | None = None,
) -> "tf.data.Dataset":
    """Every row of a table exactly once, or of the part of it that `where` describes: a tf.data.Dataset.

        ds = tfcass.scan("wsi.metadata_by_nat", cluster=cluster, columns=["patch_id", "label"], batch_size=1024)

    An element is a dict of the asked columns. Ranges of tokens are read in parallel, from the nodes that own them, and
    some pages ahead of the consumer, bounded by `max_buffered_bytes`. Rows come as they arrive; with
    FetchOptions(deterministic=True), in the order of their tokens, the same each time. Iterators can be saved by
    tf.train.Checkpoint: a checkpoint holds positions, never rows, and what is restored gives each row that was not
    delivered, as long as the table is not changed meanwhile. The cardinality is unknown.

    Dtypes by CQL type: as in CassandraDataset, and date -> int32, days since 1970; timestamp -> int64, milliseconds
    since 1970; inet -> string; counter -> int64.

    Args:
      table: "keyspace.table", with any primary key.
      cluster: How to reach the cluster.
      columns: Names of the columns wanted; None means all of them.
      where: As in read_rows.
      batch_size: Rows of an element, the last has the rest. None: one row each, without a batch dimension. Batching
        here costs far less than .batch() afterwards.
      options: None means FetchOptions(deterministic=False). `missing` says what happens when an asked column is null:
        "error" raises tf.errors.NotFoundError, "skip" leaves the row out, "empty" keeps it with "" or 0 and adds a bool
        column `found` that is False there. `timeout_s` and `max_retries` are of a page, `rows_per_request` bounds its
        rows. An error leaves its page to the next call of the iterator: nothing is lost.
    Raises:
      SchemaError: An unknown table or column, a column of a type not named above, or a value that does not fit.
      OptionError: `where`, `batch_size` or `options` is outside what is accepted.
      ClusterError, AuthenticationError, TlsError: The cluster cannot be reached.
      OpLibraryError: The op library is absent, or was built for another TensorFlow.

    While it is iterated, errors are TensorFlow's, as in CassandraDataset.
    """
    from tfcass._scan_dataset import ScanDataset  # Imports TensorFlow.

    check_cluster(cluster)
    if options is None:
        options = FetchOptions(deterministic=False)
    check_options(options)
    if batch_size is not None:
        check_batch_size(batch_size)
    schema = describe_table(cluster, table)
    wanted = schema.select(list(schema.columns) if columns is None else columns)
    dtypes = {column.name: _dtype(column, schema) for column in wanted}
    check_found(options, dtypes, schema)
    spec = _spec(schema, wanted, conditions_of(where, schema, cluster))
    return ScanDataset(cluster, spec, options, batch_size, {column: dtypes[column.name] for column in wanted})


def read_rows(
    table: str,
    *,
    cluster: Cluster,
    columns: Sequence[str] | None = None,
    where: Mapping[str, Any] | tuple[str, Sequence[Any]] | None = None,
    consistency: str = "LOCAL_QUORUM",
) -> pa.Table:
    """Reads a table, or the part of it that `where` describes, into memory. Needs no TensorFlow.

        rows = tfcass.read_rows("wsi.metadata_by_nat", cluster=cluster, where={"label": [0, 1], "level": 1})

    Args:
      table: "keyspace.table".
      cluster: How to reach the cluster.
      columns: Names of the columns wanted, in this order; None means all of them.
      where: Column -> value, or a list of values of which any will do. Rows must meet all of it; a null meets nothing.
        With the whole partition key given, only those partitions are read. Otherwise every row is looked at: the server
        drops those that miss a single value (ALLOW FILTERING), and this process those that miss a list of values or a
        part of the key. Or (CQL, values), which the server compares, as in ("x >= ? AND x < ?", [0, 100]).
      consistency: Replicas that must answer, as in CQL. The default sees whatever was written with LOCAL_QUORUM.
    Returns:
      Rows in the order of their tokens, so that equal tables read equal; or of the partitions given. int -> int32,
      bigint -> int64, smallint, tinyint, float, double, boolean likewise, text -> string, blob -> binary,
      uuid -> fixed_size_binary(16), timestamp -> milliseconds in UTC. Nulls stay null.
    Raises:
      SchemaError: An unknown table or column, a column of a type not named above, or a value that does not fit.
      OptionError: `where` or `consistency` is outside what is accepted.
      ClusterError: The cluster cannot be reached, or a page could not be read in several attempts.
      OpLibraryError: tfcass's library, or the C driver, is absent.
    """
    if consistency not in CONSISTENCIES:
        raise OptionError(f"consistency={consistency!r} must be one of {', '.join(map(repr, CONSISTENCIES))}")
    schema = describe_table(cluster, table, refresh=True)
    wanted = schema.select(list(schema.columns) if columns is None else columns)
    _check_arrow(wanted, schema)
    spec = _spec(schema, wanted, conditions_of(where, schema, cluster))
    options = FetchOptions(deterministic=False, consistency=consistency, timeout_s=_PAGE_TIMEOUT_S)
    arrow = pa.schema([(column.name, column.arrow) for column in wanted])
    pages = sorted(
        _scan_library.pages(cluster._canonical(), spec, options._canonical(), arrow), key=lambda page: page[0]
    )
    return pa.Table.from_batches([rows for _, rows in pages], arrow)


def _spec(schema: TableSchema, wanted: list[Column], condition: Condition) -> str:
    """The canonical text that ops/fetch/scan/scan_spec.h describes."""
    read = [*wanted, *(column for column in condition.filters if column not in wanted)]
    fields: dict[str, str | int | bytes] = {
        "table": f"{schema.keyspace}.{schema.table}",
        "columns": len(read),
        "asked": len(wanted),
        "keys": len(schema.partition_key),
        "where": condition.cql,
        "values": len(condition.values),
        "filters": len(condition.filters),
        "by_partition": int(condition.partitions is not None),
        "partitions": len(condition.partitions or ()),
    }
    for i, column in enumerate(read):
        fields |= {f"column.{i}": column.name, f"type.{i}": column.cql_type}
    fields |= {f"key.{i}": name for i, name in enumerate(schema.partition_key)}
    fields |= {f"value.{i}": value for i, value in enumerate(condition.values)}
    for i, (column, values) in enumerate(condition.filters.items()):
        fields |= {f"filter.{i}": read.index(column), f"filter.{i}.values": len(values)}
        fields |= {f"filter.{i}.{v}": value for v, value in enumerate(values)}
    for i, partition in enumerate(condition.partitions or ()):
        fields |= {f"partition.{i}.{k}": value for k, value in enumerate(partition)}
    return "".join(f"{name}={_quoted(value)}\n" for name, value in fields.items())


def _quoted(value: str | int | bytes) -> str:
    return quote(value if isinstance(value, bytes) else str(value), safe="")


def _dtype(column: Column, schema: TableSchema) -> str:
    dtype = column.dtype or _DTYPES.get(column.cql_type)
    if dtype is None:
        raise SchemaError(
            f"column {column.name} of {schema.name} is {column.cql_type}, which has no TensorFlow dtype; "
            "pass columns=[...] without it"
        )
    return dtype


def _check_arrow(columns: Sequence[Column], schema: TableSchema) -> None:
    for column in columns:
        if column.arrow is None:
            raise SchemaError(
                f"column {column.name} of {schema.name} is {column.cql_type}, which read_rows cannot hold; "
                "pass columns=[...] without it"
            )
