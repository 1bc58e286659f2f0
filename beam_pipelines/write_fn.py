"""The DoFn of WriteToCassandra: rows in, their keys or dead letters out, once the cluster has replied."""

import dataclasses
import operator
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.display import DisplayDataItem
from apache_beam.utils.windowed_value import WindowedValue

from beam_pipelines.failure_limit import check_count
from beam_pipelines.retries import is_retriable
from beam_pipelines.row_writer import Outcome, RowWriter, WriteOptions
from beam_pipelines.sessions import SESSIONS
from beam_pipelines.statements import prepare_any_key, prepare_insert
from beam_pipelines.typed_rows import as_mapping
from tfcass.schema import describe_table

if TYPE_CHECKING:
    from tfcass.cluster import Cluster

NAMESPACE = "tfcass.cassandraio"


@dataclasses.dataclass(frozen=True)
class DeadLetter:
    """Something that could not be processed, with enough to try it again.

    Attributes:
      row: What identifies it: the primary key of a row and what `emit` named.
      stage: Where it failed, such as "write ks.data_by_uuid".
      error: Why.
      attempts: How often it was tried.
      input: The element as it came in, unless it was asked not to keep it.
    """

    row: Mapping[str, Any]
    stage: str
    error: str
    attempts: int = 0
    input: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class WriteSettings:
    """What a WriteFn is to do; see WriteToCassandra."""

    table: str
    cluster: "Cluster"
    columns: tuple[str, ...] | None
    emit: tuple[str, ...] | None
    keep_input: bool
    max_failed: int | float | None
    options: WriteOptions


class WriteFn(beam.DoFn):
    """Keeps many writes on the way, and emits each row's key or dead letter once its reply has been read."""

    DEAD = "dead"

    def __init__(self, settings: WriteSettings) -> None:
        self._settings = settings
        self._stage = f"write {settings.table}"
        self._session: Any = None
        self._rows_written = Metrics.counter(NAMESPACE, "rows_written")
        self._row_bytes = Metrics.distribution(NAMESPACE, "row_bytes")
        self._requests = Metrics.counter(NAMESPACE, "requests")
        self._retries = Metrics.counter(NAMESPACE, "retries")
        self._dead_letters = Metrics.counter(NAMESPACE, "dead_letters")
        self._write_ms = Metrics.distribution(NAMESPACE, "write_ms")

    def setup(self) -> None:
        settings, options = self._settings, self._settings.options
        self._session = SESSIONS.acquire(settings.cluster, wait_s=options.fail_after_s)
        table = describe_table(settings.cluster, settings.table)
        self._written_columns = settings.columns or tuple(table.columns)
        self._emitted = settings.emit or table.primary_key
        self._dead_row = tuple(dict.fromkeys((*table.primary_key, *self._emitted)))
        self._prepared = prepare_insert(
            self._session,
            table,
            table.select(self._written_columns),
            consistency=options.consistency,
            ttl_s=options.ttl_s,
        )
        # EACH_QUORUM is for writes only.
        reading = "LOCAL_QUORUM" if options.consistency == "EACH_QUORUM" else options.consistency
        self._any_key = prepare_any_key(self._session, table, consistency=reading)
        # A partition of one row has nothing to share a request with.
        shares = len(table.primary_key) > len(table.partition_key)
        self._partition_of = operator.attrgetter("routing_key") if shares else None

    def start_bundle(self) -> None:
        self._writer = RowWriter(
            self._session,
            self._prepared,
            self._settings.options,
            partition_of=self._partition_of,
            is_alive=self._is_alive,
        )
        self._requests_counted = self._retries_counted = self._dead_in_bundle = 0

    def process(
        self, row: Any, timestamp: Any = beam.DoFn.TimestampParam, window: Any = beam.DoFn.WindowParam
    ) -> Iterator[Any]:
        where = (timestamp, window)
        given = row if self._settings.keep_input else None
        try:
            fields = row if type(row) is dict else as_mapping(row)
            values = [fields[name] for name in self._written_columns]
        except (KeyError, TypeError) as error:
            yield (
                self._dead({}, where, str(error), 0, given)
                if isinstance(error, TypeError)
                else self._incomplete(fields, where, given)
            )
        else:
            # The blob is dropped here unless dead letters are to carry it: from now on only the request holds it.
            kept = {name: fields[name] for name in self._dead_row if name in fields}
            self._writer.submit(values, (kept, where, given))
        for outcome in self._writer.completed():
            yield self._output(outcome)

    def finish_bundle(self) -> Iterator[Any]:
        for outcome in self._writer.drain():
            yield self._output(outcome)
        self._requests.inc(self._writer.requests - self._requests_counted)
        self._requests_counted = self._writer.requests

    def teardown(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release(self._settings.cluster)

    def display_data(self) -> dict[str, Any]:
        """Table, address and bounds; nothing of the credentials."""
        settings, options = self._settings, self._settings.options
        return {
            "table": DisplayDataItem(settings.table, label="Table"),
            "contact_points": DisplayDataItem(", ".join(settings.cluster.contact_points), label="Contact points"),
            "columns": DisplayDataItem(", ".join(settings.columns or ("all",)), label="Columns"),
            "max_in_flight": DisplayDataItem(options.max_in_flight, label="Rows in flight"),
            "consistency": DisplayDataItem(options.consistency, label="Consistency"),
        }

    def _is_alive(self) -> bool:
        """Asks for something else than the row that fails, of the same table."""
        try:
            self._session.execute(self._any_key, timeout=self._settings.options.timeout_s)
        except Exception as error:
            return not is_retriable(error)  # A refusal is an answer.
        return True

    def _output(self, outcome: Outcome) -> Any:
        if self._writer.retries > self._retries_counted:
            self._retries.inc(self._writer.retries - self._retries_counted)
            self._retries_counted = self._writer.retries
        row, where, given = outcome.ticket
        if outcome.error is not None:
            return self._dead(row, where, outcome.error, outcome.attempts, given)
        self._rows_written.inc()
        self._row_bytes.update(outcome.row_bytes)
        self._write_ms.update(outcome.elapsed_ms)
        timestamp, window = where
        return WindowedValue({name: row.get(name) for name in self._emitted}, timestamp, (window,))

    def _incomplete(self, fields: Mapping[str, Any], where: tuple[Any, Any], given: Any) -> TaggedOutput:
        missing = [name for name in self._written_columns if name not in fields]
        error = f"the row has no {', '.join(missing)} (has: {', '.join(fields)}); pass None for a null"
        return self._dead(fields, where, error, 0, given)

    def _dead(
        self, row: Mapping[str, Any], where: tuple[Any, Any], error: str, attempts: int, given: Any
    ) -> TaggedOutput:
        self._dead_letters.inc()
        self._dead_in_bundle += 1
        check_count(self._dead_in_bundle, self._settings.max_failed, self._settings.table)
        kept = {name: row[name] for name in self._dead_row if name in row}
        timestamp, window = where
        letter = DeadLetter(kept, self._stage, error, attempts, given)
        return TaggedOutput(self.DEAD, WindowedValue(letter, timestamp, (window,)))
