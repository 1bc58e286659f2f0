"""Reads and writes Cassandra tables in any Beam pipeline. Rows are dicts.

Write
-----
::

    from beam_pipelines.cassandraio import WriteToCassandra

    result = rows | WriteToCassandra("ks.data_by_uuid", cluster=cluster, columns=("patch_id", "label", "data"))
    result.written | ...   # the primary key of each row, once the cluster has acknowledged it
    result.dead | ...      # DeadLetter: rows that cannot be written, and why

`cluster` is a tfcass.Cluster. Give the password by reference (`PasswordAuth(..., password_env=...)`): the Cluster
travels to the workers inside the job. Settings of WriteOptions are keyword arguments: `max_in_flight=64`.

* A row is in `written` only after its acknowledgement at the asked consistency, and every row of the input ends in
  `written` or `dead`, or its bundle fails. What follows `written` may therefore rely on the row being there.
* `emit` names what `written` carries instead of the primary key; entries of a row that are not columns may travel
  along. Leave the blob out: it is gone from memory once written.
* A runner may run a bundle again. Rows are then written again, in place: give them ids made from their content.
* Timeouts, overload and lost connections are retried with growing, jittered waits. Dead letters are for what no retry
  mends (too large, wrong type, refused) and for rows whose attempts are used up; a cluster that answers nothing at all
  fails the bundle.

Read
----
::

    from beam_pipelines.cassandraio import ReadFromCassandra

    rows = pipeline | ReadFromCassandra("ks.metadata_by_nat", cluster=cluster, columns=("patch_id", "label"))

Every row comes once, in no order, as a dict. The table's tokens are cut into ranges, which workers read page by page. A
table that changes meanwhile is read as Cassandra gives it: rows are not a snapshot.

Metrics (namespace `tfcass.cassandraio`): rows_written, rows_read, row_bytes, retries, dead_letters, write_ms.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.display import DisplayDataItem
from apache_beam.utils.windowed_value import WindowedValue

from beam_pipelines.row_writer import Outcome, RowWriter, WriteOptions
from beam_pipelines.sessions import SESSIONS
from beam_pipelines.statements import CONSISTENCIES, prepare_insert, prepare_token_range
from beam_pipelines.token_ranges import read_pages, token_ranges
from tfcass.errors import OptionError
from tfcass.schema import describe_table

if TYPE_CHECKING:
    from tfcass.cluster import Cluster

__all__ = ["DeadLetter", "ReadFromCassandra", "WriteOptions", "WriteResult", "WriteToCassandra"]

_NAMESPACE = "tfcass.cassandraio"


@dataclasses.dataclass(frozen=True)
class DeadLetter:
    """Something that could not be processed, with enough to try it again.

    Attributes:
      row: What identifies it: the primary key of a row and what `emit` named.
      stage: Where it failed, such as "write ks.data_by_uuid".
      error: Why.
      attempts: How often it was tried.
    """

    row: Mapping[str, Any]
    stage: str
    error: str
    attempts: int = 0


@dataclasses.dataclass(frozen=True)
class WriteResult:
    """What WriteToCassandra returns.

    Attributes:
      written: PCollection of dicts, one a row that the cluster has acknowledged: its primary key, or what `emit` names.
      dead: PCollection of DeadLetter.
    """

    written: beam.PCollection
    dead: beam.PCollection


class WriteToCassandra(beam.PTransform):
    """Writes a PCollection of dicts to a table; the module's docstring shows it at work.

    Args:
      table: "keyspace.table".
      cluster: How the cluster is reached.
      columns: What is written, the primary key among it; a row that lacks one is a dead letter, None is a null. None
        means every column of the table.
      emit: Entries of a row that `written` and dead letters carry; None means its primary key.
      **settings: Fields of WriteOptions.
    Raises:
      tfcass.OptionError: A setting is outside what is accepted.
      tfcass.ClusterError, tfcass.SchemaError: On a worker: no connection, or no such table or column.
    """

    def __init__(
        self,
        table: str,
        *,
        cluster: "Cluster",
        columns: Sequence[str] | None = None,
        emit: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        known = [field.name for field in dataclasses.fields(WriteOptions)]
        for name in settings:
            if name not in known:
                raise OptionError(f"unknown setting {name!r} (has: {', '.join(known)})")
        self._write = _WriteFn(
            table,
            cluster,
            None if columns is None else tuple(columns),
            None if emit is None else tuple(emit),
            WriteOptions(**settings),
        )

    @beam.typehints.no_annotations  # Beam takes a return annotation for a PCollection's element type, and warns.
    def expand(self, rows: beam.PCollection) -> WriteResult:
        outputs = rows | "Write" >> beam.ParDo(self._write).with_outputs(_WriteFn.DEAD, main="written")
        return WriteResult(written=outputs["written"], dead=outputs[_WriteFn.DEAD])

    def display_data(self) -> dict[str, Any]:
        return self._write.display_data()


class _WriteFn(beam.DoFn):
    """Keeps many writes on the way, and emits each row's key or dead letter once its reply has been read."""

    DEAD = "dead"

    def __init__(
        self,
        table: str,
        cluster: "Cluster",
        columns: tuple[str, ...] | None,
        emit: tuple[str, ...] | None,
        options: WriteOptions,
    ) -> None:
        self._table = table
        self._cluster = cluster
        self._columns = columns
        self._emit = emit
        self._options = options
        self._stage = f"write {table}"
        self._session: Any = None
        self._rows_written = Metrics.counter(_NAMESPACE, "rows_written")
        self._row_bytes = Metrics.distribution(_NAMESPACE, "row_bytes")
        self._retries = Metrics.counter(_NAMESPACE, "retries")
        self._dead_letters = Metrics.counter(_NAMESPACE, "dead_letters")
        self._write_ms = Metrics.distribution(_NAMESPACE, "write_ms")

    def setup(self) -> None:
        self._session = SESSIONS.acquire(self._cluster)
        table = describe_table(self._cluster, self._table)
        columns = table.select(self._columns or tuple(table.columns))
        self._written_columns = self._columns or tuple(table.columns)
        self._emitted = self._emit or table.primary_key
        self._dead_row = tuple(dict.fromkeys((*table.primary_key, *self._emitted)))
        self._prepared = prepare_insert(self._session, table, columns, consistency=self._options.consistency)

    def start_bundle(self) -> None:
        self._writer = RowWriter(self._session, self._prepared, self._options)
        self._retries_counted = 0

    def process(
        self, row: Mapping[str, Any], timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        where = (timestamp, window)
        missing = [name for name in self._written_columns if name not in row]
        if missing:
            has = ", ".join(row)
            error = f"the row has no {', '.join(missing)} (has: {has}); pass None for a null"
            yield self._dead(row, where, error, attempts=0)
        else:
            # The blob is dropped here: from now on only the request holds it.
            kept = {name: row[name] for name in self._dead_row if name in row}
            self._writer.submit([row[name] for name in self._written_columns], (kept, where))
        for outcome in self._writer.completed():
            yield self._output(outcome)

    def finish_bundle(self) -> Iterator[Any]:
        for outcome in self._writer.drain():
            yield self._output(outcome)

    def teardown(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release(self._cluster)

    def display_data(self) -> dict[str, Any]:
        """Table, address and bounds; nothing of the credentials."""
        return {
            "table": DisplayDataItem(self._table, label="Table"),
            "contact_points": DisplayDataItem(", ".join(self._cluster.contact_points), label="Contact points"),
            "columns": DisplayDataItem(", ".join(self._columns or ("all",)), label="Columns"),
            "max_in_flight": DisplayDataItem(self._options.max_in_flight, label="Rows in flight"),
            "consistency": DisplayDataItem(self._options.consistency, label="Consistency"),
        }

    def _output(self, outcome: Outcome) -> Any:
        if self._writer.retries > self._retries_counted:
            self._retries.inc(self._writer.retries - self._retries_counted)
            self._retries_counted = self._writer.retries
        row, where = outcome.ticket
        if outcome.error is not None:
            return self._dead(row, where, outcome.error, outcome.attempts)
        self._rows_written.inc()
        self._row_bytes.update(outcome.row_bytes)
        self._write_ms.update(outcome.elapsed_ms)
        timestamp, window = where
        return WindowedValue({name: row.get(name) for name in self._emitted}, timestamp, (window,))

    def _dead(self, row: Mapping[str, Any], where: tuple[Any, Any], error: str, attempts: int) -> TaggedOutput:
        self._dead_letters.inc()
        kept = {name: row[name] for name in self._dead_row if name in row}
        timestamp, window = where
        letter = DeadLetter(kept, self._stage, error, attempts)
        return TaggedOutput(self.DEAD, WindowedValue(letter, timestamp, (window,)))


class ReadFromCassandra(beam.PTransform):
    """Reads a whole table as dicts; the module's docstring shows it at work.

    Args:
      table: "keyspace.table".
      cluster: How the cluster is reached.
      columns: What is read; None means every column.
      ranges: Pieces that the token ring is cut into: the most workers that can read at a time. More even out the load.
      page_rows: Rows of one reply. Fewer hold less memory where rows are large.
      consistency: Replicas that must answer, as in CQL.
    Raises:
      tfcass.OptionError: A setting is outside what is accepted.
      tfcass.ClusterError, tfcass.SchemaError: On a worker: no connection, or no such table or column.
    """

    def __init__(
        self,
        table: str,
        *,
        cluster: "Cluster",
        columns: Sequence[str] | None = None,
        ranges: int = 64,
        page_rows: int = 500,
        consistency: str = "LOCAL_ONE",
    ) -> None:
        super().__init__()
        for name, value in (("ranges", ranges), ("page_rows", page_rows)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(f"{name}={value!r} is not an integer of at least 1")
        if consistency not in CONSISTENCIES:
            raise OptionError(f"consistency={consistency!r} is not one of {', '.join(CONSISTENCIES)}")
        self._ranges = ranges
        columns = None if columns is None else tuple(columns)
        self._read = _ReadRangeFn(table, cluster, columns, page_rows, consistency)

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        # Reshuffle: without it, a runner fuses both steps and one worker reads all ranges.
        return root | beam.Create(token_ranges(self._ranges)) | beam.Reshuffle() | "Read" >> beam.ParDo(self._read)

    def display_data(self) -> dict[str, Any]:
        return {**self._read.display_data(), "ranges": DisplayDataItem(self._ranges, label="Token ranges")}


class _ReadRangeFn(beam.DoFn):
    """Token range -> its rows, page by page."""

    def __init__(
        self, table: str, cluster: "Cluster", columns: tuple[str, ...] | None, page_rows: int, consistency: str
    ) -> None:
        self._table = table
        self._cluster = cluster
        self._columns = columns
        self._page_rows = page_rows
        self._consistency = consistency
        self._session: Any = None
        self._rows_read = Metrics.counter(_NAMESPACE, "rows_read")
        self._read_ms = Metrics.distribution(_NAMESPACE, "read_ms")

    def setup(self) -> None:
        self._session = SESSIONS.acquire(self._cluster)
        table = describe_table(self._cluster, self._table)
        self._names = self._columns or tuple(table.columns)
        self._prepared = prepare_token_range(
            self._session, table, table.select(self._names), consistency=self._consistency
        )

    def process(self, token_range: tuple[int, int]) -> Iterator[dict[str, Any]]:
        started_s = time.monotonic()
        statement = self._prepared.bind(token_range)
        statement.fetch_size = self._page_rows
        for page in read_pages(self._session, statement):
            self._rows_read.inc(len(page))
            yield from (dict(zip(self._names, row, strict=True)) for row in page)
        self._read_ms.update(round(1000 * (time.monotonic() - started_s)))

    def teardown(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release(self._cluster)

    def display_data(self) -> dict[str, Any]:
        """Table and address; nothing of the credentials."""
        return {
            "table": DisplayDataItem(self._table, label="Table"),
            "contact_points": DisplayDataItem(", ".join(self._cluster.contact_points), label="Contact points"),
            "page_rows": DisplayDataItem(self._page_rows, label="Rows per page"),
        }
