"""Rows in, acknowledgements out: concurrent writes with bounds, batches, retries and no Beam.

RowWriter     keeps many writes on the way and hands back one Outcome a row    start here
WriteOptions  its settings
"""

import dataclasses
import heapq
import itertools
import queue
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from beam_pipelines.retries import backoff_s, explained, is_retriable
from beam_pipelines.statements import CONSISTENCIES, unlogged_batch
from tfcass.errors import ClusterError, OptionError

_OPEN_BATCHES = 64  # Partitions that may wait for more of their rows at a time; the one that waits longest goes first.
_VALUE_BYTES = 8  # What a value costs in a request beside its own bytes, about.
_LONGEST_TTL_S = 20 * 365 * 24 * 3600  # Cassandra's own limit.


@dataclasses.dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """Settings of WriteToCassandra; the defaults suit rows of 10 to 100 kB.

    Attributes:
      max_in_flight: Rows sent and not yet acknowledged, per DoFn instance. More hides a longer round trip and loads
        the cluster more.
      max_in_flight_bytes: The same bound in bytes of text and blobs, so that large rows do not fill the memory. A row
        above it travels alone.
      max_row_bytes: A larger row is a dead letter and is not sent. Cassandra refuses a write above half a commit log
        segment, 16 MiB unless configured otherwise.
      max_batch_rows: Rows of one partition that may travel in one request, as an unlogged batch; 1 sends each alone.
        Rows of different partitions never share a request. Small rows that arrive sorted by partition gain most.
      max_batch_bytes: The same bound in bytes. The server warns of batches above 5 KiB and refuses those above 50 KiB
        unless configured otherwise.
      max_attempts: How often a row is tried while the cluster answers for other rows. What is tried while it answers
        nothing at all does not count: that ends with `fail_after_s`.
      first_backoff_s, longest_backoff_s: The wait between attempts doubles from the first to the longest.
      timeout_s: Deadline of one attempt.
      consistency: Replicas that must acknowledge a row, as in CQL.
      fail_after_s: How long the cluster may be away, at the start and at any time later. After that the bundle fails,
        instead of turning row after row into a dead letter.
      ttl_s: Seconds after which the server deletes the rows by itself; None keeps them.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    max_in_flight: int = 128
    max_in_flight_bytes: int = 32 * 1024 * 1024
    max_row_bytes: int = 15 * 1024 * 1024
    max_batch_rows: int = 32
    max_batch_bytes: int = 4 * 1024
    max_attempts: int = 10
    first_backoff_s: float = 0.1
    longest_backoff_s: float = 10.0
    timeout_s: float = 10.0
    consistency: str = "LOCAL_QUORUM"
    fail_after_s: float = 60.0
    ttl_s: int | None = None

    def __post_init__(self) -> None:
        counts = ("max_in_flight", "max_in_flight_bytes", "max_row_bytes", "max_batch_rows", "max_batch_bytes")
        for name in (*counts, "max_attempts"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(f"{name}={value!r} is not an integer of at least 1")
        for name in ("first_backoff_s", "longest_backoff_s", "timeout_s", "fail_after_s"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value > 0:
                raise OptionError(f"{name}={value!r} is not a positive number of seconds")
        if self.consistency not in CONSISTENCIES:
            raise OptionError(f"consistency={self.consistency!r} is not one of {', '.join(CONSISTENCIES)}")
        ttl = self.ttl_s
        if ttl is not None and (not isinstance(ttl, int) or isinstance(ttl, bool) or not 1 <= ttl <= _LONGEST_TTL_S):
            raise OptionError(
                f"ttl_s={ttl!r} is not None or an integer of 1 to {_LONGEST_TTL_S} seconds, which is 20 years"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row.

    Attributes:
      ticket: What submit() was given with the row.
      error: None once the cluster has acknowledged the row, else why it was not written.
      attempts: Requests sent for it; 0 when it was refused before sending.
      row_bytes: Bytes of its text and blobs.
      elapsed_ms: From its first request to its last reply.
    """

    ticket: Any
    error: str | None
    attempts: int
    row_bytes: int
    elapsed_ms: int


@dataclasses.dataclass(slots=True)
class _Row:
    ticket: Any
    statement: Any
    row_bytes: int


@dataclasses.dataclass(slots=True)
class _Request:
    rows: list[_Row]
    statement: Any
    started_s: float
    attempts: int = 0
    counted: int = 0  # Failed attempts since which the cluster has answered another request.
    answers_seen: int = -1  # RowWriter._answers at the last failure.


class RowWriter:
    """Writes rows through one prepared INSERT, many at a time.

    Terms    In flight: taken and not acknowledged, waits between attempts included, so that the bounds hold throughout.
             Answer: a reply that shows that the cluster is there, be it a refusal. Silence: the time without any.
    Threads  One thread calls the methods. Replies arrive on driver threads and only enter a queue.
    Borrows  The session, which must outlive every row in flight: call drain() before letting it go.

    Args:
      session: A cassandra-driver Session.
      prepared: The INSERT; bound to each row's values.
      options: Bounds, attempts, deadlines.
      partition_of: Bound statement -> its partition; None writes each row by itself.
      is_alive: Asked after a long silence: True when the cluster answers something else, so that the row is at fault.
      clock: Seconds that never go back; a test passes its own.
    """

    def __init__(
        self,
        session: Any,
        prepared: Any,
        options: WriteOptions,
        *,
        partition_of: Callable[[Any], Hashable] | None = None,
        is_alive: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._prepared = prepared
        self._options = options
        self._partition_of = partition_of if options.max_batch_rows > 1 else None
        self._is_alive = is_alive
        self._clock = clock
        self._replies: queue.SimpleQueue[tuple[_Request, BaseException | None]] = queue.SimpleQueue()
        self._due: list[tuple[float, int, _Request]] = []  # Heap of waits: (when to send again, tie-break, request).
        self._tie_break = itertools.count()
        self._ready: list[Outcome] = []
        self._batches: dict[Hashable, list[_Row]] = {}  # Partition -> rows that wait for more of it, oldest first.
        self._rows = 0
        self._bytes = 0
        self._answers = 0
        self._silent_since_s: float | None = None  # First failed attempt since the last answer.
        self.retries = 0  # Attempts after the first, all requests together.
        self.requests = 0  # Requests sent: fewer than rows where rows shared one.

    def submit(self, values: Sequence[Any], ticket: Any) -> None:
        """Takes a row once there is room for it; its Outcome, with `ticket`, comes from completed() or drain().

        Raises:
          tfcass.ClusterError: The cluster has answered nothing for `fail_after_s`: it is gone.
        """
        row_bytes = sum(len(value) for value in values if isinstance(value, bytes | bytearray | memoryview | str))
        if row_bytes > self._options.max_row_bytes:
            limit = self._options.max_row_bytes
            self._refuse(ticket, row_bytes, f"row of {row_bytes:,} bytes is above max_row_bytes={limit:,}")
            return
        try:
            statement = self._prepared.bind(values)
        except Exception as error:  # The driver raises TypeError, ValueError, struct.error and more for a bad value.
            self._refuse(ticket, row_bytes, f"{type(error).__name__}: {error}")
            return
        if self._rows and not self._has_room(row_bytes):
            self._send_batches()  # Rows that wait for company hold room, too.
            while self._rows and not self._has_room(row_bytes):
                self._wait()
        self._rows += 1
        self._bytes += row_bytes
        row = _Row(ticket, statement, row_bytes)
        if self._partition_of is None:
            self._send(_Request([row], statement, self._clock()))
        else:
            self._gather(row)

    def completed(self) -> list[Outcome]:
        """Returns the outcomes known by now, without waiting; raises as submit()."""
        while not self._replies.empty():
            self._take_reply(block=False)
        if self._due:
            self._send_due()
        ready, self._ready = self._ready, []
        return ready

    def drain(self) -> Iterator[Outcome]:
        """Waits for every row in flight and yields all outcomes that remain; raises as submit()."""
        self._send_batches()
        while True:
            yield from self.completed()
            if not self._rows:
                return
            self._wait()

    def _has_room(self, row_bytes: int) -> bool:
        return self._rows < self._options.max_in_flight and self._bytes + row_bytes <= self._options.max_in_flight_bytes

    def _refuse(self, ticket: Any, row_bytes: int, error: str) -> None:
        self._ready.append(Outcome(ticket, error, attempts=0, row_bytes=row_bytes, elapsed_ms=0))

    def _gather(self, row: _Row) -> None:
        """Sends the row with others of its partition, once they are as many as may share a request."""
        partition = self._partition_of(row.statement)
        batch = self._batches.pop(partition, [])  # And in again below: the order is that of the last row.
        if batch and _size([*batch, row]) > self._options.max_batch_bytes:
            self._send_rows(batch)
            batch = []
        batch.append(row)
        if len(batch) >= self._options.max_batch_rows or _size(batch) >= self._options.max_batch_bytes:
            self._send_rows(batch)
            return
        self._batches[partition] = batch
        if len(self._batches) > _OPEN_BATCHES:
            self._send_rows(self._batches.pop(next(iter(self._batches))))

    def _send_batches(self) -> None:
        batches, self._batches = self._batches, {}
        for rows in batches.values():
            self._send_rows(rows)

    def _send_rows(self, rows: list[_Row]) -> None:
        statement = rows[0].statement if len(rows) == 1 else unlogged_batch([row.statement for row in rows])
        self._send(_Request(rows, statement, self._clock()))

    def _send(self, request: _Request) -> None:
        request.attempts += 1
        self.requests += 1
        try:
            future = self._session.execute_async(request.statement, timeout=self._options.timeout_s)
        except Exception as error:  # The driver raises some failures here (NoHostAvailable, ConnectionException).
            self._replies.put((request, error))
            return
        future.add_callbacks(
            callback=lambda _rows: self._replies.put((request, None)),
            errback=lambda error: self._replies.put((request, error)),
        )

    def _wait(self) -> None:
        """Blocks until a reply has been handled or a wait between attempts is over."""
        self._send_due()
        self._take_reply(block=True)

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= self._clock():
            self.retries += 1
            self._send(heapq.heappop(self._due)[2])

    def _take_reply(self, *, block: bool) -> None:
        """Handles one reply, if one is there (or comes before the next attempt is due)."""
        until_due_s = max(0.0, self._due[0][0] - self._clock()) if self._due else None
        try:
            request, error = self._replies.get(block=block, timeout=until_due_s)
        except queue.Empty:
            return
        if error is None:
            self._answered()
            self._finish(request, None)
        elif not is_retriable(error):
            self._answered()  # Even a refusal shows that the cluster is there.
            self._give_up(request, error)
        else:
            self._try_again(request, error)

    def _answered(self) -> None:
        self._answers += 1
        self._silent_since_s = None

    def _try_again(self, request: _Request, error: BaseException) -> None:
        now = self._clock()
        if self._silent_since_s is None:
            self._silent_since_s = now
        # While the cluster answers nobody, a failure says nothing of this row: it keeps its attempts for later.
        if self._answers > request.answers_seen:
            request.counted += 1
        request.answers_seen = self._answers
        if now - self._silent_since_s >= self._options.fail_after_s:
            if not self._is_alive():
                raise ClusterError(
                    f"no row could be written for {now - self._silent_since_s:.0f} s; last error: {explained(error)}. "
                    "Is the cluster up? Start the job again once it is"
                )
            # It has just come back, or this row alone is at fault: one more attempt tells which.
            self._answered()
            request.counted = max(request.counted, self._options.max_attempts - 1)
        if request.counted >= self._options.max_attempts:
            self._give_up(request, error)
            return
        options = self._options
        wait_s = backoff_s(request.attempts, first_s=options.first_backoff_s, longest_s=options.longest_backoff_s)
        heapq.heappush(self._due, (now + wait_s, next(self._tie_break), request))

    def _give_up(self, request: _Request, error: BaseException) -> None:
        if len(request.rows) == 1:
            self._finish(request, error)
            return
        for row in request.rows:  # One of them may have spoilt it for the others: each gets a verdict of its own.
            self._send(_Request([row], row.statement, request.started_s))

    def _finish(self, request: _Request, error: BaseException | None) -> None:
        elapsed_ms = round(1000 * (self._clock() - request.started_s))
        text = None if error is None else explained(error)
        for row in request.rows:
            self._rows -= 1
            self._bytes -= row.row_bytes
            self._ready.append(Outcome(row.ticket, text, request.attempts, row.row_bytes, elapsed_ms))


def _size(rows: list[_Row]) -> int:
    """Bytes of the rows' values in a request, about."""
    return sum(
        _VALUE_BYTES + (len(value) if isinstance(value, bytes) else 0) for row in rows for value in row.statement.values
    )
