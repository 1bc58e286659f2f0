"""Live tables: their columns and key, from the cluster's own metadata. Errors list the names near a misspelt one."""

import dataclasses
import difflib
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from tfcass.cluster import Cluster
from tfcass.errors import SchemaError

if TYPE_CHECKING:
    from cassandra.cluster import Session
    from cassandra.metadata import TableMetadata

UUID_TYPES = ("uuid", "timeuuid")
_KEY_ARROW = pa.binary(16)

# CQL type -> (TensorFlow dtype name, Arrow type). A uuid is uint8 [16] in TensorFlow. None: Arrow only.
_TYPES: dict[str, tuple[str | None, pa.DataType]] = {
    "ascii": ("string", pa.string()),
    "bigint": ("int64", pa.int64()),
    "blob": ("string", pa.binary()),
    "boolean": ("bool", pa.bool_()),
    "counter": ("int64", pa.int64()),
    "date": (None, pa.date32()),
    "double": ("float64", pa.float64()),
    "float": ("float32", pa.float32()),
    "inet": (None, pa.string()),
    "int": ("int32", pa.int32()),
    "smallint": ("int16", pa.int16()),
    "text": ("string", pa.string()),
    "timestamp": (None, pa.timestamp("ms", tz="UTC")),
    "timeuuid": ("uint8", _KEY_ARROW),
    "tinyint": ("int8", pa.int8()),
    "uuid": ("uint8", _KEY_ARROW),
    "varchar": ("string", pa.string()),
}

_CACHE_S = 10.0  # A pipeline asks for one table several times while it is built; an ALTER must be seen soon after.
_LIST_AT_MOST = 12  # Names in an error. More is a wall of text.


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a live table.

    Attributes:
      name: As the server stores it: case kept, no quotes.
      cql_type: As the server prints it, as in "int" or "frozen<list<text>>".
      dtype: Name of the TensorFlow dtype, as in "int32"; None when TensorFlow cannot hold the type.
      arrow: The Arrow type; None when `read_rows` cannot hold the type.
    """

    name: str
    cql_type: str
    dtype: str | None
    arrow: pa.DataType | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one value in TensorFlow: (16,) for a uuid, () for all else."""
        return (16,) if self.cql_type in UUID_TYPES else ()

    @property
    def cql_name(self) -> str:
        """The name as it goes into a statement: quoted where CQL needs it."""
        return quoted(self.name)


@dataclasses.dataclass(frozen=True)
class TableSchema:
    """A live table.

    Attributes:
      keyspace: As the server stores it: case kept, no quotes.
      table: Likewise.
      key_column: The column that alone is the primary key; None when the key has several columns.
      columns: All columns by name: the partition key's first, then the clustering columns, then the others.
      partition_key: Names of the partition key's columns.
      primary_key: Those, and then the clustering columns'.
    """

    keyspace: str
    table: str
    key_column: str | None
    columns: Mapping[str, Column]
    partition_key: tuple[str, ...]
    primary_key: tuple[str, ...]

    @property
    def name(self) -> str:
        """ "ks.table", for messages."""
        return f"{self.keyspace}.{self.table}"

    @property
    def cql_name(self) -> str:
        """The name as it goes into a statement: both parts quoted where CQL needs it."""
        return f"{quoted(self.keyspace)}.{quoted(self.table)}"

    def select(self, names: Sequence[str]) -> list[Column]:
        """The columns of these names, in their order.

        Raises:
          SchemaError: `names` is empty or repeats a column, or one is not a column of this table.
        """
        if isinstance(names, str):
            raise SchemaError(f"columns={names!r} must be a list of names; pass columns=({names!r},)")
        chosen = [self.columns[_resolve(name, self.columns, "column", f"table {self.name}")] for name in names]
        if not chosen:
            raise SchemaError(f"columns is empty; table {self.name} has: {_listed(self.columns)}")
        repeated = {column.name for column in chosen if chosen.count(column) > 1}
        if repeated:
            raise SchemaError(f"columns={list(names)!r} asks for {', '.join(sorted(repeated))} more than once")
        return chosen

    def uuid_key(self) -> Column:
        """The key column of a table that rows can be fetched from by UUID.

        Raises:
          SchemaError: The primary key is not one uuid column.
        """
        if self.key_column is None:
            key = ", ".join(f"{name} {self.columns[name].cql_type}" for name in self.partition_key)
            raise SchemaError(
                f"rows of {self.name} cannot be fetched by UUID: its primary key is not one uuid column "
                f"(partition key: {key}); use a table such as data_by_uuid, or read this one with tfcass.read_rows"
            )
        column = self.columns[self.key_column]
        if column.cql_type not in UUID_TYPES:
            raise SchemaError(
                f"rows of {self.name} cannot be fetched by UUID: its key column {column.name} is {column.cql_type}, "
                "not uuid; keep the samples in a table with a uuid primary key"
            )
        return column


def describe_table(cluster: Cluster, table: str, *, refresh: bool = False) -> TableSchema:
    """What a live table holds.

    Args:
      cluster: How to reach the cluster.
      table: "keyspace.table". A name with capitals or signs may be in double quotes, as in CQL.
      refresh: Asks the cluster even if the answer of the last seconds is at hand.
    Raises:
      SchemaError: `table` is no such name, or no such keyspace or table is there; the message lists names near it.
      ClusterError: The cluster cannot be reached.
    """
    keyspace_name, table_name = split_table_name(table)
    with _cache_lock:
        cached = _cache.get((cluster, table))
    if cached is not None and not refresh and time.monotonic() - cached[0] < _CACHE_S:
        return cached[1]
    with cluster.session() as session:
        described = describe(session, keyspace_name, table_name)
    with _cache_lock:
        _cache[cluster, table] = (time.monotonic(), described)
    return described


_cache: dict[tuple[Cluster, str], tuple[float, TableSchema]] = {}
_cache_lock = threading.Lock()


def describe(session: "Session", keyspace: str, table: str) -> TableSchema:
    """`describe_table` over an open session, and without its cache."""
    keyspaces = session.cluster.metadata.keyspaces
    keyspace = _resolve(keyspace, keyspaces, "keyspace", "the cluster")
    tables = keyspaces[keyspace].tables
    table = _resolve(table, tables, "table", f"keyspace {keyspace}")
    return _from_metadata(tables[table])


def _from_metadata(live: "TableMetadata") -> TableSchema:
    partition_key = tuple(column.name for column in live.partition_key)
    return TableSchema(
        keyspace=live.keyspace_name,
        table=live.name,
        key_column=partition_key[0] if len(live.primary_key) == 1 else None,
        columns={column.name: _column(column.name, column.cql_type) for column in live.columns.values()},
        partition_key=partition_key,
        primary_key=tuple(column.name for column in live.primary_key),
    )


def _column(name: str, cql_type: str) -> Column:
    dtype, arrow = _TYPES.get(cql_type, (None, None))
    return Column(name, cql_type, dtype, arrow)


_NAME = r'(?:[A-Za-z0-9_]+|"(?:[^"]|"")+")'
_TABLE_NAME = re.compile(rf"({_NAME})\.({_NAME})")
_PLAIN = re.compile(r"[a-z][a-z0-9_]*")


def split_table_name(table: str) -> tuple[str, str]:
    """ "ks.table" -> its two names as given, quotes included.

    Raises:
      SchemaError: `table` is not of that form.
    """
    match = _TABLE_NAME.fullmatch(table) if isinstance(table, str) else None
    if match is None:
        raise SchemaError(f"table={table!r} must name keyspace and table, as in 'wsi.data_by_uuid'")
    return match[1], match[2]


def quoted(name: str) -> str:
    """A stored name as it goes into a statement: quoted unless plain, so that no name can be read as CQL."""
    from cassandra.metadata import cql_keywords_reserved

    if _PLAIN.fullmatch(name) and name not in cql_keywords_reserved:
        return name
    return '"' + name.replace('"', '""') + '"'


def _resolve(name: str, known: Iterable[str], kind: str, place: str) -> str:
    """The stored name that `name` means: as it is, or quoted as in CQL, or folded to lower case as CQL folds it."""
    known = list(known)
    if isinstance(name, str):
        meant = [name[1:-1].replace('""', '"')] if name.startswith('"') and name.endswith('"') else [name, name.lower()]
        for candidate in meant:
            if candidate in known:
                return candidate
    raise unknown(name, known, kind, place)


def unknown(name: str, known: Iterable[str], kind: str, place: str) -> SchemaError:
    """The error for a name that is not there: it lists what is, but for the server's own, and the names near it."""
    shown = [stored for stored in known if kind != "keyspace" or not stored.startswith("system")]
    bare = str(name).strip('"')
    by_folded = {stored.lower(): stored for stored in shown}
    near = difflib.get_close_matches(bare.lower(), by_folded, n=3)
    message = f"{place} has no {kind} {bare!r} (it has: {_listed(shown)})"
    if near:
        message += "; did you mean " + " or ".join(repr(by_folded[folded]) for folded in near) + "?"
    return SchemaError(message)


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    if not names:
        return "none"
    more = len(names) - _LIST_AT_MOST
    return ", ".join(names[:_LIST_AT_MOST]) + (f" and {more} more" if more > 0 else "")
