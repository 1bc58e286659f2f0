"""How fetching goes: counters, what they come to for a dataset, and whether the input or the model is the bottleneck.

    ds = tfcass.CassandraDataset(keys, ...)
    model.fit(ds.map(decode).prefetch(2), callbacks=[tfcass.training.InputMetrics(ds)])    # Says it each epoch.
    print(ds.metrics())                                                                    # Or when asked.
    tfcass.metrics()                                                                       # Of the whole process.

Imports neither TensorFlow nor the op library before it is asked.
"""

import dataclasses
import json
import statistics
from collections.abc import Mapping

from tfcass import _ops

# Of the time that the consumer waited for rows: below the first the input is no matter, above the second it is the
# bottleneck. Between them the two are too near each other for a verdict.
MODEL_BOUND = 0.05
INPUT_BOUND = 0.3

_LEAST_SECONDS = 1.0  # Less says more about opening connections than about reading.
_LEAST_ELEMENTS = 5
_SLOW_HOST = 3  # Times the others' p99, for a host to be named as the reason,
_LEAST_REPLIES = 200  # where each host sent so many: a p99 of less is chance.
_MANY_RETRIES = 0.01  # Of all requests, for retries to be named as the reason.

_COUNTERS = (
    "rows",
    "bytes",
    "requests",
    "retries",
    "fallbacks",
    "hedges_won",
    "duplicates",
    "missing",
    "errors",
    "elements",
    "consumer_wait_us",
    "consumer_next_us",
    "consumer_busy_us",
    "active_us",
)


def metrics() -> dict:
    """Counters of this process since its start, over all tables and iterators. A dataset's own: `ds.metrics()`.

    Returns:
      rows, bytes: Received, and the bytes of their cells.
      requests, retries: Sent in all, and sent again after an error.
      requests_by_kind: The same requests as {"single", "grouped", "fallback", "hedged"}.
      fallbacks: Keys asked for alone after a group of theirs failed or could not be sent.
      hedges_won: Hedged requests that answered before the first one.
      duplicates: Keys served by the fetch of the same key elsewhere in the window.
      missing, errors: Keys without a row, and keys given up.
      elements: Delivered by iterators.
      consumer_wait_us: Microseconds that iterators waited for replies. Near 0: the cluster is no bottleneck.
      consumer_next_us, consumer_busy_us: In the reader, waits included; and outside of it, between two elements.
      active_us: From the first element asked for to the last one delivered.
      latency_us: Of requests, {"count", "p50", "p90", "p95", "p99", "buckets": [[upper bound, count], ...]}.
      latency_us_by_host: The same for each address.
      fetchers, window_rows, buffered_bytes: Now: iterators that read, the rows that their windows may hold, and the
        bytes received and not delivered. buffered_bytes_peak: Of the latter, since the start.
      But for these, all are totals: take the difference of two calls to measure a span.
    Raises:
      OpLibraryError: The op library is absent, or was built for another TensorFlow.
    """
    return dataset_counters("")


def dataset_counters(metrics_id: str) -> dict:
    """As metrics(), for the dataset of this metrics id; all 0 where nothing was read in this process."""
    return json.loads(_ops.metrics_json(metrics_id))


@dataclasses.dataclass(frozen=True)
class Latency:
    """Of requests, from sending to the reply, in milliseconds; a bucket's upper bound, 12 % too large at most."""

    replies: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclasses.dataclass(frozen=True)
class Summary:
    """What the counters of a dataset come to. `str(summary)` is a small table that ends in `summary.verdict()`.

    Attributes:
      seconds: In which rows were read: from the first element to the last, less the time between iterators.
      rows, bytes, elements: Delivered or on the way to it.
      rows_per_s, mb_per_s: Over `seconds`.
      latency: Of all requests.
      latency_by_host: The same by the host's address.
      requests: By kind: "single", "grouped", "fallback", "hedged".
      retries, fallbacks, hedges_won, duplicates, missing, errors: As in tfcass.metrics().
      wait_share: Part of the time, in [0, 1], that whoever iterates the dataset waited for rows.
      model_wait_share: Part of the time that the model waited for its batches, where somebody measured that, as
        tfcass.training.InputMetrics does.
      window_rows, buffered_bytes, buffered_bytes_peak: Of the iterators at work now, and at most so far.

    With .prefetch() after the dataset, its thread is who iterates and waits, and the model feels nothing of it while
    there is a batch in the buffer. wait_share keeps its meaning for a whole epoch all the same: where the model is
    slower, the buffer is full, and its thread waits for the model and not for rows; where rows are slower, it waits for
    rows nearly all the time. For the first batches alone it means little. What .map() does after the dataset counts as
    the consumer's own time: decoding that is too slow looks like a slow model here. Only model_wait_share tells them
    apart.
    """

    seconds: float
    rows: int
    bytes: int
    elements: int
    latency: Latency
    latency_by_host: Mapping[str, Latency]
    requests: Mapping[str, int]
    retries: int
    fallbacks: int
    hedges_won: int
    duplicates: int
    missing: int
    errors: int
    wait_share: float
    window_rows: int
    buffered_bytes: int
    buffered_bytes_peak: int
    model_wait_share: float | None = None

    @property
    def rows_per_s(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def mb_per_s(self) -> float:
        return self.bytes / 1e6 / self.seconds if self.seconds else 0.0

    def verdict(self) -> str:
        """One sentence: whether input or model is the bottleneck, and by how much."""
        if self.elements < _LEAST_ELEMENTS or self.seconds < _LEAST_SECONDS:
            return f"Too little was read to tell input from model: {self.elements:,} elements in {self.seconds:.1f} s."
        if self.model_wait_share is None:
            return self._verdict_of_reader()
        waited = f"The model waited {_percent(self.model_wait_share)} of the time for its input"
        if self.model_wait_share < MODEL_BOUND:
            return f"{waited}: the model is the bottleneck."
        if self.wait_share < MODEL_BOUND:
            return (
                f"{waited}, and the reader hardly ever for rows ({_percent(self.wait_share)}): the steps between them, "
                "such as decoding, are the bottleneck."
            )
        if self.model_wait_share < INPUT_BOUND:
            return f"{waited}: the two are nearly balanced, and faster input saves {_percent(self.model_wait_share)}."
        return f"{waited}: input is the bottleneck{self._gain(self.model_wait_share)}{self._reason()}."

    def _verdict_of_reader(self) -> str:
        waited = f"The consumer waited {_percent(self.wait_share)} of the time for rows"
        if self.wait_share < MODEL_BOUND:
            return f"{waited}: the model, or a step before it, is the bottleneck."
        if self.wait_share < INPUT_BOUND:
            return f"{waited}: the two are nearly balanced, and faster input saves {_percent(self.wait_share)} at most."
        return f"{waited}: input is the bottleneck{self._gain(self.wait_share)}{self._reason()}."

    @staticmethod
    def _gain(waited: float) -> str:
        times = 1 / max(1 - waited, 0.01)
        return f", and the consumer could take {'over 100' if times >= 99.5 else f'{times:.2g}'} times as many rows"

    def _reason(self) -> str:
        slow = self._slow_host()
        if slow is not None:
            return f"; p99 of {slow[0]} is {slow[1]:.2g} times the others'"
        requests = sum(self.requests.values())
        if requests and self.retries >= _MANY_RETRIES * requests:
            return f"; {_percent(self.retries / requests)} of the requests were sent again after an error"
        return ""

    def _slow_host(self) -> tuple[str, float] | None:
        """The host that is far slower than the others, and how many times."""
        hosts = self.latency_by_host
        if len(hosts) < 2 or any(latency.replies < _LEAST_REPLIES for latency in hosts.values()):
            return None
        slowest = max(hosts, key=lambda host: hosts[host].p99_ms)
        others = statistics.median(latency.p99_ms for host, latency in hosts.items() if host != slowest)
        times = hosts[slowest].p99_ms / others
        return (slowest, times) if times >= _SLOW_HOST else None

    def __str__(self) -> str:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.requests.items() if count)
        more = ", ".join(
            f"{count:,} {name}"
            for name, count in (
                ("retries", self.retries),
                ("fallbacks", self.fallbacks),
                ("hedges won", self.hedges_won),
                ("duplicate keys", self.duplicates),
                ("missing", self.missing),
                ("errors", self.errors),
            )
            if count
        )
        speed = f"{self.rows_per_s:,.0f} rows/s, {self.mb_per_s:,.1f} MB/s"
        lines = [
            f"rows      {self.rows:,} in {self.seconds:.1f} s: {speed}",
            f"requests  {kinds or 'none'}" + (f"; {more}" if more else ""),
            f"latency   {_milliseconds(self.latency)}",
        ]
        if len(self.latency_by_host) > 1:
            width = max(map(len, self.latency_by_host))
            lines += [
                f"  {host:{width}}  {_milliseconds(latency)}" for host, latency in sorted(self.latency_by_host.items())
            ]
        lines.append(
            f"buffer    {self.buffered_bytes_peak / 1e6:,.1f} MB at most"
            + (f", {self.buffered_bytes / 1e6:,.1f} MB and {self.window_rows:,} rows now" if self.window_rows else "")
        )
        return "\n".join([*lines, self.verdict()])


def summarize(after: Mapping, before: Mapping | None = None, *, model_wait_share: float | None = None) -> Summary:
    """What counters come to, of a dataset or of the process: since its start, or between two readings of them."""
    count = {name: after[name] - (before[name] if before else 0) for name in _COUNTERS}
    reading_us = count["consumer_next_us"] + count["consumer_busy_us"]
    hosts_before = before["latency_us_by_host"] if before else {}
    latency_by_host = {
        host: _latency(of_host, hosts_before.get(host)) for host, of_host in after["latency_us_by_host"].items()
    }
    return Summary(
        # Iterators side by side count twice in the one, the time between iterators counts in the other.
        seconds=min(reading_us, count["active_us"]) / 1e6,
        rows=count["rows"],
        bytes=count["bytes"],
        elements=count["elements"],
        latency=_latency(after["latency_us"], before["latency_us"] if before else None),
        latency_by_host={host: latency for host, latency in latency_by_host.items() if latency.replies},
        requests={
            kind: sent - (before["requests_by_kind"][kind] if before else 0)
            for kind, sent in after["requests_by_kind"].items()
        },
        retries=count["retries"],
        fallbacks=count["fallbacks"],
        hedges_won=count["hedges_won"],
        duplicates=count["duplicates"],
        missing=count["missing"],
        errors=count["errors"],
        wait_share=min(count["consumer_wait_us"] / reading_us, 1.0) if reading_us else 0.0,
        window_rows=after["window_rows"],
        buffered_bytes=after["buffered_bytes"],
        buffered_bytes_peak=after["buffered_bytes_peak"],
        model_wait_share=model_wait_share,
    )


def _latency(after: Mapping, before: Mapping | None) -> Latency:
    counts = {bound: count for bound, count in after["buckets"]}
    for bound, count in before["buckets"] if before else ():
        counts[bound] -= count
    replies = sum(counts.values())

    def percentile_ms(percent: int) -> float:
        seen = 0
        for bound, count in sorted(counts.items()):
            seen += count
            if replies and seen * 100 >= percent * replies:
                return bound / 1e3
        return 0.0

    return Latency(replies, percentile_ms(50), percentile_ms(95), percentile_ms(99))


def _percent(share: float) -> str:
    """'3 %', never '0 %' for something, nor '100 %' for less than all."""
    percent = 100 * share
    if 0 < percent < 0.5:
        return "less than 1 %"
    return f"{min(round(percent), 99) if share < 1 else 100} %"


def _milliseconds(latency: Latency) -> str:
    return f"p50 {latency.p50_ms:,.3g} ms, p95 {latency.p95_ms:,.3g} ms, p99 {latency.p99_ms:,.3g} ms"
