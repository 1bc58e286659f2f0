"""Prepared statements of the transforms: safe to repeat, and repeated by nobody but us."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.policies import FallthroughRetryPolicy

from tfcass.errors import SchemaError

if TYPE_CHECKING:
    from tfcass.schema import Column, TableSchema

# As in CQL. ANY is left out, as it may lose a row that was acknowledged, and so are the serial levels.
CONSISTENCIES = ("LOCAL_ONE", "LOCAL_QUORUM", "ONE", "TWO", "THREE", "QUORUM", "EACH_QUORUM", "ALL")


def prepare_insert(session: Any, table: "TableSchema", columns: Sequence["Column"], *, consistency: str) -> Any:
    """Prepares an INSERT of `columns`, bound to their values in this order."""
    names = ", ".join(column.cql_name for column in columns)
    marks = ", ".join("?" for _ in columns)
    return prepare(session, f"INSERT INTO {table.cql_name} ({names}) VALUES ({marks})", consistency=consistency)


def prepare_token_range(session: Any, table: "TableSchema", columns: Sequence["Column"], *, consistency: str) -> Any:
    """Prepares a SELECT of `columns`, bound to a range of tokens: (low excluded, high included)."""
    names = ", ".join(column.cql_name for column in columns)
    token = f"token({', '.join(table.columns[name].cql_name for name in table.partition_key)})"
    cql = f"SELECT {names} FROM {table.cql_name} WHERE {token} > ? AND {token} <= ?"
    return prepare(session, cql, consistency=consistency)


def prepare(session: Any, cql: str, *, consistency: str) -> Any:
    """Prepares a statement that is safe to repeat and that the driver does not repeat: retries are ours alone.

    Raises:
      SchemaError: The server refuses the statement, for instance an INSERT without the whole primary key.
    """
    try:
        prepared = session.prepare(cql)
    except InvalidRequest as error:
        raise SchemaError(f"the server refuses {cql!r}: {error}") from None
    prepared.consistency_level = ConsistencyLevel.name_to_value[consistency]
    prepared.is_idempotent = True
    prepared.retry_policy = FallthroughRetryPolicy()
    return prepared
