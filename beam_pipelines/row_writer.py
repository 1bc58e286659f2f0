"""Rows in, acknowledgements out: concurrent writes with bounds, retries and no Beam.

RowWriter     keeps many writes on the way and hands back one Outcome a row    start here
WriteOptions  its settings
"""

import dataclasses
import heapq
import itertools
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from beam_pipelines.retries import backoff_s, is_retriable
from beam_pipelines.statements import CONSISTENCIES
from tfcass.errors import ClusterError, OptionError


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
      max_attempts: How often a row is tried when the cluster times out, is overloaded or away.
      first_backoff_s, longest_backoff_s: The wait between attempts doubles from the first to the longest.
      timeout_s: Deadline of one attempt.
      consistency: Replicas that must acknowledge a row, as in CQL.
      fail_after_s: When a row's attempts are used up and no other row was written for this long, the cluster is gone:
        the bundle fails, instead of turning row after row into a dead letter.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    max_in_flight: int = 128
    max_in_flight_bytes: int = 32 * 1024 * 1024
    max_row_bytes: int = 15 * 1024 * 1024
    max_attempts: int = 10
    first_backoff_s: float = 0.1
    longest_backoff_s: float = 10.0
    timeout_s: float = 10.0
    consistency: str = "LOCAL_QUORUM"
    fail_after_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("max_in_flight", "max_in_flight_bytes", "max_row_bytes", "max_attempts"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(f"{name}={value!r} is not an integer of at least 1")
        for name in ("first_backoff_s", "longest_backoff_s", "timeout_s", "fail_after_s"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value > 0:
                raise OptionError(f"{name}={value!r} is not a positive number of seconds")
        if self.consistency not in CONSISTENCIES:
            raise OptionError(f"consistency={self.consistency!r} is not one of {', '.join(CONSISTENCIES)}")


@dataclasses.dataclass(frozen=True)
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


@dataclasses.dataclass
class _Write:
    ticket: Any
    statement: Any
    row_bytes: int
    started_s: float
    attempts: int = 0


class RowWriter:
    """Writes rows through one prepared INSERT, many at a time.

    Terms    In flight: sent and not acknowledged, waits between attempts included, so that the bounds hold throughout.
    Threads  One thread calls the methods. Replies arrive on driver threads and only enter a queue.
    Borrows  The session, which must outlive every row in flight: call drain() before letting it go.

    Args:
      session: A cassandra-driver Session.
      prepared: The INSERT; bound to each row's values.
      options: Bounds, attempts, deadlines.
      clock: Seconds that never go back; a test passes its own.
    """

    def __init__(
        self, session: Any, prepared: Any, options: WriteOptions, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session = session
        self._prepared = prepared
        self._options = options
        self._clock = clock
        self._replies: queue.SimpleQueue[tuple[_Write, BaseException | None]] = queue.SimpleQueue()
        self._due: list[tuple[float, int, _Write]] = []  # Heap of waits: (when to send again, tie-break, write).
        self._tie_break = itertools.count()
        self._ready: list[Outcome] = []
        self._rows = 0
        self._bytes = 0
        self._failing_since_s: float | None = None  # First failed attempt since the cluster last answered.
        self.retries = 0  # Attempts after the first, all rows together.

    def submit(self, values: Sequence[Any], ticket: Any) -> None:
        """Sends a row once there is room for it; its Outcome, with `ticket`, comes from completed() or drain().

        Raises:
          tfcass.ClusterError: No row could be written for `fail_after_s`: the cluster is gone.
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
        while self._rows and not self._has_room(row_bytes):
            self._wait()
        self._rows += 1
        self._bytes += row_bytes
        self._send(_Write(ticket, statement, row_bytes, started_s=self._clock()))

    def completed(self) -> list[Outcome]:
        """Returns the outcomes known by now, without waiting; raises as submit()."""
        while self._take_reply(block=False):
            pass
        self._send_due()
        ready, self._ready = self._ready, []
        return ready

    def drain(self) -> Iterator[Outcome]:
        """Waits for every row in flight and yields all outcomes that remain; raises as submit()."""
        while True:
            yield from self.completed()
            if not self._rows:
                return
            self._wait()

    def _has_room(self, row_bytes: int) -> bool:
        return self._rows < self._options.max_in_flight and self._bytes + row_bytes <= self._options.max_in_flight_bytes

    def _refuse(self, ticket: Any, row_bytes: int, error: str) -> None:
        self._ready.append(Outcome(ticket, error, attempts=0, row_bytes=row_bytes, elapsed_ms=0))

    def _send(self, write: _Write) -> None:
        write.attempts += 1
        try:
            future = self._session.execute_async(write.statement, timeout=self._options.timeout_s)
        except Exception as error:  # The driver raises some failures here (NoHostAvailable, ConnectionException).
            self._replies.put((write, error))
            return
        future.add_callbacks(
            callback=lambda _rows: self._replies.put((write, None)),
            errback=lambda error: self._replies.put((write, error)),
        )

    def _wait(self) -> None:
        """Blocks until a reply has been handled or a wait between attempts is over."""
        self._send_due()
        self._take_reply(block=True)

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= self._clock():
            self.retries += 1
            self._send(heapq.heappop(self._due)[2])

    def _take_reply(self, *, block: bool) -> bool:
        """Handles one reply; False when none was there (or none came before the next attempt is due)."""
        until_due_s = max(0.0, self._due[0][0] - self._clock()) if self._due else None
        try:
            write, error = self._replies.get(block=block, timeout=until_due_s)
        except queue.Empty:
            return False
        retriable = error is not None and is_retriable(error)
        if not retriable:
            self._failing_since_s = None  # Even a refusal shows that the cluster is there.
        elif self._failing_since_s is None:
            self._failing_since_s = self._clock()
        if retriable and write.attempts < self._options.max_attempts:
            wait_s = backoff_s(
                write.attempts, first_s=self._options.first_backoff_s, longest_s=self._options.longest_backoff_s
            )
            heapq.heappush(self._due, (self._clock() + wait_s, next(self._tie_break), write))
            return True
        self._finish(write, error)
        return True

    def _finish(self, write: _Write, error: BaseException | None) -> None:
        self._rows -= 1
        self._bytes -= write.row_bytes
        elapsed_ms = round(1000 * (self._clock() - write.started_s))
        text = None if error is None else f"{type(error).__name__}: {error}"
        self._ready.append(Outcome(write.ticket, text, write.attempts, write.row_bytes, elapsed_ms))
        if error is not None and is_retriable(error):
            self._give_up_if_gone(text)

    def _give_up_if_gone(self, error: str | None) -> None:
        failing_s = self._clock() - self._failing_since_s if self._failing_since_s is not None else 0.0
        if failing_s >= self._options.fail_after_s:
            raise ClusterError(
                f"no row could be written for {failing_s:.0f} s; last error: {error}. "
                "Is the cluster up? Start the job again once it is"
            )
