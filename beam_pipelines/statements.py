"""Prepared statements of the transforms: safe to repeat, and repeated by nobody but us."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.policies import FallthroughRetryPolicy
from cassandra.protocol import SyntaxException
from cassandra.query import BatchStatement, BatchType

from tfcass.errors import OptionError, SchemaError

if TYPE_CHECKING:
    from tfcass.schema import Column, TableSchema

# As in CQL. ANY is left out, as it may lose a row that was acknowledged, and so are the serial levels.
CONSISTENCIES = ("LOCAL_ONE", "LOCAL_QUORUM", "ONE", "TWO", "THREE", "QUORUM", "EACH_QUORUM", "ALL")

# What a user asks of rows: column -> value, or CQL with its values.
Where = Mapping[str, Any] | tuple[str, Sequence[Any]]


def prepare_insert(
    session: Any,
    table: "TableSchema",
    columns: Sequence["Column"],
    *,
    consistency: str,
    ttl_s: int | None = None,
) -> Any:
    """Prepares an INSERT of `columns`, bound to their values in this order."""
    names = ", ".join(column.cql_name for column in columns)
    marks = ", ".join("?" for _ in columns)
    ttl = "" if ttl_s is None else f" USING TTL {ttl_s:d}"
    return prepare(session, f"INSERT INTO {table.cql_name} ({names}) VALUES ({marks}){ttl}", consistency=consistency)


def unlogged_batch(statements: Sequence[Any]) -> Any:
    """One request of several bound INSERTs of one partition: its replicas take them as one write."""
    batch = BatchStatement(
        BatchType.UNLOGGED,
        retry_policy=FallthroughRetryPolicy(),
        consistency_level=statements[0].consistency_level,
    )
    for statement in statements:
        batch.add(statement)
    batch.is_idempotent = True
    return batch


def prepare_any_key(session: Any, table: "TableSchema", *, consistency: str) -> Any:
    """Prepares a SELECT of one row's key, whichever: it shows whether the table can be used."""
    names = ", ".join(table.columns[name].cql_name for name in table.partition_key)
    return prepare(session, f"SELECT {names} FROM {table.cql_name} LIMIT 1", consistency=consistency)


def prepare_token_range(
    session: Any,
    table: "TableSchema",
    columns: Sequence["Column"],
    *,
    consistency: str,
    where: Where | None = None,
) -> tuple[Any, tuple[Any, ...]]:
    """Prepares a SELECT of `columns` and, after them, the row's token.

    Returns:
      The statement, bound to a range of tokens, both ends included, and then to the second result: values of `where`.
    Raises:
      OptionError: `where` has another form, or the server refuses it.
      SchemaError: `where` names a column that is not there.
    """
    condition, values = _condition(where, table)
    names = ", ".join(column.cql_name for column in columns)
    token = f"token({', '.join(table.columns[name].cql_name for name in table.partition_key)})"
    cql = f"SELECT {names}, {token} FROM {table.cql_name} WHERE {token} >= ? AND {token} <= ?"
    if not condition:
        return prepare(session, cql, consistency=consistency), ()
    try:
        statement = prepare(session, f"{cql} AND {condition} ALLOW FILTERING", consistency=consistency)
        statement.bind((0, 0, *values))
    except Exception as error:  # The driver raises TypeError, ValueError, struct.error and more for a bad value.
        raise OptionError(f"where={where!r}: {error}") from None
    if len(values) != len(statement.column_metadata) - 2 or None in values:
        raise OptionError(f"where={where!r}: there must be a value, and not None, for each question mark")
    return statement, values


def check_where(where: Any) -> None:
    """Raises OptionError unless `where` has one of the two forms."""
    if where is None or (isinstance(where, Mapping) and where):
        return
    if isinstance(where, tuple) and len(where) == 2 and isinstance(where[0], str) and where[0].strip():
        if not isinstance(where[1], str | bytes) and isinstance(where[1], Sequence):
            return
    raise OptionError(
        f"where={where!r} must map columns to values, as in {{'label': 1}}, or be CQL with its values, as in "
        "('x >= ? AND x < ?', [0, 100])"
    )


def _condition(where: Where | None, table: "TableSchema") -> tuple[str, tuple[Any, ...]]:
    if where is None:
        return "", ()
    if not isinstance(where, Mapping):
        return where[0], tuple(where[1])
    columns = table.select(list(where))
    for column in columns:
        if column.name in table.partition_key:
            raise OptionError(
                f"where={where!r}: {column.name} is of the partition key, which the server does not compare while it "
                "reads by token; drop the condition here and filter the rows with beam.Filter"
            )
        if isinstance(where[column.name], list | tuple | set):
            raise OptionError(
                f"where={where!r}: {column.name} has several values; the server compares one a column. Read once for "
                "each value and beam.Flatten, or filter the rows with beam.Filter"
            )
    return " AND ".join(f"{column.cql_name} = ?" for column in columns), tuple(where.values())


def prepare(session: Any, cql: str, *, consistency: str) -> Any:
    """Prepares a statement that is safe to repeat and that the driver does not repeat: retries are ours alone.

    Raises:
      SchemaError: The server refuses the statement, for instance an INSERT without the whole primary key.
    """
    try:
        prepared = session.prepare(cql)
    except (InvalidRequest, SyntaxException) as error:
        raise SchemaError(f"the server refuses {cql!r}: {error}") from None
    prepared.consistency_level = ConsistencyLevel.name_to_value[consistency]
    prepared.is_idempotent = True
    prepared.retry_policy = FallthroughRetryPolicy()
    return prepared
