"""Tables that hold rows of another one, made for them: its columns and key, and a comment that says how they were made.

Nothing in a row tells by which rule or reference it was made, and two ways in one table could not be told apart. So the
table's comment says it, and a run that would mix them is refused.
"""

from collections.abc import Mapping
from typing import Any

from tfcass._describe import quoted
from tfcass._tables import literal, new_name
from tfcass.cluster import Cluster
from tfcass.errors import OptionError, SchemaError
from tfcass.schema import describe_table


def make_table_like(cluster: Cluster, source: str, name: str, comment: str) -> None:
    """Makes a table with the columns and the key of another one, in its keyspace, unless it is there.

    Args:
      cluster: How to reach the cluster.
      source: "keyspace.table".
      name: Of the new table.
      comment: How its rows are made.
    Raises:
      OptionError: The table is there and its rows were made in another way, or `name` is none that Cassandra takes.
      SchemaError: `source` is unknown, or the server refuses the statement.
      ClusterError: The cluster cannot be reached.
    """
    table = describe_table(cluster, source)
    columns = {column.name: column.cql_type for column in table.columns.values()}
    make_table(cluster, table.keyspace, name, columns, table.primary_key, len(table.partition_key), comment)


def make_table(
    cluster: Cluster,
    keyspace: str,
    name: str,
    columns: Mapping[str, str],
    key: tuple[str, ...],
    partition: int,
    comment: str,
) -> None:
    """Makes a table of these columns (name -> CQL type) unless it is there with this comment.

    Args:
      cluster, keyspace, name, comment: As in make_table_like.
      columns: Name -> CQL type.
      key: The primary key's columns; the first `partition` of them are the partition key.
    Raises: As make_table_like.
    """
    name = new_name(name, "table")
    with cluster.session() as session:
        query = "SELECT comment FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"
        row = session.execute(query, (keyspace, name)).one()
        if row is None:
            _run(session, _create_cql(keyspace, name, columns, key, partition, comment))
        elif row[0] != comment:
            raise OptionError(
                f"table {keyspace}.{name} is there already, and its rows are of another kind: its comment is "
                f"{row[0]!r}, not {comment!r}; give another name"
            )


def _create_cql(
    keyspace: str, name: str, columns: Mapping[str, str], key: tuple[str, ...], partition: int, comment: str
) -> str:
    listed = ", ".join(f"{quoted(column)} {cql_type}" for column, cql_type in columns.items())
    clustering = "".join(f", {quoted(column)}" for column in key[partition:])
    return (
        f"CREATE TABLE IF NOT EXISTS {quoted(keyspace)}.{quoted(name)} ({listed}, "
        f"PRIMARY KEY (({', '.join(map(quoted, key[:partition]))}){clustering})) WITH comment = {literal(comment)}"
    )


def _run(session: Any, statement: str) -> None:
    from cassandra import AlreadyExists, InvalidRequest
    from cassandra.protocol import ConfigurationException, SyntaxException

    try:
        session.execute(statement)
    except AlreadyExists:
        pass  # Somebody else made it between the look and the deed.
    except (InvalidRequest, ConfigurationException, SyntaxException) as error:
        raise SchemaError(f"the server refuses `{statement}`: {error}") from None
