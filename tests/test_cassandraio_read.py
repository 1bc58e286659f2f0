"""ReadFromCassandra: every row once, however the ring is cut and while it is cut; typed rows; where; a node down."""

import threading
import typing
import uuid
from collections.abc import Iterator

import apache_beam as beam
import pytest
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, fn_runner
from apache_beam.runners.sdf_utils import ThreadsafeRestrictionTracker
from apache_beam.testing import test_pipeline  # Not the class by name: pytest would take it for tests.
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.environments import EmbeddedPythonGrpcEnvironment
from hypothesis import given
from hypothesis import strategies as st

import tfcass
from beam_pipelines.cassandraio import ReadFromCassandra, WriteToCassandra
from beam_pipelines.read_fn import TokenRangeProvider
from beam_pipelines.token_ranges import HIGHEST, LOWEST, token_ranges
from tests.support.servers import ThreeNodes

TOKENS = st.integers(LOWEST, HIGHEST) | st.sampled_from([LOWEST, LOWEST + 1, -1, 0, 1, HIGHEST - 1, HIGHEST])


def pipeline() -> beam.Pipeline:
    return test_pipeline.TestPipeline(runner="FnApiRunner")


class TestTokens:
    @given(st.integers(1, 500))
    def test_ranges_follow_each_other_from_one_side_of_the_seam_to_the_other(self, pieces: int) -> None:
        ranges = token_ranges(pieces)

        assert len(ranges) == pieces
        assert (ranges[0].start, ranges[-1].stop) == (LOWEST, HIGHEST + 1)
        assert all(part.start < part.stop for part in ranges)
        assert [part.stop for part in ranges[:-1]] == [part.start for part in ranges[1:]]
        sizes = [part.size() for part in ranges]
        assert max(sizes) - min(sizes) <= 1

    @given(
        pieces=st.integers(1, 9),
        tokens=st.sets(TOKENS, max_size=40),
        cuts=st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1))),
    )
    def test_every_token_is_claimed_once_however_ranges_are_cut_while_they_are_read(
        self, pieces: int, tokens: set[int], cuts: list[tuple[int, float]]
    ) -> None:
        waiting, claimed = token_ranges(pieces), []
        while waiting:
            restriction = waiting.pop()
            tracker = ThreadsafeRestrictionTracker(TokenRangeProvider().create_tracker(restriction))
            # What the server returns: the rows of the range as it was when asked for.
            rows = sorted(token for token in tokens if restriction.start <= token <= restriction.stop - 1)
            for position, token in enumerate([*rows, restriction.stop]):
                while cuts and cuts[-1][0] == position:
                    if parts := tracker.try_split(cuts.pop()[1]):
                        # Beam's own wrapping of the two parts: (primary, residual), and when to go on with the latter.
                        waiting.append(parts[1])
                if not tracker.try_claim(token):
                    break
                claimed.append(token)
            tracker.check_done()
            if cuts:
                cuts.pop()

        assert sorted(claimed) == sorted(tokens)

    def test_the_size_of_a_restriction_is_its_share_of_the_ring(self) -> None:
        provider = TokenRangeProvider()
        sizes = [provider.restriction_size(part, part) for part in token_ranges(4)]

        assert sum(sizes) == pytest.approx(2.0**64)
        assert provider.initial_restriction(OffsetRange(1, 5)) == OffsetRange(1, 5)


@pytest.fixture
def rain(cassandra: tfcass.Cluster, cassandra_session, keyspace: str) -> str:
    """A table of 400 rows in 80 partitions."""
    table = f"{keyspace}.rain"
    cassandra_session.execute(f"CREATE TABLE {table} (city text, day int, mm double, PRIMARY KEY (city, day))")
    insert = cassandra_session.prepare(f"INSERT INTO {table} (city, day, mm) VALUES (?, ?, ?)")
    from cassandra.concurrent import execute_concurrent_with_args

    execute_concurrent_with_args(cassandra_session, insert, [tuple(row.values()) for row in rain_rows()])
    return table


def rain_rows() -> list[dict]:
    return [
        {"city": f"city{city}", "day": day, "mm": None if day == 3 else city + day / 8}
        for city in range(80)
        for day in range(5)
    ]


@pytest.mark.parametrize(("ranges", "page_rows"), [(1, 7), (3, 1000), (97, 2)])
def test_every_row_comes_once_for_any_number_of_ranges(
    cassandra: tfcass.Cluster, rain: str, ranges: int, page_rows: int
) -> None:
    with pipeline() as p:
        found = p | ReadFromCassandra(rain, cluster=cassandra, ranges=ranges, page_rows=page_rows)
        assert_that(found, equal_to(rain_rows()))


class Gate:
    """Holds the reader back after so many rows, until the runner has cut its range."""

    seen = 0
    at: int
    reached: threading.Event
    go_on: threading.Event

    @classmethod
    def arm(cls, at: int) -> None:
        cls.seen, cls.at, cls.reached, cls.go_on = 0, at, threading.Event(), threading.Event()

    @classmethod
    def passed(cls, row: dict) -> dict:
        cls.seen += 1
        if cls.seen == cls.at:
            cls.reached.set()
            assert cls.go_on.wait(100)
        return row


def pass_gate(row: dict) -> dict:
    return Gate.passed(row)


def test_every_row_comes_once_when_the_runner_cuts_a_range_while_it_is_read(
    cassandra: tfcass.Cluster, rain: str
) -> None:
    Gate.arm(at=3)
    cuts = []

    def cut(_: int) -> Iterator[float | None]:
        if cuts:
            return
        yield  # Lets the work begin.
        assert Gate.reached.wait(100)
        for fraction in (0.5, 0.5, 0.25):
            cuts.append((yield fraction))
        Gate.go_on.set()

    with fn_runner.split_manager("ReadFromCassandra/Read", cut):
        # Over gRPC, so that the runner can ask for a cut while the bundle is processed.
        p = beam.Pipeline(runner=FnApiRunner(default_environment=EmbeddedPythonGrpcEnvironment.default()))
        found = (
            p
            | ReadFromCassandra(rain, cluster=cassandra, ranges=1, page_rows=11, columns=("city", "day"))
            | beam.Map(pass_gate)
        )
        assert_that(found, equal_to([{"city": row["city"], "day": row["day"]} for row in rain_rows()]))
        result = p.run()
        result.wait_until_finish()

    assert len(cuts) == 3 and all(split.residual_roots for split in cuts)
    pieces = next(m.result.count for m in result.metrics().query()["distributions"] if m.key.metric.name == "read_ms")
    assert pieces == 4


class Rain(typing.NamedTuple):
    city: str
    day: int
    mm: float | None


def test_typed_rows_have_a_schema_that_beam_groups_by(cassandra: tfcass.Cluster, rain: str) -> None:
    with pipeline() as p:
        rows = p | "Named" >> ReadFromCassandra(rain, cluster=cassandra, rows=Rain, where={"day": 2})
        assert rows.element_type is Rain
        assert_that(rows, equal_to([Rain(**row) for row in rain_rows() if row["day"] == 2]))

        live = p | "Live" >> ReadFromCassandra(rain, cluster=cassandra, rows=beam.Row, columns=("city", "mm"))
        most = (
            live | beam.Filter(lambda row: row.mm is not None) | beam.GroupBy("city").aggregate_field("mm", max, "most")
        )
        assert_that(most | beam.Map(tuple), equal_to([(f"city{i}", i + 0.5) for i in range(80)]), label="most")


def test_uuids_and_blobs_are_typed_too(cassandra: tfcass.Cluster, cassandra_session, keyspace: str) -> None:
    cassandra_session.execute(f"CREATE TABLE {keyspace}.samples (id uuid PRIMARY KEY, label int, data blob)")
    row = {"id": uuid.UUID(int=7), "label": None, "data": b"\0\xff"}
    with pipeline() as p:
        p | beam.Create([row]) | WriteToCassandra(f"{keyspace}.samples", cluster=cassandra)

    with pipeline() as p:
        rows = p | ReadFromCassandra(f"{keyspace}.samples", cluster=cassandra, rows=beam.Row)
        # Through a shuffle, which encodes rows by their schema.
        assert_that(rows | beam.Reshuffle() | beam.Map(lambda row: row._asdict()), equal_to([row]))


def test_the_server_compares_where(cassandra: tfcass.Cluster, rain: str) -> None:
    p = pipeline()
    found = p | ReadFromCassandra(rain, cluster=cassandra, where=("day >= ? AND day < ?", [1, 3]), columns=("day",))
    assert_that(found | beam.Map(lambda row: row["day"]), equal_to([1] * 80 + [2] * 80))
    result = p.run()
    result.wait_until_finish()

    assert sum(m.result for m in result.metrics().query()["counters"] if m.key.metric.name == "rows_read") == 160


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"city": "city1"}, "city is of the partition key"),
        ({"day": [1, 2]}, "day has several values"),
        ({"dya": 1}, "did you mean 'day'"),
        (("day > ", []), "where="),
        (("day > ?", []), "a value, and not None, for each question mark"),
        (("day > ?", ["one"]), "where="),
    ],
)
def test_a_where_that_will_not_do_is_refused(cassandra: tfcass.Cluster, rain: str, where, message: str) -> None:
    with pytest.raises(Exception, match=message), pipeline() as p:
        p | ReadFromCassandra(rain, cluster=cassandra, where=where, ranges=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"ranges": 0},
        {"page_rows": True},
        {"where": "day = 1"},
        {"where": {}},
        {"rows": list},
        {"consistency": "EACH_QUORUM"},
        {"columns": "city"},
        {"columns": ("city", "mm"), "rows": Rain},
        {"timeout_s": 0},
    ],
)
def test_bad_settings_are_refused_when_the_transform_is_built(settings: dict) -> None:
    with pytest.raises(tfcass.OptionError, match=next(iter(settings))):
        ReadFromCassandra("ks.t", cluster=tfcass.Cluster(["127.0.0.1"]), **settings)


def test_every_row_comes_once_while_a_node_is_down(three_nodes: ThreeNodes) -> None:
    rows = [{"id": i, "data": bytes(50)} for i in range(500)]
    keyspace = f"test_{uuid.uuid4().hex[:12]}"
    with three_nodes.cluster.session() as session:
        session.execute(
            f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 3}}"
        )
        session.execute(f"CREATE TABLE {keyspace}.t (id int PRIMARY KEY, data blob)")
    three_nodes.kill(2)

    with pipeline() as p:
        result = p | beam.Create(rows) | WriteToCassandra(f"{keyspace}.t", cluster=three_nodes.cluster)
        assert_that(result.dead, equal_to([]))
    with pipeline() as p:
        found = p | ReadFromCassandra(f"{keyspace}.t", cluster=three_nodes.cluster, ranges=9, page_rows=20)
        assert_that(found, equal_to(rows))

    three_nodes.make_whole()
    with three_nodes.cluster.session() as session:
        session.execute(f"DROP KEYSPACE {keyspace}")
