"""What is worth a second attempt, and when."""

import random

from cassandra import OperationTimedOut, Timeout, Unavailable
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


def is_retriable(error: BaseException) -> bool:
    """Says whether the same request may succeed later: timeouts, overload, too few replicas, lost connections."""
    return isinstance(error, _RETRIABLE)


def backoff_s(attempt: int, *, first_s: float, longest_s: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (1, 2, ...).

    Doubles from `first_s` up to `longest_s`, then takes a random point of the upper half, so that many writers that
    failed together do not come back together.
    """
    ceiling_s = min(longest_s, first_s * 2 ** min(attempt - 1, 32))
    return ceiling_s * random.uniform(0.5, 1.0)
