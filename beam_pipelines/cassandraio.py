"""Reads and writes Apache Cassandra tables in any Beam pipeline: any table, dicts or typed rows.

Needs `pip install 'tfcass[beam]'` and a cluster, which is told of once::

    import apache_beam as beam
    import tfcass
    from beam_pipelines.cassandraio import ReadFromCassandra, WriteToCassandra

    cluster = tfcass.Cluster(["10.0.0.1", "10.0.0.2"], local_dc="dc1",
                             auth=tfcass.PasswordAuth("etl", password_env="CASS_PW"), tls=tfcass.Tls(ca="ca.pem"))

The Cluster travels to the workers inside the job, and the password by reference: each worker needs the environment
variable (or `password_file=`). Each worker process opens one session, which its threads share.

Write
-----
::

    with beam.Pipeline() as pipeline:
        result = (
            pipeline
            | beam.Create([{"city": "Aachen", "day": 1, "mm": 3.5}, {"city": "Aachen", "day": 2, "mm": None}])
            | WriteToCassandra("weather.rain_by_city", cluster=cluster)
        )
        result.written | beam.Map(print)   # {'city': 'Aachen', 'day': 1}: the primary key of each acknowledged row
        result.dead | beam.Map(print)      # DeadLetter(row=..., stage='write weather.rain_by_city', error=..., ...)

Rows are dicts, NamedTuples, beam.Row or dataclass instances. All columns of the table are written unless `columns`
names some, the primary key among them. None is a null.

* A row is in `written` only after its acknowledgement at the asked consistency, and every row of the input ends in
  `written` or `dead`, or its bundle fails. What follows `written` may therefore rely on the row being there.
* A runner may run a bundle again. Rows are then written again, in place: give them keys made from their content, and
  not from a clock or chance. Writing twice is harmless then, and so is running the whole pipeline again.
* Rows go through one prepared statement, `max_in_flight` at a time and no more than `max_in_flight_bytes`. Small rows
  of one partition that arrive near each other share a request (an unlogged batch of at most 4 KiB); rows of different
  partitions never do, as that only loads the coordinator. Two rows of the input with the same key: either may win.
* Timeouts, overload, too few replicas and lost connections are tried again, after growing, jittered waits that hold up
  the rows behind them. A cluster that is away altogether, at the start or later, is waited for, `fail_after_s` long
  (60 s); then the bundle fails, and no row becomes a dead letter for that.
* Dead letters are for what no waiting mends: too large, a wrong type, a column missing, refused by the server. `error`
  says why, `input` is the element as it came, unless `keep_input=False`, and `row` its key. Write them to a file, mend
  them, and run them again.
* `max_failed=100` fails the pipeline above 100 dead letters, `max_failed=0.01` above 1 % of the rows, `max_failed=0` at
  the first one. By default any number is allowed, and it is for you to look at `dead`. A share is known when all rows
  are (in a streaming pipeline: all of a window).
* `emit` names what `written` carries instead of the primary key; entries of a row that are not columns may travel
  along. That is how two tables are written one after the other::

    data = rows | "Data" >> WriteToCassandra("ks.data_by_uuid", cluster=cluster, columns=("patch_id", "data"),
                                             emit=("patch_id", "slide", "x", "y"))
    data.written | "Metadata" >> WriteToCassandra("ks.metadata", cluster=cluster)

Read
----
::

    class Rain(typing.NamedTuple):
        city: str
        day: int
        mm: float | None

    with beam.Pipeline() as pipeline:
        rows = pipeline | ReadFromCassandra("weather.rain_by_city", cluster=cluster, rows=Rain)
        rows | beam.GroupBy("city").aggregate_field("mm", max, "most") | beam.Map(print)

Every row comes once, in no order. `rows=` says as what: dicts (the default); a NamedTuple, whose fields are the columns
that are read and whose types are Beam's schema; or `beam.Row`, whose schema is that of the live table, which is looked
at when the pipeline is built.

* `columns=("city", "mm")` reads no others. `where={"day": 1}` or `where=("day >= ? AND day < ?", [1, 8])` is compared
  on the server (ALLOW FILTERING: every row is still looked at there).
* The token ring is cut into `ranges` pieces, spread over the workers. A runner with dynamic rebalancing (Dataflow) cuts
  them further while they are read, at any token; others (Flink, the local runner) read them as they are.
* Pages have at most `page_rows` rows and about 4 MiB, and the next one travels while the rows of one are processed. A
  page that fails is asked for again: a node that is down costs time and no row, as long as a replica of each row is up
  that `consistency` can do with.
* Rows that change meanwhile are read as Cassandra gives them: this is no snapshot. The default, LOCAL_ONE, may miss
  what was written a moment ago; LOCAL_QUORUM sees all that was written with LOCAL_QUORUM.

Metrics
-------
Namespace `tfcass.cassandraio`. Counters: rows_written, requests (fewer than rows where rows shared one), retries,
dead_letters, rows_read, read_retries. Distributions: row_bytes, write_ms (from the first attempt to the reply), read_ms
(a piece of the ring).

Files
-----
write_fn.py, read_fn.py   the DoFns                 row_writer.py      bounds, batches, retries, without Beam
typed_rows.py             rows of every kind        token_ranges.py    the ring in pieces, pages of one
failure_limit.py          max_failed                statements.py, retries.py, sessions.py
"""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.transforms.display import DisplayDataItem

from beam_pipelines.failure_limit import FailAbove, TooManyFailures, check_limit
from beam_pipelines.read_fn import ReadFn, ReadSettings
from beam_pipelines.row_writer import WriteOptions
from beam_pipelines.statements import CONSISTENCIES, check_where
from beam_pipelines.token_ranges import token_ranges
from beam_pipelines.typed_rows import check_row_type, columns_of, element_type
from beam_pipelines.write_fn import DeadLetter, WriteFn, WriteSettings
from tfcass.errors import OptionError
from tfcass.schema import describe_table

if TYPE_CHECKING:
    from tfcass.cluster import Cluster

__all__ = ["DeadLetter", "ReadFromCassandra", "TooManyFailures", "WriteOptions", "WriteResult", "WriteToCassandra"]


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
    """Writes a PCollection of rows to a table; the module's docstring shows it at work.

    Args:
      table: "keyspace.table".
      cluster: How the cluster is reached.
      columns: What is written, the primary key among it; a row that lacks one is a dead letter, None is a null. None
        means every column of the table.
      emit: Entries of a row that `written` and dead letters carry; None means its primary key.
      keep_input: Whether a dead letter carries the whole element. False where that is large and can be made again.
      max_failed: Dead letters above which the pipeline fails: a count as int, a share in [0, 1) as float, None for any.
      **settings: Fields of WriteOptions.
    Returns:
      WriteResult.
    Raises:
      tfcass.OptionError: A setting is outside what is accepted.
      tfcass.ClusterError, tfcass.SchemaError: On a worker: no connection, or no such table or column.
      TooManyFailures: On a worker: see `max_failed`.
    """

    def __init__(
        self,
        table: str,
        *,
        cluster: "Cluster",
        columns: Sequence[str] | None = None,
        emit: Sequence[str] | None = None,
        keep_input: bool = True,
        max_failed: int | float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        known = [field.name for field in dataclasses.fields(WriteOptions)]
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise OptionError(f"unknown setting {name!r} (has: {', '.join(known)}){hint}")
        check_limit(max_failed)
        self._settings = WriteSettings(
            table=table,
            cluster=cluster,
            columns=_names("columns", columns),
            emit=_names("emit", emit),
            keep_input=keep_input,
            max_failed=max_failed,
            options=WriteOptions(**settings),
        )

    @beam.typehints.no_annotations  # Beam takes a return annotation for a PCollection's element type, and warns.
    def expand(self, rows: beam.PCollection) -> WriteResult:
        write = WriteFn(self._settings)
        outputs = rows | "Write" >> beam.ParDo(write).with_outputs(WriteFn.DEAD, main="written")
        written, dead = outputs["written"], outputs[WriteFn.DEAD]
        if self._settings.max_failed is not None:
            _ = (written, dead) | "Limit" >> FailAbove(self._settings.max_failed, self._settings.table)
        return WriteResult(written=written, dead=dead)

    def display_data(self) -> dict[str, Any]:
        return WriteFn(self._settings).display_data()


class ReadFromCassandra(beam.PTransform):
    """Reads a table; the module's docstring shows it at work.

    Args:
      table: "keyspace.table".
      cluster: How the cluster is reached.
      columns: What is read; None means every column, or the fields of `rows`.
      where: Rows must meet it: column -> value, or (CQL, values). Not for columns of the partition key.
      rows: What a row becomes: dict, a typing.NamedTuple class, or beam.Row. A column that may be null needs an
        optional field in a NamedTuple.
      ranges: Pieces that the token ring is cut into: the most workers that can read at a time. More even out the load.
      page_rows: The most rows of one reply. Fewer hold less memory where rows are large.
      consistency: Replicas that must answer, as in CQL.
      timeout_s: Deadline of one page's attempt.
      connect_wait_s: How long a worker waits for a cluster that is away when it starts.
    Returns:
      PCollection of rows.
    Raises:
      tfcass.OptionError: A setting is outside what is accepted; on a worker: the server refuses `where`.
      tfcass.ClusterError, tfcass.SchemaError: No connection, or no such table or column: on a worker, or with beam.Row
        when the pipeline is built.
    """

    def __init__(
        self,
        table: str,
        *,
        cluster: "Cluster",
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | tuple[str, Sequence[Any]] | None = None,
        rows: Any = dict,
        ranges: int = 64,
        page_rows: int = 1000,
        consistency: str = "LOCAL_ONE",
        timeout_s: float = 15.0,
        connect_wait_s: float = 60.0,
    ) -> None:
        super().__init__()
        for name, value in (("ranges", ranges), ("page_rows", page_rows)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(f"{name}={value!r} is not an integer of at least 1")
        for name, value in (("timeout_s", timeout_s), ("connect_wait_s", connect_wait_s)):
            if not isinstance(value, int | float) or not value > 0:
                raise OptionError(f"{name}={value!r} is not a positive number of seconds")
        if consistency not in CONSISTENCIES or consistency == "EACH_QUORUM":
            accepted = ", ".join(level for level in CONSISTENCIES if level != "EACH_QUORUM")
            raise OptionError(f"consistency={consistency!r} is not one of {accepted}")
        check_where(where)
        check_row_type(rows)
        self._ranges = ranges
        self._settings = ReadSettings(
            table=table,
            cluster=cluster,
            columns=columns_of(rows, _names("columns", columns)),
            where=where,
            rows=rows,
            page_rows=page_rows,
            consistency=consistency,
            timeout_s=timeout_s,
            connect_wait_s=connect_wait_s,
        )

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        settings = self._settings
        table = columns = None
        if settings.rows is beam.Row:
            table = describe_table(settings.cluster, settings.table)
            columns = table.select(settings.columns or tuple(table.columns))
        rows = element_type(settings.rows, columns, table)
        return (
            root
            | beam.Create(token_ranges(self._ranges))
            | beam.Reshuffle()  # Without it, a runner may fuse both steps, and one worker read all ranges.
            | "Read" >> beam.ParDo(ReadFn(settings)).with_output_types(rows)
        )

    def display_data(self) -> dict[str, Any]:
        return {**ReadFn(self._settings).display_data(), "ranges": DisplayDataItem(self._ranges, label="Token ranges")}


def _names(what: str, names: Sequence[str] | None) -> tuple[str, ...] | None:
    if isinstance(names, str):
        raise OptionError(f"{what}={names!r} is a text; pass a tuple of texts: ({names!r},)")
    return None if names is None else tuple(names)
