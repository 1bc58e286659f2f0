"""tfcass.scan: every row of a real table exactly once, whatever its key, whoever reads, whatever breaks."""

import collections
import datetime
import os
import subprocess
import sys
import textwrap
import threading
import time
import uuid

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.data.kernel_tests import checkpoint_test_base
from tensorflow.python.eager import context

import tfcass
from tests.support import fetch_rows
from tests.support.proxy import proxy_of
from tests.support.silent_server import asked, silent_server
from tfcass import _scan
from tfcass.schema import describe_table

ROWS = 3_000
AT_ONCE_S = 3.0  # Enough for a busy machine.


@pytest.fixture(scope="module")
def ks(cassandra, cassandra_session):
    with fetch_rows.keyspace(cassandra_session) as name:
        yield name


@pytest.fixture(scope="module")
def table(cassandra_session, ks):
    """ROWS rows with x = 0, 1, ...: partitions of two columns and up to some hundred rows; each seventh has no note."""
    name = f"{ks}.samples"
    cassandra_session.execute(
        f"CREATE TABLE {name} (site text, slide int, x int, note text, data blob, PRIMARY KEY ((site, slide), x))"
    )
    rows = [
        (f"site{int(x**0.5) % 9}", int(x**0.5) % 5, x, f"note {x}" if x % 7 else None, bytes([x % 256]) * (x % 50))
        for x in range(ROWS)
    ]
    insert = f"INSERT INTO {name} (site, slide, x, note, data) VALUES (?, ?, ?, ?, ?)"
    fetch_rows.write(cassandra_session, insert, rows)
    return name


def _xs(dataset) -> list[int]:
    return [int(x) for element in dataset for x in np.ravel(element["x"].numpy())]


def _options(**settings):
    return tfcass.FetchOptions(**{"deterministic": False, **settings})


# Few rows a page, few pages ahead, and everything in between.
_BOUNDS = [{}, {"max_in_flight": 1}, {"max_in_flight": 50}, {"rows_per_request": 1}, {"max_buffered_bytes": 1}]


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("bounds", _BOUNDS, ids=str)
def test_every_row_comes_once_whatever_the_bounds(cassandra, table, bounds, deterministic):
    options = tfcass.FetchOptions(deterministic=deterministic, **bounds)

    dataset = tfcass.scan(table, cluster=cassandra, columns=["x"], batch_size=64, options=options)

    assert sorted(_xs(dataset)) == list(range(ROWS))


def test_rows_of_a_page_each_come_in_the_order_of_their_tokens(cassandra, cassandra_session, table):
    by_token = [x for _, x in cassandra_session.execute(f"SELECT token(site, slide), x FROM {table}")]
    options = tfcass.FetchOptions(max_in_flight=100)

    batches = tfcass.scan(table, cluster=cassandra, columns=["x"], batch_size=7, options=options)
    scalars = tfcass.scan(table, cluster=cassandra, columns=["x"], options=tfcass.FetchOptions())

    assert _xs(batches) == by_token
    assert _xs(scalars) == by_token


def test_an_element_is_a_dict_of_the_asked_columns(cassandra, table):
    dataset = tfcass.scan(table, cluster=cassandra, columns=["x", "site", "data"])
    batches = tfcass.scan(table, cluster=cassandra, columns=["x", "site", "data"], batch_size=500)

    assert dataset.element_spec == {
        "data": tf.TensorSpec([], tf.string),
        "site": tf.TensorSpec([], tf.string),
        "x": tf.TensorSpec([], tf.int32),
    }
    assert batches.element_spec["x"] == tf.TensorSpec([None], tf.int32)
    assert dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY
    assert [len(batch["x"]) for batch in batches] == [500] * (ROWS // 500)
    for row in dataset.take(100).as_numpy_iterator():
        assert row["site"] == f"site{int(row['x'] ** 0.5) % 9}".encode()
        assert row["data"] == bytes([row["x"] % 256]) * (row["x"] % 50)


def test_all_columns_without_names(cassandra, table):
    dataset = tfcass.scan(table, cluster=cassandra, options=_options(missing="empty"), batch_size=ROWS)

    (batch,) = dataset.as_numpy_iterator()

    assert sorted(batch) == ["data", "found", "note", "site", "slide", "x"]


class TestNulls:
    def test_a_null_is_an_error_that_names_column_and_row(self, cassandra, table):
        with pytest.raises(
            tf.errors.NotFoundError, match=rf"column note of a row in {table} is null \(.*x=\d+\); .*skip"
        ):
            list(tfcass.scan(table, cluster=cassandra, columns=["x", "note"], batch_size=10))

    def test_an_error_takes_its_element_only(self, cassandra, table):
        iterator = iter(tfcass.scan(table, cluster=cassandra, columns=["x", "note"]))
        xs, errors = [], 0
        while True:
            try:
                xs.append(int(next(iterator)["x"]))
            except tf.errors.NotFoundError:
                errors += 1
            except StopIteration:
                break

        assert sorted(xs) == [x for x in range(ROWS) if x % 7]
        assert errors == len(range(0, ROWS, 7))

    @pytest.mark.parametrize("batch_size", [None, 10])
    def test_rows_with_nulls_are_skipped(self, cassandra, table, batch_size):
        options = _options(missing="skip")

        dataset = tfcass.scan(table, cluster=cassandra, columns=["x", "note"], batch_size=batch_size, options=options)

        assert sorted(_xs(dataset)) == [x for x in range(ROWS) if x % 7]

    def test_or_empty_and_marked(self, cassandra, table):
        options = _options(missing="empty")

        rows = list(tfcass.scan(table, cluster=cassandra, columns=["x", "note"], options=options).as_numpy_iterator())

        assert {int(row["x"]): (row["note"], bool(row["found"])) for row in rows} == {
            x: (f"note {x}".encode(), True) if x % 7 else (b"", False) for x in range(ROWS)
        }


_WHERE = [
    ({"x": 5}, lambda x: x == 5),
    ({"note": "note 8"}, lambda x: x == 8),
    ({"x": [1, 2, 7], "note": ["note 2", "note 7", "note 8"]}, lambda x: x == 2),
    ({"site": "site1"}, lambda x: int(x**0.5) % 9 == 1),
    ({"site": ["site1", "site2"], "slide": [0, 1]}, lambda x: int(x**0.5) % 9 in (1, 2) and int(x**0.5) % 5 in (0, 1)),
    ({"site": "site1", "slide": 1, "x": range(1_500)}, lambda x: int(x**0.5) % 45 in (1, 46 % 45) and x < 1_500),
    ({"x": []}, lambda x: False),
    (("x >= ? AND x < ?", [100, 200]), lambda x: 100 <= x < 200),
]


@pytest.mark.parametrize(("where", "expected"), _WHERE, ids=[str(where) for where, _ in _WHERE])
def test_where_keeps_the_rows_that_meet_it(cassandra, table, where, expected):
    dataset = tfcass.scan(table, cluster=cassandra, columns=["x"], where=where, batch_size=100)

    assert sorted(_xs(dataset)) == [x for x in range(ROWS) if expected(x)]
    assert sorted(tfcass.read_rows(table, cluster=cassandra, columns=["x"], where=where)["x"].to_pylist()) == sorted(
        _xs(dataset)
    )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"columns": ["y"]}, tfcass.SchemaError, "has no column 'y'"),
        ({"batch_size": 0}, tfcass.OptionError, "batch_size=0 must be an integer of at least 1"),
        ({"options": "fast"}, tfcass.OptionError, "options='fast' must be a tfcass.FetchOptions"),
        ({"cluster": "127.0.0.1"}, tfcass.OptionError, "cluster='127.0.0.1' must be a tfcass.Cluster"),
        ({"where": {"x": "many"}}, tfcass.SchemaError, "the value does not fit the column, which is int"),
        ({"where": "x = 1"}, tfcass.OptionError, "must map columns to values"),
    ],
)
def test_a_bad_argument_is_named(cassandra, table, settings, error, message):
    with pytest.raises(error, match=message):
        tfcass.scan(table, **{"cluster": cassandra, **settings})


def test_an_unknown_table_is_named(cassandra, ks):
    with pytest.raises(tfcass.SchemaError, match="has no table 'sampels' .*"):
        tfcass.scan(f"{ks}.sampels", cluster=cassandra)


def test_an_empty_table_has_no_elements(cassandra, cassandra_session, ks):
    cassandra_session.execute(f"CREATE TABLE {ks}.nothing (id uuid PRIMARY KEY, v text)")

    assert list(tfcass.scan(f"{ks}.nothing", cluster=cassandra)) == []
    assert list(tfcass.scan(f"{ks}.nothing", cluster=cassandra, options=tfcass.FetchOptions(), batch_size=3)) == []


def test_tokens_at_both_ends_of_the_ring_and_beside_the_borders_are_read(cassandra, cassandra_session, ks):
    # Single-column keys whose Murmur3 tokens are the lowest and highest of many.
    cassandra_session.execute(f"CREATE TABLE {ks}.ends (id bigint PRIMARY KEY)")
    fetch_rows.write(cassandra_session, f"INSERT INTO {ks}.ends (id) VALUES (?)", [(i,) for i in range(20_000)])
    rows = sorted(cassandra_session.execute(f"SELECT token(id), id FROM {ks}.ends"))
    assert rows[0][0] < -(2**63) * 0.999 and rows[-1][0] > 2**63 * 0.999

    found = [int(i) for batch in tfcass.scan(f"{ks}.ends", cluster=cassandra, batch_size=999) for i in batch["id"]]

    assert sorted(found) == list(range(20_000))


def test_a_partition_of_many_pages(cassandra, cassandra_session, ks):
    cassandra_session.execute(f"CREATE TABLE {ks}.wide (id int, x int, data blob, PRIMARY KEY (id, x))")
    rows = [(i % 2, i, bytes(200)) for i in range(20_000)]
    fetch_rows.write(cassandra_session, f"INSERT INTO {ks}.wide (id, x, data) VALUES (?, ?, ?)", rows)
    for where in (None, {"id": [0, 1]}):
        settings = {"columns": ["x", "data"], "where": where, "batch_size": 100}
        before = tfcass.metrics()["requests"]

        assert sorted(_xs(tfcass.scan(f"{ks}.wide", cluster=cassandra, **settings))) == list(range(20_000))

        assert tfcass.metrics()["requests"] - before > 8


@pytest.mark.slow
def test_rows_of_16_megabytes(cassandra, cassandra_session, ks):
    cassandra_session.execute(f"CREATE TABLE {ks}.large (id int PRIMARY KEY, data blob)")
    insert = cassandra_session.prepare(f"INSERT INTO {ks}.large (id, data) VALUES (?, ?)")
    size = 15 << 20  # With its envelope, all that a server takes in one mutation by default.
    for i in range(6):
        cassandra_session.execute(insert, (i, bytes([i]) * size), timeout=60)
    options = _options(max_buffered_bytes=32 << 20, timeout_s=60)

    found = {}
    for row in tfcass.scan(f"{ks}.large", cluster=cassandra, options=options).as_numpy_iterator():
        found[int(row["id"])] = collections.Counter(np.frombuffer(row["data"], np.uint8)[:: 1 << 16].tolist())

    assert found == {i: {i: size >> 16} for i in range(6)}


def test_all_types_keep_their_extreme_values(cassandra, cassandra_session, ks):
    cassandra_session.execute(
        f"CREATE TABLE {ks}.types (id timeuuid PRIMARY KEY, a ascii, b bigint, c blob, d boolean, e double, f float, "
        "g smallint, h tinyint, i uuid, j timestamp, k date, l inet, m varchar, n inet)"
    )
    written = {
        "id": uuid.UUID("50554d6e-29bb-11e5-b345-feff819cdc9f"),
        "a": "",
        "b": -(2**63),
        "c": b"\x00\xff\x00",
        "d": True,
        "e": -0.1,
        "f": 0.5,
        "g": -(2**15),
        "h": -(2**7),
        "i": uuid.UUID(int=2**128 - 1),
        "j": datetime.datetime(1969, 12, 31, 23, 59, 59, 999_000),
        "k": datetime.date(1066, 10, 14),
        "l": "10.0.0.1",
        "m": "Ωμ",
        "n": "fe80::1",
    }
    marks = ", ".join("?" * len(written))
    insert = cassandra_session.prepare(f"INSERT INTO {ks}.types ({', '.join(written)}) VALUES ({marks})")
    cassandra_session.execute(insert, list(written.values()))

    (row,) = tfcass.scan(f"{ks}.types", cluster=cassandra).as_numpy_iterator()

    assert {name: value.tobytes() if name in ("id", "i") else value for name, value in row.items()} == {
        **written,
        "id": written["id"].bytes,
        "i": written["i"].bytes,
        "a": b"",
        "f": np.float32(0.5),
        "j": -1,
        "k": (datetime.date(1066, 10, 14) - datetime.date(1970, 1, 1)).days,
        "l": b"10.0.0.1",
        "m": "Ωμ".encode(),
        "n": b"fe80::1",
    }
    for column, value in written.items():
        assert len(list(tfcass.scan(f"{ks}.types", cluster=cassandra, where={column: [value, value]}))) == 1, column


def test_counters_are_read(cassandra, cassandra_session, ks):
    cassandra_session.execute(f"CREATE TABLE {ks}.counts (id int PRIMARY KEY, n counter)")
    cassandra_session.execute(f"UPDATE {ks}.counts SET n = n - 3 WHERE id = 1")

    (row,) = tfcass.scan(f"{ks}.counts", cluster=cassandra).as_numpy_iterator()

    assert row == {"id": 1, "n": -3}


def test_a_column_without_a_dtype_is_named(cassandra, cassandra_session, ks):
    cassandra_session.execute(f"CREATE TABLE {ks}.with_list (id uuid PRIMARY KEY, v int, bag list<int>)")

    with pytest.raises(tfcass.SchemaError, match="column bag of .* is list<int>, which has no TensorFlow dtype"):
        tfcass.scan(f"{ks}.with_list", cluster=cassandra)
    assert list(tfcass.scan(f"{ks}.with_list", cluster=cassandra, columns=["v"])) == []


def test_a_table_that_is_dropped_meanwhile_is_one_clear_error(cassandra, cassandra_session, ks):
    cassandra_session.execute(f"CREATE TABLE {ks}.gone (id uuid PRIMARY KEY, v int)")
    dataset = tfcass.scan(f"{ks}.gone", cluster=cassandra)
    cassandra_session.execute(f"DROP TABLE {ks}.gone")

    with pytest.raises(
        tf.errors.FailedPreconditionError, match=rf"cannot read a page of {ks}.gone: .*gone.*; check that"
    ):
        list(dataset)


def test_several_iterators_over_one_dataset_and_a_pipeline_around_it(cassandra, table):
    dataset = tfcass.scan(table, cluster=cassandra, columns=["x"], batch_size=100)

    first, second = iter(dataset), iter(dataset)
    assert sorted(_xs(first)) == sorted(_xs(second)) == list(range(ROWS))
    twice = dataset.unbatch().repeat(2).shuffle(500).batch(64).prefetch(2)
    assert collections.Counter(_xs(twice)) == {x: 2 for x in range(ROWS)}


# --- checkpoints


def _symbolic(dataset, symbolic):
    options = tf.data.Options()
    options.experimental_symbolic_checkpoint = symbolic
    return dataset.with_options(options)


def _restored(dataset, path):
    iterator = iter(dataset)
    tf.train.Checkpoint(iterator=iterator).restore(path)
    return iterator


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
@pytest.mark.parametrize("deterministic", [False, True], ids=["as they come", "in order"])
@pytest.mark.parametrize("batch_size", [None, 70])
@pytest.mark.parametrize("rows", [0, 70, 1_400, "all"])
def test_a_restored_iterator_gives_the_rows_that_are_left(
    cassandra, table, tmp_path, symbolic, deterministic, batch_size, rows
):
    options = tfcass.FetchOptions(deterministic=deterministic, max_in_flight=300)
    where = {"slide": [0, 1, 2, 3, 4]}  # Compared in the engine: places in a page are not those in its reply.
    dataset = tfcass.scan(table, cluster=cassandra, columns=["x"], where=where, batch_size=batch_size, options=options)
    dataset = _symbolic(dataset, symbolic)
    iterator = iter(dataset)
    before = _xs(next(iterator) for _ in range((ROWS if rows == "all" else rows) // (batch_size or 1)))
    path = tf.train.Checkpoint(iterator=iterator).save(os.path.join(tmp_path, "checkpoint"))
    after = _xs(iterator)

    restored = _xs(_restored(dataset, path))

    assert sorted(before + after) == list(range(ROWS))
    assert restored == after if deterministic else sorted(restored) == sorted(after)


def test_a_chain_of_checkpoints_loses_and_repeats_nothing(cassandra, table, tmp_path):
    dataset = tfcass.scan(table, cluster=cassandra, columns=["x"], batch_size=37, options=_options(max_in_flight=200))
    found, path = [], None
    for link in range(12):
        iterator = iter(dataset) if path is None else _restored(dataset, path)
        found += _xs(next(iterator) for _ in range(link))
        path = tf.train.Checkpoint(iterator=iterator).save(os.path.join(tmp_path, f"{link}"))

    assert sorted(found + _xs(_restored(dataset, path))) == list(range(ROWS))


def test_a_checkpoint_holds_no_rows(cassandra, cassandra_session, ks, tmp_path):
    cassandra_session.execute(f"CREATE TABLE {ks}.blobs (id int PRIMARY KEY, data blob)")
    insert = f"INSERT INTO {ks}.blobs (id, data) VALUES (?, ?)"
    fetch_rows.write(cassandra_session, insert, [(i, bytes(50_000)) for i in range(40)])
    iterator = iter(tfcass.scan(f"{ks}.blobs", cluster=cassandra))
    next(iterator)

    tf.train.Checkpoint(iterator=iterator).save(os.path.join(tmp_path, "checkpoint"))

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 50_000


def test_a_checkpoint_of_another_scan_is_refused(cassandra, table, tmp_path):
    # Symbolic: other checkpoints bring their own dataset along.
    scan = tfcass.scan(table, cluster=cassandra, columns=["x"], where={"x": list(range(100))})
    iterator = iter(_symbolic(scan, True))
    next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(os.path.join(tmp_path, "checkpoint"))

    other = tfcass.scan(table, cluster=cassandra, columns=["x"], where={"x": list(range(99))})

    with pytest.raises(tf.errors.InvalidArgumentError, match="the checkpoint is of another scan: SELECT .*x"):
        next(_restored(_symbolic(other, True), path))


class _TensorFlowsOwnOracle(checkpoint_test_base.CheckpointTestBase):
    """The base of tf.data's own checkpoint tests, which saves and restores at many places."""

    __test__ = False  # Pytest shall not collect it: the test below drives it.

    def runTest(self):
        """TestCase wants one; nobody calls it."""


# Only the iterator of a graph can be reset.
_VERIFY = ["unused_iterator", "fully_used_iterator", "exhausted_iterator", "multiple_breaks"]
_VERIFY_IN = [(mode, verify) for mode in ("eager", "graph") for verify in _VERIFY] + [
    ("graph", "reset_restored_iterator")
]


@pytest.mark.parametrize("symbolic", [False, True], ids=["explicit", "symbolic"])
# As they come, batches differ from one reading to the next: those are compared by their rows, further up.
@pytest.mark.parametrize(
    ("deterministic", "batch_size"),
    [(False, None), (True, None), (True, 8)],
    ids=["as they come", "in order", "batches"],
)
@pytest.mark.parametrize(("mode", "verify"), _VERIFY_IN)
@pytest.mark.filterwarnings("ignore:To make it possible to preserve tf.data options")
def test_tensorflows_own_oracle_agrees(cassandra, table, symbolic, deterministic, batch_size, mode, verify):
    options = tfcass.FetchOptions(deterministic=deterministic, max_in_flight=10)

    def dataset():
        where = {"x": list(range(20))}
        scanned = tfcass.scan(
            table, cluster=cassandra, columns=["x"], where=where, batch_size=batch_size, options=options
        )
        scanned = scanned if deterministic else scanned.map(lambda row: row["x"])  # Dicts cannot be sorted.
        return _symbolic(scanned, symbolic)

    oracle = _TensorFlowsOwnOracle()
    oracle.setUp()
    try:
        with context.eager_mode() if mode == "eager" else context.graph_mode():
            getattr(oracle, f"verify_{verify}")(
                dataset,
                num_outputs=20 if batch_size is None else 3,
                assert_items_equal=not deterministic,
            )
    finally:
        oracle.tearDown()


# --- what breaks


@pytest.fixture
def proxy(cassandra):
    with proxy_of((cassandra.contact_points[0], cassandra.port)) as proxy:
        yield proxy


@pytest.fixture
def through(cassandra, table, proxy, monkeypatch):
    """A scan whose op connects through the proxy; the schema comes from the server itself."""
    monkeypatch.setattr(_scan, "describe_table", lambda *_, **__: describe_table(cassandra, table))

    def scan(**settings):
        there = tfcass.Cluster(["127.0.0.1"], port=proxy.port)
        return tfcass.scan(table, cluster=there, columns=["x"], **settings)

    return scan


@pytest.mark.parametrize("deterministic", [False, True])
def test_connections_that_are_cut_in_the_middle_cost_no_row(through, proxy, deterministic):
    options = tfcass.FetchOptions(deterministic=deterministic, max_in_flight=200, timeout_s=60, max_retries=100)
    iterator = iter(through(batch_size=50, options=options))
    before = tfcass.metrics()["retries"]
    found = []
    for i, batch in enumerate(iterator):
        found += batch["x"].numpy().tolist()
        if i % 10 == 3:
            proxy.cut()

    assert sorted(found) == list(range(ROWS))
    assert tfcass.metrics()["retries"] > before


def _slowly(row):
    """Slow enough that a test can act before all rows have passed."""
    tf.py_function(lambda: time.sleep(0.002), [], [])
    return row


def test_an_iterator_dies_at_once_with_pages_on_the_way(through, proxy):
    # The thread of prefetch() waits inside the op; the pipeline's death cancels that wait.
    iterator = iter(through(options=_options(timeout_s=60, max_in_flight=16)).map(_slowly).prefetch(1000))
    next(iterator)
    proxy.stall()
    assert proxy.holding.wait(30)

    started = time.monotonic()
    del iterator

    assert time.monotonic() - started < AT_ONCE_S
    proxy.flow()  # The late replies find nobody.
    assert sorted(_xs(through())) == list(range(ROWS))


def test_an_iterator_that_connects_dies_at_once(cassandra, table, monkeypatch):
    monkeypatch.setattr(_scan, "describe_table", lambda *_, **__: describe_table(cassandra, table))
    with silent_server() as listener:
        silent = tfcass.Cluster(["127.0.0.1"], port=listener.getsockname()[1], connect_timeout_s=60)
        scan = tfcass.scan(table, cluster=silent, columns=["x"])
        iterator = iter(tf.data.Dataset.from_tensors({"x": -1}).concatenate(scan.map(_x)).prefetch(100))
        assert next(iterator)["x"] == -1
        with asked(listener):
            started = time.monotonic()
            del iterator

            assert time.monotonic() - started < AT_ONCE_S


def _x(row):
    return {"x": row["x"]}


def test_an_error_leaves_its_page_to_the_next_call(through, proxy):
    iterator = iter(through(batch_size=10, options=_options(timeout_s=1.0, max_retries=0, max_in_flight=20)))
    found = _xs(next(iterator) for _ in range(3))
    proxy.stall()
    with pytest.raises(tf.errors.DeadlineExceededError, match="cannot read a page of .* check the load"):
        while True:  # What was there before the stall.
            found += _xs([next(iterator)])
    proxy.flow()
    while True:
        try:
            found += _xs([next(iterator)])
        except (tf.errors.DeadlineExceededError, tf.errors.UnavailableError):
            continue  # Others of the stalled pages.
        except StopIteration:
            break

    assert sorted(found) == list(range(ROWS))


def test_scans_in_parallel_threads(cassandra, table):
    found = {}

    def scan(number):
        found[number] = sorted(_xs(tfcass.scan(table, cluster=cassandra, columns=["x"], batch_size=100)))

    threads = [threading.Thread(target=scan, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {number: list(range(ROWS)) for number in range(10)}


def test_a_process_ends_in_the_middle_of_a_scan(cassandra, table):
    program = f"""
    import tfcass
    cluster = tfcass.Cluster({list(cassandra.contact_points)!r}, port={cassandra.port})
    iterator = iter(tfcass.scan({table!r}, cluster=cluster, columns=["x"]).prefetch(2))
    for _ in range(10): next(iterator)
    print("read", flush=True)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr
