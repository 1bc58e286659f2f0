"""What is worth a second attempt, and when; and what an error means to whoever reads of it."""

import random
import re

from cassandra import InvalidRequest, OperationTimedOut, Timeout, Unavailable, WriteFailure
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.protocol import IsBootstrappingErrorMessage, OverloadedErrorMessage

# Named one by one, so that a new kind of error is a decision and not a default. Left out on purpose: WriteFailure and
# ReadFailure (a replica refused this very row and will again), InvalidRequest, Unauthorized, ServerError.
_RETRIABLE = (
    Timeout,  # ReadTimeout, WriteTimeout: a replica was too slow.
    OperationTimedOut,  # The coordinator was too slow.
    Unavailable,
    OverloadedErrorMessage,
    IsBootstrappingErrorMessage,
    NoHostAvailable,
    ConnectionException,
    ConnectionBusy,
)

_TOO_LARGE = re.compile("exceeds allowed maximum|too large|too big", re.IGNORECASE)


def is_retriable(error: BaseException) -> bool:
    """Says whether the same request may succeed later: timeouts, overload, too few replicas, lost connections."""
    return isinstance(error, _RETRIABLE)


def explained(error: BaseException) -> str:
    """The error in one line; where the server says less than it means, what that is and what to do."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, WriteFailure) or (isinstance(error, InvalidRequest) and _TOO_LARGE.search(text)):
        text += (
            " (the row is larger than the server takes, by default half of its commitlog_segment_size: store a smaller "
            "blob, or raise that setting and native_transport_max_frame_size)"
        )
    return text


def backoff_s(attempt: int, *, first_s: float, longest_s: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (1, 2, ...).

    Doubles from `first_s` up to `longest_s`, then takes a random point of the upper half, so that many writers that
    failed together do not come back together.
    """
    ceiling_s = min(longest_s, first_s * 2 ** min(attempt - 1, 32))
    return ceiling_s * random.uniform(0.5, 1.0)
