"""What counters come to, and the sentence that says whether input or model is the bottleneck. No server."""

import copy
import dataclasses

import pytest

from tfcass.metrics import Latency, Summary, summarize

ALIKE = {"10.0.0.1": Latency(1000, 1, 2, 3), "10.0.0.2": Latency(1000, 1, 2, 4), "10.0.0.3": Latency(1000, 1, 2, 3)}


def summary(**changes) -> Summary:
    plain = Summary(
        seconds=10.0,
        rows=200_000,
        bytes=4_000_000_000,
        elements=800,
        latency=Latency(6000, 1.5, 4, 12.25),
        latency_by_host=ALIKE,
        requests={"single": 0, "grouped": 6000, "fallback": 0, "hedged": 0},
        retries=0,
        fallbacks=0,
        hedges_won=0,
        duplicates=0,
        missing=0,
        errors=0,
        wait_share=0.0,
        window_rows=0,
        buffered_bytes=0,
        buffered_bytes_peak=12_000_000,
    )
    return dataclasses.replace(plain, **changes)


MODEL = "the model, or a step before it, is the bottleneck."


@pytest.mark.parametrize(
    ("waited", "percent", "said"),
    [
        (0.0, "0 %", MODEL),
        (0.002, "less than 1 %", MODEL),
        (0.049, "5 %", MODEL),
        (0.051, "5 %", "the two are nearly balanced, and faster input saves 5 % at most."),
        (0.29, "29 %", "the two are nearly balanced, and faster input saves 29 % at most."),
        (0.3, "30 %", "input is the bottleneck, and the consumer could take 1.4 times as many rows."),
        (0.9, "90 %", "input is the bottleneck, and the consumer could take 10 times as many rows."),
        (0.9999, "99 %", "input is the bottleneck, and the consumer could take over 100 times as many rows."),
    ],
)
def test_the_sentence_of_a_reader(waited, percent, said):
    assert summary(wait_share=waited).verdict() == f"The consumer waited {percent} of the time for rows: {said}"


@pytest.mark.parametrize(
    ("model_waited", "reader_waited", "said"),
    [
        (0.03, 0.6, "3 % {}: the model is the bottleneck."),  # A prefetch hides what the reader waits.
        (0.15, 0.4, "15 % {}: the two are nearly balanced, and faster input saves 15 %."),
        (0.5, 0.9, "50 % {}: input is the bottleneck, and the consumer could take 2 times as many rows."),
        (
            0.5,
            0.01,
            "50 % {}, and the reader hardly ever for rows (1 %): the steps between them, such as decoding, are the "
            "bottleneck.",
        ),
    ],
)
def test_the_sentence_where_the_models_wait_was_measured(model_waited, reader_waited, said):
    got = summary(model_wait_share=model_waited, wait_share=reader_waited).verdict()

    assert got == "The model waited " + said.format("of the time for its input")


def test_a_slow_host_is_named_as_the_reason():
    hosts = ALIKE | {"10.0.0.2": Latency(1000, 1, 2, 30)}

    said = summary(wait_share=0.5, latency_by_host=hosts).verdict()

    assert said.endswith("could take 2 times as many rows; p99 of 10.0.0.2 is 10 times the others'.")


@pytest.mark.parametrize(
    "hosts",
    [
        {"10.0.0.2": Latency(1000, 1, 2, 30)},  # No others.
        ALIKE | {"10.0.0.2": Latency(1000, 1, 2, 8)},  # Not that slow.
        ALIKE | {"10.0.0.2": Latency(100, 1, 2, 30)},  # Too few replies for a p99.
    ],
)
def test_no_host_is_named_without_evidence(hosts):
    assert "p99" not in summary(wait_share=0.5, latency_by_host=hosts).verdict()


def test_no_host_is_named_where_the_model_is_the_bottleneck():
    hosts = ALIKE | {"10.0.0.2": Latency(1000, 1, 2, 30)}

    assert "10.0.0.2" not in summary(wait_share=0.01, latency_by_host=hosts).verdict()


def test_retries_are_the_reason_when_there_are_many():
    assert (
        summary(wait_share=0.5, retries=720)
        .verdict()
        .endswith("; 12 % of the requests were sent again after an error.")
    )
    assert "again" not in summary(wait_share=0.5, retries=59).verdict()


@pytest.mark.parametrize("changes", [{"elements": 4}, {"seconds": 0.99}, {"elements": 0, "seconds": 0.0, "rows": 0}])
def test_too_little_is_no_verdict(changes):
    said = summary(wait_share=0.9, **changes).verdict()

    assert said.startswith("Too little was read to tell input from model: ")


def test_the_block_ends_in_the_sentence():
    text = str(summary(retries=3, missing=1200, wait_share=0.02))

    assert text.splitlines() == [
        "rows      200,000 in 10.0 s: 20,000 rows/s, 400.0 MB/s",
        "requests  6,000 grouped; 3 retries, 1,200 missing",
        "latency   p50 1.5 ms, p95 4 ms, p99 12.2 ms",
        "  10.0.0.1  p50 1 ms, p95 2 ms, p99 3 ms",
        "  10.0.0.2  p50 1 ms, p95 2 ms, p99 4 ms",
        "  10.0.0.3  p50 1 ms, p95 2 ms, p99 3 ms",
        "buffer    12.0 MB at most",
        "The consumer waited 2 % of the time for rows: the model, or a step before it, is the bottleneck.",
    ]


def counters() -> dict:
    latency = {"count": 100, "p50": 0, "p90": 0, "p95": 0, "p99": 0, "buckets": [[1000, 50], [2000, 45], [4000, 5]]}
    return {
        "rows": 1000,
        "bytes": 5_000_000,
        "requests": 100,
        "requests_by_kind": {"single": 10, "grouped": 90, "fallback": 0, "hedged": 0},
        "retries": 1,
        "fallbacks": 2,
        "hedges_won": 3,
        "duplicates": 4,
        "missing": 5,
        "errors": 6,
        "elements": 40,
        "consumer_wait_us": 600_000,
        "consumer_next_us": 700_000,
        "consumer_busy_us": 1_300_000,
        "active_us": 9_000_000,
        "fetchers": 1,
        "window_rows": 512,
        "buffered_bytes": 100,
        "buffered_bytes_peak": 1000,
        "latency_us": latency,
        "latency_us_by_host": {"10.0.0.1": latency},
    }


def test_counters_since_the_start():
    got = summarize(counters())

    assert got.seconds == 2.0  # Less the time between iterators.
    assert got.rows_per_s == 500
    assert got.mb_per_s == 2.5
    assert got.wait_share == 0.3
    assert got.latency == Latency(100, 1.0, 2.0, 4.0)
    assert got.requests == {"single": 10, "grouped": 90, "fallback": 0, "hedged": 0}
    assert (got.retries, got.fallbacks, got.hedges_won, got.duplicates, got.missing, got.errors) == (1, 2, 3, 4, 5, 6)


def test_counters_between_two_readings():
    later = copy.deepcopy(counters())
    later["rows"] += 100
    later["requests_by_kind"]["grouped"] += 10
    later["consumer_next_us"] += 1_000_000
    later["consumer_wait_us"] += 1_000_000
    later["active_us"] += 5_000_000
    later["latency_us"]["buckets"] = [[1000, 50], [2000, 45], [4000, 5], [8000, 10]]
    later["latency_us_by_host"] = {"10.0.0.1": counters()["latency_us"], "10.0.0.2": later["latency_us"]}

    got = summarize(later, counters())

    assert (got.rows, got.seconds, got.rows_per_s, got.wait_share) == (100, 1.0, 100, 1.0)
    assert got.requests == {"single": 0, "grouped": 10, "fallback": 0, "hedged": 0}
    assert got.latency == Latency(10, 8.0, 8.0, 8.0)
    assert list(got.latency_by_host) == ["10.0.0.2"]  # The other sent nothing meanwhile.


def test_iterators_side_by_side_share_their_seconds():
    assert summarize(counters() | {"consumer_busy_us": 20_000_000}).seconds == 9.0


def test_nothing_read_is_no_division_by_zero():
    nothing = {name: 0 if isinstance(value, int) else value for name, value in counters().items()}
    nothing["latency_us"] = {"buckets": []}
    nothing["latency_us_by_host"] = {}

    got = summarize(nothing)

    assert (got.rows_per_s, got.mb_per_s, got.wait_share, got.latency.p99_ms) == (0, 0, 0, 0)
    assert "0 elements" in str(got)
