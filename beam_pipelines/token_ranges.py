"""A table read by ranges of its partition tokens: every row once."""

import time
from collections.abc import Iterator
from typing import Any

from beam_pipelines.retries import backoff_s, is_retriable

# Murmur3Partitioner. No row has the lowest token, so that ranges may leave out their lower end.
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1

_MAX_ATTEMPTS = 10
_TIMEOUT_S = 30.0


def token_ranges(pieces: int) -> list[tuple[int, int]]:
    """Cuts the token ring into `pieces` ranges of about equal width, low end excluded, whose union is all tokens."""
    width = _HIGHEST - _LOWEST
    edges = [_LOWEST + width * i // pieces for i in range(pieces + 1)]
    return list(zip(edges, edges[1:], strict=False))


def read_pages(session: Any, statement: Any) -> Iterator[list[Any]]:
    """Yields the rows of a bound statement, a page of its fetch_size at a time; a page that fails is asked for again.

    Raises:
      Exception: The driver's own error, when a page failed for good or its attempts are used up.
    """
    paging_state = None
    while True:
        result = _page(session, statement, paging_state)
        yield result.current_rows
        paging_state = result.paging_state
        if paging_state is None:
            return


def _page(session: Any, statement: Any, paging_state: bytes | None) -> Any:
    attempt = 1
    while True:
        try:
            return session.execute(statement, timeout=_TIMEOUT_S, paging_state=paging_state)
        except Exception as error:
            if not is_retriable(error) or attempt == _MAX_ATTEMPTS:
                raise
        time.sleep(backoff_s(attempt, first_s=0.1, longest_s=10.0))
        attempt += 1
