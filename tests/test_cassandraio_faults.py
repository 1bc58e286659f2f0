"""Retries, bounds, batches and shared sessions, with a session that does what a script says.

And a real database that goes away: at the start, for a while, for good.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from cassandra import InvalidRequest, OperationTimedOut, Unavailable
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import OverloadedErrorMessage

import tfcass
from beam_pipelines.cassandraio import WriteToCassandra
from beam_pipelines.row_writer import RowWriter, WriteOptions
from beam_pipelines.sessions import SessionPool
from beam_pipelines.token_ranges import PageSizer, read_pages
from tests.support.proxy import Proxy, proxy_of

TIMED_OUT = OperationTimedOut("scripted")
RETRIABLE = [
    TIMED_OUT,
    Unavailable("scripted", consistency=1, required_replicas=2, alive_replicas=1),
    OverloadedErrorMessage(0x1001, "scripted", None),
    NoHostAvailable("scripted", {}),
]


class ScriptedSession:
    """Answers row number n with the n-th list of errors, one an attempt, and then with success.

    Replies wait until `hold` rows are in flight, so that a test sees how many there are at most.
    """

    def __init__(self, *scripts: list[BaseException], hold: int = 1) -> None:
        self.errors = {number: list(errors) for number, errors in enumerate(scripts)}
        self.hold = hold
        self.open: list[tuple[int, Any]] = []
        self.most_open = 0
        self.attempts: list[int] = []

    def bind(self, values: list[Any]) -> int:  # Stands for the prepared statement: the first value is the row's number.
        return values[0]

    def execute_async(self, row: int, timeout: float) -> "ScriptedSession._Future":
        self.attempts.append(row)
        return ScriptedSession._Future(self, row)

    def reply_all(self) -> None:
        replies, self.open = self.open, []
        for row, (callback, errback) in reversed(replies):
            errors = self.errors.get(row)
            if errors:
                errback(errors.pop(0))
            else:
                callback(None)

    class _Future:
        def __init__(self, session: "ScriptedSession", row: int) -> None:
            self._session, self._row = session, row

        def add_callbacks(self, callback: Any, errback: Any) -> None:
            session = self._session
            session.open.append((self._row, (callback, errback)))
            session.most_open = max(session.most_open, len(session.open))
            if len(session.open) >= session.hold:
                session.reply_all()


def writer(session: ScriptedSession, **settings: Any) -> RowWriter:
    options = {"first_backoff_s": 0.001, "longest_backoff_s": 0.002, **settings}
    return RowWriter(session, session, WriteOptions(**options))


@pytest.mark.parametrize("error", RETRIABLE, ids=lambda error: type(error).__name__)
def test_an_error_that_may_pass_is_retried(error: BaseException) -> None:
    session = ScriptedSession([error, error])
    rows = writer(session)

    rows.submit([0], "row")

    (outcome,) = rows.drain()
    assert (outcome.ticket, outcome.error, outcome.attempts, rows.retries) == ("row", None, 3, 2)


def test_an_error_that_stays_is_not_retried() -> None:
    session = ScriptedSession([InvalidRequest("scripted: no such thing")])
    rows = writer(session)

    rows.submit([0], "row")

    (outcome,) = rows.drain()
    assert (outcome.error, outcome.attempts) == ("InvalidRequest: scripted: no such thing", 1)


def test_attempts_end_while_others_are_written_and_the_error_says_why() -> None:
    session = ScriptedSession([TIMED_OUT] * 99)
    rows = writer(session, max_attempts=4)

    rows.submit([0], 0)
    outcomes = []
    while not any(outcome.ticket == 0 for outcome in outcomes):
        rows.submit([1], 1)
        outcomes += rows.completed()

    (outcome,) = (outcome for outcome in outcomes if outcome.ticket == 0)
    assert outcome.attempts >= 4
    assert outcome.error is not None and "OperationTimedOut" in outcome.error
    assert all(outcome.error is None for outcome in outcomes if outcome.ticket == 1)


def test_a_server_that_says_too_large_is_explained() -> None:
    session = ScriptedSession([InvalidRequest("CQL Message of size 41943128 bytes exceeds allowed maximum")])
    rows = writer(session)

    rows.submit([0], "row")

    (outcome,) = rows.drain()
    assert outcome.error.startswith("InvalidRequest: CQL Message of size 41943128")
    assert "store a smaller blob" in outcome.error


def test_every_row_has_one_outcome_whatever_the_order_of_replies() -> None:
    session = ScriptedSession(*[[TIMED_OUT] * (number % 3) for number in range(40)], hold=4)
    rows = writer(session, max_in_flight=8)

    outcomes = []
    for number in range(40):
        rows.submit([number], number)
        outcomes += rows.completed()
    session.hold = 1
    session.reply_all()
    outcomes += rows.drain()

    assert sorted(outcome.ticket for outcome in outcomes) == list(range(40))
    assert all(outcome.error is None for outcome in outcomes)


def submit_in_background(rows: RowWriter, values: list[list[Any]]) -> threading.Thread:
    def submit() -> None:
        for number, row in enumerate(values):
            rows.submit(row, number)

    thread = threading.Thread(target=submit, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("settings", [{"max_in_flight": 3}, {"max_in_flight_bytes": 3 * 100}])
def test_rows_and_bytes_in_flight_are_bounded(settings: dict) -> None:
    session = ScriptedSession(hold=1000)
    rows = writer(session, **settings)

    thread = submit_in_background(rows, [[number, b"x" * 100] for number in range(10)])
    while thread.is_alive():
        if len(session.open) == 3:
            session.reply_all()
        thread.join(0.01)
    session.hold = 1
    session.reply_all()

    assert len(list(rows.drain())) == 10
    assert session.most_open == 3


def test_a_row_above_the_bound_of_bytes_travels_alone() -> None:
    session = ScriptedSession()
    rows = writer(session, max_in_flight_bytes=10)

    rows.submit([0, b"x" * 50], "large")

    assert [outcome.error for outcome in rows.drain()] == [None]


class Clock:
    """Moves when the writer looks at it, a second a look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_cluster_that_is_gone_fails_the_bundle_instead_of_killing_each_row() -> None:
    session = ScriptedSession(*[[TIMED_OUT] * 99 for _ in range(10)])
    rows = writer(session, max_attempts=3, fail_after_s=0.001)

    with pytest.raises(tfcass.ClusterError, match="no row could be written for .*OperationTimedOut"):
        for number in range(10):
            rows.submit([number], number)
        list(rows.drain())


def test_a_cluster_that_comes_back_in_time_costs_no_row_its_attempts() -> None:
    class Outage(ScriptedSession):
        """Nobody is answered for the first 200 requests."""

        def reply_all(self) -> None:
            self.errors = {number: [TIMED_OUT] * (len(self.attempts) <= 200) for number in range(10)}
            super().reply_all()

    session = Outage()
    rows = writer(session, max_attempts=3, fail_after_s=300)

    for number in range(10):
        rows.submit([number], number)

    assert [outcome.error for outcome in rows.drain()] == [None] * 10


@pytest.mark.parametrize("mends", [True, False])
def test_a_row_that_alone_gets_no_answer_is_tried_once_more_when_the_cluster_shows_that_it_is_there(
    mends: bool,
) -> None:
    session = ScriptedSession([TIMED_OUT] * (1 if mends else 99))
    asked = []
    rows = RowWriter(
        session,
        session,
        WriteOptions(max_attempts=2, fail_after_s=0.5, first_backoff_s=0.001, longest_backoff_s=0.001),
        is_alive=lambda: asked.append("alive") or True,
        clock=Clock(),
    )

    rows.submit([0], 0)

    (outcome,) = rows.drain()
    assert (outcome.error is None) is mends
    assert asked or mends


class Bound:
    """Stands for a bound statement: (row number, partition, bytes)."""

    consistency_level = None
    keyspace = None

    def __init__(self, values: list[Any]) -> None:
        self.number, self.partition, data = values
        self.values = [data]


class BatchSession:
    """Notes what rows each request holds; refuses a request with one of the rows in `bad`, whatever else is in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bad: set[int] = frozenset()) -> None:
        self.bad = bad
        self.requests: list[list[int]] = []
        monkeypatch.setattr("beam_pipelines.row_writer.unlogged_batch", list)

    def bind(self, values: list[Any]) -> Bound:
        return Bound(values)

    def execute_async(self, statement: Any, timeout: float) -> "BatchSession":
        self.requests.append([bound.number for bound in (statement if isinstance(statement, list) else [statement])])
        return self

    def add_callbacks(self, callback: Any, errback: Any) -> None:
        if self.bad & set(self.requests[-1]):
            errback(InvalidRequest("scripted"))
        else:
            callback(None)


def batches(session: BatchSession, **settings: Any) -> RowWriter:
    return RowWriter(session, session, WriteOptions(**settings), partition_of=lambda bound: bound.partition)


def test_rows_of_one_partition_share_requests_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    session = BatchSession(monkeypatch)
    rows = batches(session, max_batch_rows=3)

    for number in range(10):
        rows.submit([number, number % 2, b"x"], number)

    assert sorted(outcome.ticket for outcome in rows.drain()) == list(range(10))
    assert sorted(session.requests) == [[0, 2, 4], [1, 3, 5], [6, 8], [7, 9]]


def test_a_batch_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    session = BatchSession(monkeypatch)
    rows = batches(session, max_batch_bytes=250)

    for number in range(5):
        rows.submit([number, 0, b"x" * 100], number)
    rows.submit([5, 0, b"x" * 9999], 5)

    assert len(list(rows.drain())) == 6
    assert session.requests == [[0, 1], [2, 3], [4], [5]]


def test_one_bad_row_of_a_batch_does_not_take_the_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    session = BatchSession(monkeypatch, bad={2})
    rows = batches(session, max_batch_rows=4)

    for number in range(4):
        rows.submit([number, 0, b"x"], number)

    assert {outcome.ticket: outcome.error is None for outcome in rows.drain()} == {
        0: True,
        1: True,
        2: False,
        3: True,
    }


def test_rows_that_wait_for_others_of_their_partition_do_not_block_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    session = BatchSession(monkeypatch)
    rows = batches(session, max_in_flight=4)

    for number in range(20):
        rows.submit([number, number, b"x"], number)

    assert len(list(rows.drain())) == 20


def test_a_page_that_times_out_is_asked_again() -> None:
    class Page:
        def __init__(self, rows: list[int], paging_state: bytes | None) -> None:
            self.current_rows, self.paging_state = rows, paging_state

    class Session:
        replies = [Page([1, 2], b"next"), TIMED_OUT, TIMED_OUT, Page([3], None)]
        asked: list[bytes | None] = []

        def execute_async(self, statement: Any, timeout: float, paging_state: bytes | None) -> "Session":
            self.asked.append(paging_state)
            if len(self.asked) == 2:  # The driver fails some requests at once, and others when one waits for them.
                raise self.replies.pop(0)
            return self

        def result(self) -> Page:
            reply = self.replies.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return reply

    session, retried = Session(), []

    pages = read_pages(session, "statement", retried=lambda: retried.append(1))

    assert list(pages) == [[1, 2], [3]]
    assert session.asked == [None, b"next", b"next", b"next"]
    assert len(retried) == 2


def test_pages_of_large_rows_are_small() -> None:
    sizer = PageSizer(1000, page_bytes=10_000)
    sizer.saw([(b"x" * 1000, 5)] * 50)
    assert sizer.rows == 10
    sizer.saw([(b"", 5)] * 10)
    assert sizer.rows == 1000
    sizer.saw([(b"x" * 20_000, 5)])
    assert sizer.rows == 1


def test_a_session_is_shared_and_closed_by_the_last_user() -> None:
    class FakeCluster:
        opened = closed = 0

        @contextlib.contextmanager
        def session(self) -> Iterator[object]:
            self.opened += 1
            yield object()
            self.closed += 1

    cluster, pool = FakeCluster(), SessionPool()

    first, second = pool.acquire(cluster), pool.acquire(cluster)
    pool.release(cluster)
    assert (first is second, cluster.opened, cluster.closed) == (True, 1, 0)
    pool.release(cluster)
    assert cluster.closed == 1
    pool.acquire(cluster)
    assert cluster.opened == 2


def test_a_cluster_that_cannot_be_reached_is_tried_anew_by_the_next_user() -> None:
    class FakeCluster:
        @contextlib.contextmanager
        def session(self) -> Iterator[object]:
            raise tfcass.ClusterError("down")
            yield

    cluster, pool = FakeCluster(), SessionPool()

    for _ in range(2):
        with pytest.raises(tfcass.ClusterError, match="down"):
            pool.acquire(cluster)


class Switch:
    """Something that happens when row number `at` passes: a function of this process, which the pipeline runs in."""

    at = -1
    act: Any = None


def flip(row: dict) -> dict:
    if row["id"] == Switch.at:
        Switch.act()
    return row


@pytest.fixture
def behind_proxy(cassandra: tfcass.Cluster) -> Iterator[tuple[Proxy, tfcass.Cluster]]:
    with proxy_of((cassandra.contact_points[0], cassandra.port)) as proxy:
        yield proxy, tfcass.Cluster(["127.0.0.1"], port=proxy.port)


@pytest.fixture
def numbers(cassandra_session: Any, keyspace: str) -> str:
    cassandra_session.execute(f"CREATE TABLE {keyspace}.numbers (id int PRIMARY KEY, data blob)")
    return f"{keyspace}.numbers"


ROWS = [{"id": number, "data": bytes(100)} for number in range(2000)]


def write_numbers(cluster: tfcass.Cluster, table: str, **settings: Any) -> dict[str, int]:
    """Writes ROWS; the counters."""
    p = beam.Pipeline(runner="FnApiRunner")
    written = p | beam.Create(ROWS) | beam.Map(flip) | WriteToCassandra(table, cluster=cluster, **settings)
    assert_that(written.written | beam.Map(lambda row: row["id"]), equal_to(list(range(2000))))
    assert_that(written.dead, equal_to([]), label="none dead")
    result = p.run()
    result.wait_until_finish()
    return {metric.key.metric.name: metric.result for metric in result.metrics().query()["counters"]}


def stored(session: Any, table: str) -> int:
    return session.execute(f"SELECT COUNT(*) FROM {table}").one()[0]


def test_a_database_that_is_away_in_the_middle_loses_no_row(
    behind_proxy: tuple[Proxy, tfcass.Cluster], cassandra_session: Any, numbers: str
) -> None:
    proxy, cluster = behind_proxy
    back = threading.Timer(2.0, proxy.up)  # The outage itself; nothing waits for its end but the writer.

    def outage() -> None:
        proxy.down()
        back.start()

    Switch.at, Switch.act = 700, outage
    counters = write_numbers(cluster, numbers, max_attempts=2, fail_after_s=120.0)

    back.join()
    assert counters["retries"] > 0
    assert stored(cassandra_session, numbers) == len(ROWS)


def test_a_database_that_is_away_for_good_fails_the_run_and_the_next_one_completes_it(
    behind_proxy: tuple[Proxy, tfcass.Cluster], cassandra_session: Any, numbers: str
) -> None:
    proxy, cluster = behind_proxy
    Switch.at, Switch.act = 700, proxy.down
    with pytest.raises(Exception, match="no row could be written for .*Is the cluster up"):
        write_numbers(cluster, numbers, fail_after_s=1.0)
    # At the start, too.
    with pytest.raises(Exception, match="connection refused"):
        write_numbers(cluster, numbers, fail_after_s=1.0)
    before = stored(cassandra_session, numbers)

    proxy.up()
    Switch.at = -1
    write_numbers(cluster, numbers)

    assert 0 < before < len(ROWS)
    assert stored(cassandra_session, numbers) == len(ROWS)


def test_a_database_that_is_still_starting_is_waited_for(
    behind_proxy: tuple[Proxy, tfcass.Cluster], cassandra_session: Any, numbers: str
) -> None:
    proxy, cluster = behind_proxy
    proxy.down()
    up = threading.Timer(1.0, proxy.up)
    up.start()
    Switch.at = -1

    write_numbers(cluster, numbers, fail_after_s=120.0)

    up.join()
    assert stored(cassandra_session, numbers) == len(ROWS)


def test_wrong_credentials_are_not_waited_for() -> None:
    class FakeCluster:
        asked = 0

        @contextlib.contextmanager
        def session(self) -> Iterator[object]:
            self.asked += 1
            raise tfcass.errors.AuthenticationError("wrong password")
            yield

    cluster = FakeCluster()
    with pytest.raises(tfcass.ClusterError, match="wrong password"):
        SessionPool().acquire(cluster, wait_s=3600.0)
    assert cluster.asked == 1
