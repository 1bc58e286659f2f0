"""Makes our tables on a live cluster, and says how live ones differ from what they should be."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from tfcass._describe import TableSchema, describe, quoted, unknown
from tfcass._tables import LABEL_TYPES, ColumnSpec, WantedTable, literal, new_name, wanted_tables
from tfcass.cluster import Cluster
from tfcass.errors import OptionError, SchemaError

if TYPE_CHECKING:
    from cassandra.cluster import Session


def create_tables(
    cluster: Cluster,
    keyspace: str,
    *,
    replication: Mapping[str, str | int] | None = None,
    metadata_table: str = "metadata_by_nat",
    data_table: str = "data_by_uuid",
    label_type: str = "int",
    slides_table: str | None = None,
    more_columns: Mapping[str, ColumnSpec] = MappingProxyType({}),
) -> None:
    """Makes the keyspace and its tables where they are absent, and adds columns that a table lacks; the rest of what is
    there is left as it is, and checked.

    Args:
      cluster: How to reach the cluster.
      keyspace: Its name. Folded to lower case as CQL does, unless in double quotes; so are the tables' names.
      replication: Copies per datacenter, as in {"dc1": 3}, or the full CQL map with "class". None: three in every
        datacenter, or as many as it has nodes. An existing keyspace keeps what it has.
      metadata_table: Name of the table of patches.
      data_table: Name of the table of their bytes.
      label_type: CQL type of the data table's `label`: "int" for a class, "blob" for a PNG mask.
      slides_table: Name of the table of slides, which pipelines write; None makes none.
      more_columns: What the metadata table has besides METADATA_COLUMNS, such as shares of further classes.
    Raises:
      SchemaError: A table of that name exists and does not fit, or the server refuses a statement.
      OptionError: A name, `replication` or `label_type` is outside what is accepted.
      ClusterError: The cluster cannot be reached.
    """
    if label_type not in LABEL_TYPES:
        raise OptionError(f"label_type={label_type!r} must be one of {', '.join(map(repr, LABEL_TYPES))}")
    keyspace = new_name(keyspace, "keyspace")
    wanted = wanted_tables(
        metadata_table, data_table, (label_type,), slides_table=slides_table, more_columns=more_columns
    )
    with cluster.session() as session:
        replication_map = _replication(replication, session)
        _run(session, f"CREATE KEYSPACE IF NOT EXISTS {quoted(keyspace)} WITH replication = {replication_map}")
        for table in wanted:
            _run(session, table.create_cql(keyspace))
            _add_columns(session, keyspace, table)
        problems = _problems(session, keyspace, wanted)
    _raise_for(problems, keyspace)


def create_wanted(
    cluster: Cluster,
    keyspace: str,
    tables: Sequence[WantedTable],
    *,
    replication: Mapping[str, str | int] | None = None,
) -> None:
    """`create_tables` for tables of a pipeline's own.

    Raises:
      SchemaError: A table of that name exists and does not fit, or the server refuses a statement.
      OptionError: A name or `replication` is outside what is accepted.
      ClusterError: The cluster cannot be reached.
    """
    keyspace = new_name(keyspace, "keyspace")
    tables = [dataclasses.replace(table, name=new_name(table.name, "table")) for table in tables]
    with cluster.session() as session:
        replication_map = _replication(replication, session)
        _run(session, f"CREATE KEYSPACE IF NOT EXISTS {quoted(keyspace)} WITH replication = {replication_map}")
        for table in tables:
            _run(session, table.create_cql(keyspace))
            _add_columns(session, keyspace, table)
        problems = _problems(session, keyspace, tuple(tables))
    _raise_for(problems, keyspace)


def check(
    cluster: Cluster,
    keyspace: str,
    *,
    metadata_table: str = "metadata_by_nat",
    data_table: str = "data_by_uuid",
    label_type: str | None = None,
) -> None:
    """Raises unless both tables exist with the columns, types and keys that tfcass needs. More columns are welcome.

    Args: As `create_tables`; `label_type` None accepts each of the two.
    Raises:
      SchemaError: Something differs; the message lists all of it, each with the statement that mends it.
      ClusterError: The cluster cannot be reached.
    """
    problems = find_problems(
        cluster, keyspace, metadata_table=metadata_table, data_table=data_table, label_type=label_type
    )
    _raise_for(problems, keyspace)


def find_problems(
    cluster: Cluster,
    keyspace: str,
    *,
    metadata_table: str = "metadata_by_nat",
    data_table: str = "data_by_uuid",
    label_type: str | None = None,
) -> list[str]:
    """What `check` would raise for: one text per difference, with its remedy; empty when all is well."""
    if label_type is not None and label_type not in LABEL_TYPES:
        raise OptionError(f"label_type={label_type!r} must be None or one of {', '.join(map(repr, LABEL_TYPES))}")
    keyspace = new_name(keyspace, "keyspace")
    wanted = wanted_tables(metadata_table, data_table, LABEL_TYPES if label_type is None else (label_type,))
    with cluster.session() as session:
        return _problems(session, keyspace, wanted)


def _add_columns(session: "Session", keyspace: str, wanted: WantedTable) -> None:
    """A table of an earlier version, or of fewer classes, lacks columns; older rows have nulls in them."""
    live = describe(session, f'"{keyspace}"', f'"{wanted.name}"')
    absent = [name for name in wanted.columns if name not in live.columns and name not in wanted.key]
    if absent and live.primary_key == wanted.key:  # Else it is some other table, and not ours to change.
        added = ", ".join(f"{quoted(name)} {wanted.types(name)[0]}" for name in absent)
        _run(session, f"ALTER TABLE {live.cql_name} ADD IF NOT EXISTS ({added})")


def _problems(session: "Session", keyspace: str, wanted: tuple[WantedTable, ...]) -> list[str]:
    keyspaces = session.cluster.metadata.keyspaces
    if keyspace not in keyspaces:
        absence = unknown(keyspace, keyspaces, "keyspace", "the cluster")
        return [f"{absence}\nTo make it and its tables: `tfcass schema create {keyspace}`"]
    problems = []
    for table in wanted:
        if table.name not in keyspaces[keyspace].tables:
            problems.append(f"table {keyspace}.{table.name} is absent: {table.create_cql(keyspace)};")
        else:
            problems += _differences(describe(session, f'"{keyspace}"', f'"{table.name}"'), table)
    return problems


def _differences(live: TableSchema, wanted: WantedTable) -> list[str]:
    problems = []
    for name in wanted.columns:
        types = wanted.types(name)
        column = live.columns.get(name)
        if column is None and name in wanted.key:
            problems.append(
                f"table {live.name} has no key column {name}; keys cannot be altered: use another table name"
            )
        elif column is None and not wanted.columns[name].optional:
            problems.append(
                f"table {live.name} has no column {name}: ALTER TABLE {live.cql_name} ADD {name} {types[0]};"
            )
        elif column is not None and column.cql_type not in types:
            problems.append(
                f"column {name} of {live.name} is {column.cql_type}, and must be {' or '.join(types)}; "
                "types cannot be altered: use another table name"
            )
    if not problems and live.primary_key != wanted.key:
        problems.append(
            f"the primary key of {live.name} is ({', '.join(live.primary_key)}), and must be "
            f"({', '.join(wanted.key)}); keys cannot be altered: use another table name"
        )
    return problems


def _raise_for(problems: list[str], keyspace: str) -> None:
    if len(problems) == 1:
        raise SchemaError(problems[0])
    if problems:
        raise SchemaError(
            f"the tables in keyspace {keyspace} do not fit:\n" + "\n".join(f"  {text}" for text in problems)
        )


def _run(session: "Session", statement: str) -> None:
    from cassandra import AlreadyExists, InvalidRequest
    from cassandra.protocol import ConfigurationException, SyntaxException

    try:
        session.execute(statement)
    except AlreadyExists:
        pass  # Somebody else made it between the server's look and its deed.
    except (InvalidRequest, ConfigurationException, SyntaxException) as error:
        from tfcass._connect import server_message

        raise SchemaError(f"the server refuses `{statement}`: {server_message(error)}") from None


def _replication(given: Mapping[str, str | int] | None, session: "Session") -> str:
    nodes: dict[str, int] = {}
    for host in session.cluster.metadata.all_hosts():
        nodes[host.datacenter] = nodes.get(host.datacenter, 0) + 1
    if given is None:
        chosen: dict[str, str | int] = {dc: min(3, count) for dc, count in sorted(nodes.items())}
    elif isinstance(given, Mapping) and given:
        chosen = dict(given)
    else:
        raise OptionError(
            f"replication={given!r} must map datacenters to copies, as in {{'{min(nodes)}': 3}}, or be None"
        )
    if "class" not in chosen:
        absent = sorted(set(chosen) - set(nodes))
        if absent:
            raise OptionError(
                f"replication names {absent[0]!r}, which is not a datacenter of this cluster "
                f"(it has: {', '.join(sorted(nodes))})"
            )
        chosen = {"class": "NetworkTopologyStrategy", **chosen}
    for name, value in chosen.items():
        if not isinstance(name, str) or not isinstance(value, str | int) or isinstance(value, bool):
            raise OptionError(f"replication[{name!r}]={value!r}: keys must be texts, and values texts or numbers")
    return "{" + ", ".join(f"{literal(name)}: {literal(str(value))}" for name, value in chosen.items()) + "}"
