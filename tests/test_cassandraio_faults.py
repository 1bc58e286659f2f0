"""Retries, bounds and shared sessions, with a session that does what a script says."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cassandra import InvalidRequest, OperationTimedOut, Unavailable
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import OverloadedErrorMessage

import tfcass
from beam_pipelines.row_writer import RowWriter, WriteOptions
from beam_pipelines.sessions import SessionPool
from beam_pipelines.token_ranges import read_pages

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
    session = ScriptedSession([InvalidRequest("scripted: too large")])
    rows = writer(session)

    rows.submit([0], "row")

    (outcome,) = rows.drain()
    assert (outcome.error, outcome.attempts) == ("InvalidRequest: scripted: too large", 1)


def test_attempts_end_and_the_error_says_why() -> None:
    session = ScriptedSession([TIMED_OUT] * 9)
    rows = writer(session, max_attempts=4)

    rows.submit([0], "row")

    (outcome,) = rows.drain()
    assert outcome.attempts == len(session.attempts) == 4
    assert outcome.error is not None and "OperationTimedOut" in outcome.error


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


def test_a_cluster_that_is_gone_fails_the_bundle_instead_of_killing_each_row() -> None:
    session = ScriptedSession(*[[TIMED_OUT] * 99 for _ in range(10)])
    rows = writer(session, max_attempts=3, fail_after_s=0.001)

    with pytest.raises(tfcass.ClusterError, match="no row could be written for .*OperationTimedOut"):
        for number in range(10):
            rows.submit([number], number)
        list(rows.drain())


def test_a_row_that_fails_while_others_succeed_is_no_sign_that_the_cluster_is_gone() -> None:
    session = ScriptedSession([TIMED_OUT] * 99)
    rows = writer(session, max_attempts=3, fail_after_s=0.001)

    rows.submit([0], 0)
    outcomes = []
    while not any(outcome.ticket == 0 for outcome in outcomes):
        rows.submit([1], 1)
        outcomes += rows.completed()

    assert {outcome.ticket: outcome.error is None for outcome in outcomes} == {0: False, 1: True}


def test_a_page_that_times_out_is_asked_again() -> None:
    class Page:
        def __init__(self, rows: list[int], paging_state: bytes | None) -> None:
            self.current_rows, self.paging_state = rows, paging_state

    class Session:
        replies = [Page([1, 2], b"next"), TIMED_OUT, Page([3], None)]
        asked: list[bytes | None] = []

        def execute(self, statement: Any, timeout: float, paging_state: bytes | None) -> Page:
            self.asked.append(paging_state)
            reply = self.replies.pop(0)
            if isinstance(reply, Exception):
                raise reply
            return reply

    session = Session()

    assert list(read_pages(session, "statement")) == [[1, 2], [3]]
    assert session.asked == [None, b"next", b"next"]


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
