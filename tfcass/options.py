"""How rows are fetched: order, missing rows, window, deadlines. Every field is checked when the object is built."""

import dataclasses
import difflib
import numbers
from urllib.parse import quote

from tfcass.errors import OptionError

AUTOTUNE = -1  # "Choose for me": the same value as tf.data.AUTOTUNE.

MISSING = ("error", "skip", "empty")
HEDGES = ("p95", "p99", "p99.9")
CONSISTENCIES = ("LOCAL_ONE", "LOCAL_QUORUM", "ONE", "TWO", "THREE", "QUORUM", "ALL")  # Those a plain read may have.
MAX_ROWS_PER_REQUEST = 64
MAX_IO_THREADS = 64
MAX_TIMEOUT_S = 24 * 3600


@dataclasses.dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """Settings of CassandraDataset and fetch(); the defaults suit most training jobs.

    Attributes:
      deterministic: True delivers rows in the order of the keys. False fills each element with whatever rows are there
        first, so that one slow row does not hold back the others: elements keep their sizes, each row still comes
        exactly once in an epoch and with its own key, and none is mixed into another epoch.
      missing: What happens when a key has no row, or its row a null in an asked column: a silent 0 would be a lie.
        "error" raises tf.errors.NotFoundError naming table, UUID and column. "skip" leaves the row out: a scalar
        element is skipped, a batch gets shorter. "empty" keeps its place, with "" or 0 in what is absent, and adds a
        bool column `found` that is False there.
      max_in_flight: Rows on the way or waiting to be consumed, per iterator: at least 1, or AUTOTUNE. More hides a
        longer round trip and holds more memory. An element of more rows than that is fetched alone.
      rows_per_request: Rows asked in one request, at most: in [1, 64], or AUTOTUNE, which aims at replies of some
        hundred kB. Rows of one node travel together, which costs both ends less than half. 1 asks for each row alone.
      max_buffered_bytes: Bytes of those rows, by the mean size seen: reading ahead pauses above it.
      timeout_s: Deadline of one row in seconds, retries included.
      max_retries: Attempts after the first for errors that may pass (timeout, overload, a lost connection), at least 0.
        Attempts that meet no living node do not count, unless it is 0: nodes have until timeout_s to come back.
      consistency: Replicas that must answer, as in CQL. Rows are immutable, so LOCAL_ONE reads what was written once
        the write is complete; higher levels cost speed.
      hedge_after: "p95", "p99" or "p99.9" asks a second replica for what a first one has not answered once it took
        longer than that part of its own replies; the later answer is dropped. Cuts the delays of replicas that are slow
        at times, for at most a twentieth more requests; needs a replication factor above 1. None never does.
      io_threads: Threads of the driver that talk to the cluster, in [1, 64], per process and cluster.
    Raises:
      OptionError: A field is outside what is accepted; the message names it, its value and the choices.
    """

    deterministic: bool = True
    missing: str = "error"
    max_in_flight: int = AUTOTUNE
    rows_per_request: int = AUTOTUNE
    max_buffered_bytes: int = 256 * 1024 * 1024
    timeout_s: float = 10.0
    max_retries: int = 5
    consistency: str = "LOCAL_ONE"
    hedge_after: str | None = None
    io_threads: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.deterministic, bool):
            raise _refused("deterministic", self.deterministic, "True or False")
        _check_choice("missing", self.missing, MISSING)
        if self.max_in_flight != AUTOTUNE:
            _check_int("max_in_flight", self.max_in_flight, 1, None, "an integer of at least 1, or tfcass.AUTOTUNE")
        if not _is_int(self.rows_per_request) or self.rows_per_request != AUTOTUNE:
            accepted = f"an integer in [1, {MAX_ROWS_PER_REQUEST}], or tfcass.AUTOTUNE"
            _check_int("rows_per_request", self.rows_per_request, 1, MAX_ROWS_PER_REQUEST, accepted)
        _check_int("max_buffered_bytes", self.max_buffered_bytes, 1, None, "an integer of at least 1, in bytes")
        if isinstance(self.timeout_s, bool) or not isinstance(self.timeout_s, (int, float)):
            raise _refused("timeout_s", self.timeout_s, "a positive number of seconds")
        if not 0 < self.timeout_s <= MAX_TIMEOUT_S:  # NaN fails the comparison.
            raise _refused("timeout_s", self.timeout_s, f"a positive number of seconds, at most {MAX_TIMEOUT_S}")
        _check_int("max_retries", self.max_retries, 0, None, "an integer of at least 0")
        _check_choice("consistency", self.consistency, CONSISTENCIES)
        if self.hedge_after is not None:
            _check_choice("hedge_after", self.hedge_after, HEDGES)
        _check_int("io_threads", self.io_threads, 1, MAX_IO_THREADS, f"an integer in [1, {MAX_IO_THREADS}]")

    def _canonical(self) -> str:
        """The text that the op parses: one `name=value` line a field, sorted by name, values percent-encoded."""
        fields = sorted(dataclasses.asdict(self).items())
        return "".join(f"{name}={quote(_text(value), safe='')}\n" for name, value in fields)


def _text(value: bool | int | float | str | None) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _is_int(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)  # numpy's too.


def _check_int(name: str, value: object, low: int, high: int | None, accepted: str) -> None:
    if not _is_int(value) or value < low or (high is not None and value > high):
        raise _refused(name, value, accepted)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value in choices:
        return
    accepted = "one of " + ", ".join(repr(choice) for choice in choices)
    near = difflib.get_close_matches(str(value), choices, n=1) or difflib.get_close_matches(str(value).upper(), choices)
    raise _refused(name, value, accepted + (f"; did you mean {near[0]!r}?" if near else ""))


def _refused(name: str, value: object, accepted: str) -> OptionError:
    return OptionError(f"FetchOptions({name}={value!r}): {name} must be {accepted}")
