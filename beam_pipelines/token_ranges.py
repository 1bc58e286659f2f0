"""A table read by ranges of its partition tokens: every row once.

    ranges = token_ranges(64)                                  # together the whole ring, no token twice
    for page in read_pages(session, statement): ...            # rows of one of them

A token range here is Beam's OffsetRange over tokens, [start, stop), so that Beam's own restriction tracker cuts it at
any token while it is read.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from beam_pipelines.retries import backoff_s, is_retriable
from tfcass.errors import SchemaError

if TYPE_CHECKING:
    from apache_beam.io.restriction_trackers import OffsetRange

# Murmur3Partitioner: all 64-bit integers but the lowest, which it keeps for itself (a key that hashes to it gets the
# highest instead). In CQL the lowest would mean "to the end of the ring", so that no range may use it as its end. The
# ring has a seam there, and a node's own range may lead across it; ours start and end at the seam, and none does.
LOWEST, HIGHEST = -(2**63) + 1, 2**63 - 1

_MAX_ATTEMPTS = 10
_TIMEOUT_S = 30.0
_PAGE_BYTES = 4 * 1024 * 1024
_FIRST_PAGE_ROWS = 50  # Before it is known how large rows are.


def token_ranges(pieces: int) -> "list[OffsetRange]":
    """Cuts the token ring into `pieces` ranges of about equal width, which together are all tokens, none twice."""
    from apache_beam.io.restriction_trackers import OffsetRange  # Here: whoever only reads pages needs no Beam.

    tokens = HIGHEST + 1 - LOWEST
    edges = [LOWEST + tokens * i // pieces for i in range(pieces + 1)]
    return [OffsetRange(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]


def check_partitioner(session: Any) -> None:
    """Raises SchemaError unless tokens are those of Murmur3Partitioner, Cassandra's default since 2012."""
    partitioner = str(session.cluster.metadata.partitioner)
    if not partitioner.endswith("Murmur3Partitioner"):
        raise SchemaError(
            f"the cluster's partitioner is {partitioner.rpartition('.')[2]}, whose tokens are no 64-bit numbers: only "
            "tables of Murmur3Partitioner can be read by token range"
        )


class PageSizer:
    """How many rows the next page should have, so that a page of large rows does not fill the memory.

    Args:
      most_rows: Never more than these.
      page_bytes: What a page should come to.
    """

    def __init__(self, most_rows: int, page_bytes: int = _PAGE_BYTES) -> None:
        self._most_rows = most_rows
        self._page_bytes = page_bytes
        self.rows = min(most_rows, _FIRST_PAGE_ROWS)

    def saw(self, page: list[Any]) -> None:
        """Learns from a page: the mean of its first rows."""
        sample = page[:20]
        if sample:
            row_bytes = sum(len(value) for row in sample for value in row if isinstance(value, bytes | str))
            mean = max(1, row_bytes // len(sample))
            self.rows = max(1, min(self._most_rows, self._page_bytes // mean))


def read_pages(
    session: Any,
    statement: Any,
    *,
    sizer: PageSizer | None = None,
    timeout_s: float = _TIMEOUT_S,
    retried: Callable[[], None] = lambda: None,
    **settings: Any,
) -> Iterator[list[Any]]:
    """Yields the rows of a bound statement, page by page; a page that fails is asked for again, of another node.

    The next page is on its way while the caller looks at one.

    Args:
      session: A cassandra-driver Session.
      statement: Bound; its fetch_size is the rows of a page, unless `sizer` says so.
      sizer: Chooses the size of each page.
      timeout_s: Deadline of one attempt.
      retried: Called for each attempt after the first.
      **settings: Of Session.execute_async, such as execution_profile.
    Raises:
      Exception: The driver's own error, when a page failed for good or its attempts are used up.
    """

    def ask(paging_state: bytes | None) -> Any:
        if sizer is not None:
            statement.fetch_size = sizer.rows
        return session.execute_async(statement, timeout=timeout_s, paging_state=paging_state, **settings)

    asked = _attempt(lambda: ask(None))
    paging_state = None
    while True:
        attempt = 1
        while True:
            try:
                if isinstance(asked, Exception):
                    raise asked
                result = asked.result()
                break
            except Exception as error:
                if not is_retriable(error) or attempt == _MAX_ATTEMPTS:
                    raise
            time.sleep(backoff_s(attempt, first_s=0.1, longest_s=10.0))
            attempt += 1
            retried()
            asked = _attempt(lambda: ask(paging_state))  # noqa: B023  Called at once.
        rows = list(result.current_rows)
        paging_state = result.paging_state
        if paging_state is None:
            yield rows
            return
        if sizer is not None:
            sizer.saw(rows)
        asked = _attempt(lambda: ask(paging_state))  # noqa: B023  Called at once.
        yield rows


def _attempt(ask: Callable[[], Any]) -> Any:
    """A future, or the error that the driver raised instead of making one."""
    try:
        return ask()
    except Exception as error:
        return error
