"""The table of predictions: one row for each patch and class.

    predictions (slide text, model text, label int, patch_id uuid, x int, y int, side float, probability float,
                 PRIMARY KEY ((slide, model), label, patch_id))

A partition is one slide as one model sees it; one class of it is a slice: `SELECT ... WHERE slide = ? AND model = ? AND
label = 1` is a heatmap. The same prediction written twice is one row. It holds plain types only, so that
`tfcass.read_rows(..., where={"slide": ..., "model": ...})` gives it back, ready for tfcass.split() or a join.
"""

from typing import TYPE_CHECKING

from tfcass._describe import describe, split_table_name, unknown
from tfcass.cluster import Cluster
from tfcass.errors import OptionError, SchemaError
from tfcass.prediction.slide_rows import SlidePatches

if TYPE_CHECKING:
    from cassandra.cluster import Session

_COLUMNS = {
    "slide": "text",
    "model": "text",
    "label": "int",
    "patch_id": "uuid",
    "x": "int",
    "y": "int",
    "side": "float",
    "probability": "float",
}
_PARTITION, _CLUSTERING = ("slide", "model"), ("label", "patch_id")
_COMMENT = "tfcass: probability of a class (label) for each patch, by slide and model; x, y, side in level-0 pixels"
_CONCURRENT = 128  # Statements on their way: small ones, so that the round trip counts and not the bytes.


def create_table(table: str, *, cluster: Cluster) -> None:
    """Makes the table if it is absent, in a keyspace that is there.

    Raises:
      SchemaError: The keyspace is unknown, or the table is another one; the message says what differs.
      ClusterError: The cluster cannot be reached.
    """
    with cluster.session() as session:
        _ensure_table(session, table)


def write_predictions(table: str, patches: SlidePatches, *, model: str, cluster: Cluster) -> int:
    """Writes a row for each patch and class, many at a time; makes the table if it is absent.

    Args:
      table: "keyspace.table".
      patches: Of one slide.
      model: Name under which the predictions are found; those of an earlier run with this name are written over.
    Returns:
      Rows written.
    Raises:
      OptionError: `model` is empty.
      SchemaError: As create_table.
      ClusterError: A write failed; the same call again completes it.
    """
    from uuid import UUID

    from cassandra.concurrent import execute_concurrent_with_args

    if not isinstance(model, str) or not model:
        raise OptionError(f"model={model!r} must be a name that is not empty")
    keys = [UUID(bytes=key.tobytes()) for key in patches.keys]
    rows = (
        (patches.slide, model, label, key, int(x), int(y), patches.side_l0, float(patches.probabilities[i, label]))
        for label in range(len(patches.classes))
        for i, (key, (x, y)) in enumerate(zip(keys, patches.corners_l0, strict=True))
    )
    with cluster.session() as session:
        name = _ensure_table(session, table)
        marks = ", ".join("?" * len(_COLUMNS))
        insert = session.prepare(f"INSERT INTO {name} ({', '.join(_COLUMNS)}) VALUES ({marks})")
        insert.is_idempotent = True  # May be sent again when a node does not answer.
        results = execute_concurrent_with_args(
            session, insert, rows, concurrency=_CONCURRENT, raise_on_first_error=True, results_generator=True
        )
        return sum(1 for _ in results)


def _ensure_table(session: "Session", table: str) -> str:
    """Makes it if it is absent, and checks it; returns its name as it goes into a statement."""
    keyspace, name = split_table_name(table)
    columns = ", ".join(f"{column} {cql_type}" for column, cql_type in _COLUMNS.items())
    key = f"({', '.join(_PARTITION)}), {', '.join(_CLUSTERING)}"
    known = session.cluster.metadata.keyspaces
    if keyspace.strip('"') not in known and keyspace.lower() not in known:
        raise unknown(keyspace, known, "keyspace", "the cluster")
    session.execute(
        f"CREATE TABLE IF NOT EXISTS {keyspace}.{name} ({columns}, PRIMARY KEY ({key})) WITH comment = '{_COMMENT}'"
    )
    found = describe(session, keyspace, name)
    types = {column: found.columns[column].cql_type for column in found.columns}
    wrong = [f"{c} {t} (found: {types.get(c, 'none')})" for c, t in _COLUMNS.items() if types.get(c) != t]
    if wrong or found.primary_key != _PARTITION + _CLUSTERING:
        needs = ", ".join(wrong) if wrong else f"PRIMARY KEY ({key}) (found: {', '.join(found.primary_key)})"
        raise SchemaError(f"{found.name} is no table of predictions: it needs {needs}; write to another table")
    return found.cql_name
