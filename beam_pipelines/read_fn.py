"""The splittable DoFn of ReadFromCassandra: a token range in, its rows out, cut in two whenever a runner asks.

Why a splittable DoFn and not a BoundedSource: portable runners (FnApiRunner, Flink, Dataflow) run a source inside a
splittable DoFn anyway, and without the wrapper the ranges can be spread by a Reshuffle first. Flink and FnApiRunner
keep the pieces they start with; Dataflow gives the rest of a slow piece to an idle worker, at any token.
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.metrics import Metrics
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.display import DisplayDataItem

from beam_pipelines.sessions import SESSIONS
from beam_pipelines.statements import Where, prepare_token_range
from beam_pipelines.token_ranges import PageSizer, read_pages
from beam_pipelines.typed_rows import row_maker
from beam_pipelines.write_fn import NAMESPACE
from tfcass.schema import describe_table

if TYPE_CHECKING:
    from tfcass.cluster import Cluster


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """What a ReadFn is to do; see ReadFromCassandra."""

    table: str
    cluster: "Cluster"
    columns: tuple[str, ...] | None
    where: Where | None
    rows: Any
    page_rows: int
    consistency: str
    timeout_s: float
    connect_wait_s: float


class TokenRangeProvider(RestrictionProvider):
    """An element is a token range, and so is its restriction."""

    def initial_restriction(self, element: OffsetRange) -> OffsetRange:
        return element

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: OffsetRange, restriction: OffsetRange) -> float:
        return float(restriction.size())  # Rows are spread evenly over tokens.


class ReadFn(beam.DoFn):
    """Token range -> its rows, page by page, in the order of their tokens.

    A token is claimed before its first row is given; the other rows of that token (a wide partition) belong to it.
    """

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings
        self._session: Any = None
        self._rows_read = Metrics.counter(NAMESPACE, "rows_read")
        self._read_retries = Metrics.counter(NAMESPACE, "read_retries")
        self._read_ms = Metrics.distribution(NAMESPACE, "read_ms")

    def setup(self) -> None:
        from cassandra.cluster import EXEC_PROFILE_DEFAULT
        from cassandra.query import tuple_factory

        settings = self._settings
        self._session = SESSIONS.acquire(settings.cluster, wait_s=settings.connect_wait_s)
        table = describe_table(settings.cluster, settings.table)
        names = settings.columns or tuple(table.columns)
        self._make_row = row_maker(settings.rows, names)
        self._prepared, self._condition = prepare_token_range(
            self._session, table, table.select(names), consistency=settings.consistency, where=settings.where
        )
        self._profile = self._session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=tuple_factory)

    def process(
        self,
        _: OffsetRange,
        tracker: Any = beam.DoFn.RestrictionParam(TokenRangeProvider()),  # noqa: B008  As Beam has it.
    ) -> Iterator[Any]:
        started_s = time.monotonic()
        restriction = tracker.current_restriction()
        statement = self._prepared.bind((restriction.start, restriction.stop - 1, *self._condition))
        pages = read_pages(
            self._session,
            statement,
            sizer=PageSizer(self._settings.page_rows),
            timeout_s=self._settings.timeout_s,
            retried=self._read_retries.inc,
            execution_profile=self._profile,
        )
        claimed = None
        rows = 0
        try:
            for page in pages:
                for *values, token in page:
                    if token != claimed:
                        if not tracker.try_claim(token):  # The rest is another worker's by now.
                            return
                        claimed = token
                    rows += 1
                    yield self._make_row(values)
            tracker.try_claim(restriction.stop)  # Past the end: there is nothing more.
        finally:
            self._rows_read.inc(rows)
            self._read_ms.update(round(1000 * (time.monotonic() - started_s)))

    def teardown(self) -> None:
        if self._session is not None:
            self._session = None
            SESSIONS.release(self._settings.cluster)

    def display_data(self) -> dict[str, Any]:
        """Table and address; nothing of the credentials."""
        settings = self._settings
        return {
            "table": DisplayDataItem(settings.table, label="Table"),
            "contact_points": DisplayDataItem(", ".join(settings.cluster.contact_points), label="Contact points"),
            "page_rows": DisplayDataItem(settings.page_rows, label="Rows per page"),
        }
