"""WriteToCassandra and ReadFromCassandra against a real server."""

import contextlib
import dataclasses
import typing
import uuid

import apache_beam as beam
import pytest
from apache_beam.testing import test_pipeline  # Not the class by name: pytest would take it for tests.
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.display import DisplayData

import tfcass
from beam_pipelines.cassandraio import ReadFromCassandra, WriteToCassandra

SECRET = "correct horse battery staple"


def pipeline() -> beam.Pipeline:
    return test_pipeline.TestPipeline(runner="FnApiRunner")


def rows_of(count: int) -> list[dict]:
    return [{"id": uuid.UUID(int=i), "label": i % 2, "data": bytes([i % 256]) * 100} for i in range(count)]


@pytest.fixture
def table(cassandra_session, keyspace: str) -> str:
    cassandra_session.execute(f"CREATE TABLE {keyspace}.samples (id uuid PRIMARY KEY, label int, data blob)")
    return f"{keyspace}.samples"


def test_rows_written_are_read_back_once_each(cassandra: tfcass.Cluster, table: str) -> None:
    rows = [*rows_of(500), {"id": uuid.UUID(int=999), "label": None, "data": None}]
    with pipeline() as p:
        p | beam.Create(rows) | WriteToCassandra(table, cluster=cassandra)

    with pipeline() as p:
        found = p | ReadFromCassandra(table, cluster=cassandra, ranges=5, page_rows=7)
        assert_that(found, equal_to(rows))


def test_reading_some_columns_leaves_out_the_others(cassandra: tfcass.Cluster, table: str) -> None:
    with pipeline() as p:
        p | beam.Create(rows_of(3)) | WriteToCassandra(table, cluster=cassandra)

    with pipeline() as p:
        found = p | ReadFromCassandra(table, cluster=cassandra, columns=("label",))
        assert_that(found, equal_to([{"label": 0}, {"label": 1}, {"label": 0}]))


def test_written_carries_the_primary_key(cassandra: tfcass.Cluster, table: str) -> None:
    with pipeline() as p:
        result = p | beam.Create(rows_of(300)) | WriteToCassandra(table, cluster=cassandra, max_in_flight=8)
        assert_that(result.written, equal_to([{"id": uuid.UUID(int=i)} for i in range(300)]))
        assert_that(result.dead, equal_to([]), label="none dead")


def test_written_carries_what_emit_names(cassandra: tfcass.Cluster, table: str) -> None:
    rows = [{**row, "slide": f"s{row['label']}"} for row in rows_of(2)]
    with pipeline() as p:
        result = (
            p
            | beam.Create(rows)
            | WriteToCassandra(table, cluster=cassandra, columns=("id", "label", "data"), emit=("slide",))
        )
        assert_that(result.written, equal_to([{"slide": "s0"}, {"slide": "s1"}]))


def test_rows_that_cannot_be_written_are_dead_letters_and_the_others_are_written(
    cassandra: tfcass.Cluster, cassandra_session, table: str
) -> None:
    bad = {
        "above max_row_bytes": {"id": uuid.UUID(int=1000), "label": 1, "data": b"x" * 2000},
        "invalid type for column": {"id": uuid.UUID(int=1001), "label": "tumor", "data": b""},
        "the row has no data": {"id": uuid.UUID(int=1002), "label": 1},
        "Invalid null value": {"id": None, "label": 1, "data": b""},
    }
    with pipeline() as p:
        result = (
            p
            | beam.Create([*rows_of(10), *bad.values()])
            | WriteToCassandra(table, cluster=cassandra, columns=("id", "label", "data"), max_row_bytes=1000)
        )
        reasons = result.dead | beam.Map(
            lambda letter: (letter.row["id"], letter.stage, [reason for reason in bad if reason in letter.error])
        )
        expected = [(row["id"], f"write {table}", [reason]) for reason, row in bad.items()]
        assert_that(reasons, equal_to(expected))

    assert cassandra_session.execute(f"SELECT COUNT(*) FROM {table}").one()[0] == 10


def test_a_row_that_the_server_calls_too_large_is_a_dead_letter(cassandra: tfcass.Cluster, table: str) -> None:
    # Cassandra takes half a commit log segment at most.
    large = {"id": uuid.UUID(int=1), "label": 0, "data": b"x" * (33 * 1024 * 1024)}
    with pipeline() as p:
        result = (
            p
            | beam.Create([large, *rows_of(1)])
            | WriteToCassandra(table, cluster=cassandra, max_row_bytes=64 * 1024 * 1024)
        )
        found = result.dead | beam.Map(lambda letter: (letter.row["id"].int, "store a smaller blob" in letter.error))
        assert_that(found, equal_to([(1, True)]))
        assert_that(result.written, equal_to([{"id": uuid.UUID(int=0)}]), label="the other")


def test_dead_letters_carry_the_input_unless_told_not_to(cassandra: tfcass.Cluster, table: str) -> None:
    bad = {"id": uuid.UUID(int=1), "label": "tumor", "data": b"", "more": 1}
    with pipeline() as p:
        rows = p | beam.Create([bad])
        for keep, expected in ((True, bad), (False, None)):
            result = rows | f"{keep}" >> WriteToCassandra(table, cluster=cassandra, keep_input=keep)
            inputs = result.dead | f"input {keep}" >> beam.Map(lambda letter: letter.input)
            assert_that(inputs, equal_to([expected]), label=f"kept {keep}")


@pytest.mark.parametrize(("allowed", "fails"), [(1, True), (2, False), (0.1, True), (0.5, False), (None, False)])
def test_too_many_dead_letters_fail_the_pipeline(
    cassandra: tfcass.Cluster, table: str, allowed: float | None, fails: bool
) -> None:
    rows = [*rows_of(8), {"id": None}, {"id": "not a uuid"}]
    expected = pytest.raises(Exception, match="2 .*rows could not be written") if fails else contextlib.nullcontext()
    with expected, pipeline() as p:
        p | beam.Create(rows) | WriteToCassandra(table, cluster=cassandra, max_failed=allowed)


class Sample(typing.NamedTuple):
    id: uuid.UUID
    label: int
    data: bytes


@dataclasses.dataclass
class SampleData:
    id: uuid.UUID
    label: int
    data: bytes


def test_rows_of_every_kind_are_written_alike(cassandra: tfcass.Cluster, cassandra_session, table: str) -> None:
    first, second, third = (tuple(row.values()) for row in rows_of(3))
    rows = [Sample(*first), beam.Row(**dict(zip(Sample._fields, second, strict=True))), SampleData(*third)]
    with pipeline() as p:
        result = p | beam.Create([*rows, 5]) | WriteToCassandra(table, cluster=cassandra)
        reasons = result.dead | beam.Map(lambda letter: (letter.input, "a row is a int" in letter.error))
        assert_that(reasons, equal_to([(5, True)]))

    found = cassandra_session.execute(f"SELECT id, label, data FROM {table}")
    assert sorted(tuple(row) for row in found) == [first, second, third]


def test_small_rows_of_a_partition_share_requests(cassandra: tfcass.Cluster, cassandra_session, keyspace: str) -> None:
    cassandra_session.execute(f"CREATE TABLE {keyspace}.wide (city text, day int, mm float, PRIMARY KEY (city, day))")
    rows = [{"city": f"c{i // 100}", "day": i, "mm": float(i)} for i in range(300)]
    p = pipeline()
    written = p | beam.Create(rows) | WriteToCassandra(f"{keyspace}.wide", cluster=cassandra)
    assert_that(written.written, equal_to([{"city": row["city"], "day": row["day"]} for row in rows]))
    result = p.run()
    result.wait_until_finish()

    counters = {metric.key.metric.name: metric.result for metric in result.metrics().query()["counters"]}
    assert counters["rows_written"] == 300
    assert counters["requests"] <= 30
    found = cassandra_session.execute(f"SELECT city, day, mm FROM {keyspace}.wide")
    assert sorted(tuple(row) for row in found) == [tuple(row.values()) for row in rows]


def test_rows_may_be_given_a_life_time(cassandra: tfcass.Cluster, cassandra_session, table: str) -> None:
    with pipeline() as p:
        p | beam.Create(rows_of(1)) | WriteToCassandra(table, cluster=cassandra, ttl_s=3000)

    assert 0 < cassandra_session.execute(f"SELECT TTL(data) FROM {table}").one()[0] <= 3000


def test_writing_twice_leaves_the_same_rows(cassandra: tfcass.Cluster, cassandra_session, table: str) -> None:
    for _ in range(2):
        with pipeline() as p:
            p | beam.Create(rows_of(20)) | WriteToCassandra(table, cluster=cassandra)

    assert cassandra_session.execute(f"SELECT COUNT(*) FROM {table}").one()[0] == 20


def test_metrics_count_rows_bytes_and_dead_letters(cassandra: tfcass.Cluster, table: str) -> None:
    p = pipeline()
    p | beam.Create([*rows_of(5), {"id": None}]) | WriteToCassandra(table, cluster=cassandra)
    result = p.run()
    result.wait_until_finish()

    found = result.metrics().query()
    counters = {metric.key.metric.name: metric.result for metric in found["counters"]}
    sums = {metric.key.metric.name: metric.result.sum for metric in found["distributions"]}
    assert (counters["rows_written"], counters["dead_letters"], sums["row_bytes"]) == (5, 1, 500)
    assert "write_ms" in sums


@pytest.mark.parametrize("change", [{"columns": ("id", "labell")}, {"table": "sample"}])
def test_a_misspelt_name_fails_and_names_the_one_near_it(cassandra: tfcass.Cluster, table: str, change: dict) -> None:
    wrong = f"{table.split('.')[0]}.{change.pop('table', 'samples')}"
    with pytest.raises(Exception, match="did you mean '(label|samples)'"), pipeline() as p:
        p | beam.Create(rows_of(1)) | WriteToCassandra(wrong, cluster=cassandra, **change)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_in_flight": 0},
        {"consistency": "SOME"},
        {"timeout_s": float("nan")},
        {"max_inflight": 8},
        {"fail_after_s": -1},
        {"ttl_s": 0},
        {"max_batch_rows": 0},
        {"max_failed": 1.5},
        {"max_failed": -1},
        {"columns": "id"},
    ],
)
def test_bad_settings_are_refused_when_the_transform_is_built(settings: dict) -> None:
    cluster = tfcass.Cluster(["127.0.0.1"])
    with pytest.raises(tfcass.OptionError, match=next(iter(settings))):
        WriteToCassandra("ks.t", cluster=cluster, **settings)


def test_display_data_shows_table_and_hosts_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_PW", SECRET)
    cluster = tfcass.Cluster(["10.1.2.3"], auth=tfcass.PasswordAuth("writer", password_env="TEST_PW"))
    for transform in (WriteToCassandra("ks.t", cluster=cluster), ReadFromCassandra("ks.t", cluster=cluster)):
        shown = str(DisplayData.create_from(transform).to_proto())
        assert "ks.t" in shown and "10.1.2.3" in shown
        assert SECRET not in shown and "writer" not in shown
