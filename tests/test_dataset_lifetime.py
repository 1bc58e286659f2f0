"""Iterators, processes and forks that end or begin at awkward moments, as with requests in flight."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid

import pytest
import tensorflow as tf

import tfcass
from tests.support import fetch_rows
from tests.support.proxy import proxy_of
from tests.support.silent_server import asked, silent_server

ROWS = 600
AT_ONCE_S = 3.0  # Enough for a busy machine.


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


@pytest.fixture
def proxy(cassandra):
    with proxy_of((cassandra.contact_points[0], cassandra.port)) as proxy:
        yield proxy


def _slowly(row):
    """Slow enough that a test can act before all rows have passed."""
    tf.py_function(lambda: time.sleep(0.002), [], [])
    return row


def _cluster_at(port, connect_timeout_s=10.0):
    return tfcass.Cluster(["127.0.0.1"], port=port, connect_timeout_s=connect_timeout_s)


def _through(proxy, patches, **options):
    """A dataset whose op connects through the proxy; the schema comes from the server itself."""
    return patches.through(_cluster_at(proxy.port), columns=["label"], **options)


def _begun(dataset):
    """An iterator of which a thread of prefetch() has come to `dataset`, or soon will."""
    iterator = iter(tf.data.Dataset.from_tensors({"label": -1}).concatenate(dataset.map(_label)).prefetch(100))
    assert next(iterator)["label"] == -1
    return iterator


def _label(row):
    return {"label": row["label"]}


@pytest.fixture
def silent_port():
    with silent_server() as listener:
        yield listener


def test_an_iterator_dies_at_once_with_requests_in_flight(patches, proxy):
    connected = _through(proxy, patches)
    next(iter(connected))  # Its session stays open: what follows needs no reply before it can ask for rows.
    iterator = iter(_through(proxy, patches, timeout_s=2.0, max_retries=0, rows_per_request=1))
    proxy.stall()
    sent_before = tfcass.metrics()["requests"]
    for _ in range(50):  # Each row that is given up makes room for a new request.
        with pytest.raises(tf.errors.DeadlineExceededError):
            next(iterator)
    assert proxy.holding.is_set()
    assert tfcass.metrics()["requests"] - sent_before > 60

    started = time.monotonic()
    del iterator

    assert time.monotonic() - started < AT_ONCE_S
    proxy.flow()  # The late replies find nobody.
    assert fetch_rows.labels(_through(proxy, patches)) == patches.labels


def test_a_waiting_consumer_is_released_when_its_pipeline_dies(patches, proxy):
    # The thread of prefetch() waits inside the op; the pipeline's death cancels that wait.
    iterator = iter(_through(proxy, patches, max_in_flight=8, timeout_s=60.0).map(_slowly).prefetch(1000))
    next(iterator)
    proxy.stall()
    assert proxy.holding.wait(30)

    started = time.monotonic()
    del iterator

    assert time.monotonic() - started < AT_ONCE_S


def test_a_consumer_that_connects_is_released_when_its_pipeline_dies(patches, silent_port):
    cluster = _cluster_at(silent_port.getsockname()[1], connect_timeout_s=60)
    iterator = _begun(patches.through(cluster, columns=["label"]))
    with asked(silent_port):
        started = time.monotonic()
        del iterator

        assert time.monotonic() - started < AT_ONCE_S


def test_a_consumer_that_prepares_is_released_when_its_pipeline_dies(patches, proxy):
    cluster = _cluster_at(proxy.port, connect_timeout_s=60)
    fetch_rows.labels(
        patches.through(cluster, slice(0, 1), columns=["label"])
    )  # Its session lingers, and is found open.
    connections = proxy.connections
    proxy.stall()
    iterator = _begun(patches.through(cluster))  # Of other columns: not prepared yet.
    assert proxy.holding.wait(30)

    started = time.monotonic()
    del iterator

    assert time.monotonic() - started < AT_ONCE_S
    assert proxy.connections == connections


def test_a_consumer_between_attempts_is_released_when_its_pipeline_dies(patches, proxy):
    iterator = _begun(_through(proxy, patches, max_in_flight=4, timeout_s=600.0, max_retries=1_000_000).map(_slowly))
    next(iterator)
    retries = tfcass.metrics()["retries"]
    proxy.down()  # Each attempt fails at once, and the next one waits.
    deadline = time.monotonic() + 60
    while tfcass.metrics()["retries"] < retries + 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    started = time.monotonic()
    del iterator

    assert time.monotonic() - started < AT_ONCE_S


def test_a_row_that_does_not_come_in_time_is_named(patches, proxy):
    at_once = tf.data.Options()
    at_once.experimental_optimization.inject_prefetch = False  # Else the second row may be there before the stall.
    dataset = _through(proxy, patches, timeout_s=2.0, max_retries=0, max_in_flight=1).with_options(at_once)
    iterator = iter(dataset)
    next(iterator)
    proxy.stall()

    with pytest.raises(tf.errors.DeadlineExceededError) as caught:
        next(iterator)

    assert str(uuid.UUID(bytes=bytes(patches.keys[1]))) in str(caught.value)
    assert patches.table in str(caught.value) and "timeout_s" in str(caught.value)


def _process(patches, code):
    """Starts code in a Python of its own that has `patches` as `keys`, `table` and `cluster`."""
    prelude = f"""
        import os, sys, time
        import numpy as np
        import tfcass
        keys = np.frombuffer(bytes.fromhex("{patches.keys.tobytes().hex()}"), np.uint8).reshape(-1, 16)
        cluster = tfcass.Cluster({list(patches.cluster.contact_points)!r}, port={patches.cluster.port})
        table = "{patches.table}"
    """
    program = textwrap.dedent(prelude) + textwrap.dedent(code)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", program], text=True, cwd=root, env=dict(os.environ), **pipes)


def _run(patches, code):
    """Runs such a process to its end, which must come by itself."""
    with _process(patches, code) as running:
        try:
            output, error = running.communicate(timeout=60)
        finally:
            running.kill()
    return subprocess.CompletedProcess(running.args, running.returncode, output, error)


# Each leaves an iterator in a reference cycle, as Keras does, while a Python function of its pipeline is at work.
_BUSY = """
    import tensorflow as tf
    def slowly(label):
        time.sleep(0.002)
        return label
    dataset = tfcass.CassandraDataset(keys, table=table, cluster=cluster, columns=["label"]).repeat()
    dataset = dataset.map(lambda row: tf.numpy_function(slowly, [row["label"]], tf.int32)).prefetch(100_000)
    class Cycle: pass
    cycle = Cycle()
    cycle.self, cycle.iterator = cycle, iter(dataset)
    for _ in range(3): next(cycle.iterator)
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("cycle = None", 0),
        ("sys.exit(3)", 3),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import threading; threading.Thread(target=lambda: [0 for _ in cycle.iterator], daemon=True).start()", 0),
    ],
    ids=["held", "garbage", "sys.exit", "Ctrl-C", "in a thread"],
)
def test_a_process_ends_while_python_functions_of_a_pipeline_run(patches, ending, code):
    done = _run(patches, textwrap.dedent(_BUSY) + "print('read', flush=True)\n" + ending)

    assert done.stdout == "read\n"
    assert done.returncode == code, done.stderr


def test_a_process_ends_while_an_iterator_connects(patches, silent_port):
    with _process(
        patches,
        f"""
        import dataclasses
        from tfcass import dataset
        import tensorflow as tf
        plan = dataset._plan(table, cluster, ["label"], tfcass.FetchOptions())
        silent = tfcass.Cluster(["127.0.0.1"], port={silent_port.getsockname()[1]}, connect_timeout_s=300)
        rows = dataset._FetchDataset(tf.data.Dataset.from_tensors(keys[0]), dataclasses.replace(plan, cluster=silent))
        first = tf.data.Dataset.from_tensors(-1)
        iterator = iter(first.concatenate(rows.map(lambda row: row["label"])).prefetch(2))
        next(iterator)
        sys.stdin.read()
        """,
    ) as running:
        with asked(silent_port):
            _, error = running.communicate(timeout=60)

    assert running.returncode == 0, error


@pytest.mark.parametrize("ending", ["", "os.kill(os.getpid(), 15)"], ids=["end", "SIGTERM"])
def test_a_process_ends_in_the_middle_of_an_epoch(patches, ending):
    done = _run(
        patches,
        f"""
        iterator = iter(tfcass.CassandraDataset(keys, table=table, cluster=cluster).prefetch(2))
        for _ in range(10): next(iterator)
        print("read", flush=True)
        {ending}
        """,
    )

    assert done.stdout == "read\n"
    assert done.returncode == (-15 if "kill" in ending else 0), done.stderr


def test_a_forked_child_reads_with_a_connection_of_its_own(patches):
    done = _run(
        patches,
        """
        import warnings; warnings.simplefilter("ignore")
        dataset = tfcass.CassandraDataset(keys, table=table, cluster=cluster, batch_size=100)
        iterator = iter(dataset)
        next(iterator)
        child = os.fork()
        if child == 0:
            # Both a dataset from before the fork and a new one.
            old = sum(int(batch["label"].numpy().sum()) for batch in dataset)
            new = tfcass.CassandraDataset(keys, table=table, cluster=cluster, batch_size=100)
            print("child", old, sum(int(batch["label"].numpy().sum()) for batch in new), flush=True)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        print("parent", status, sum(int(batch["label"].numpy().sum()) for batch in iterator), flush=True)
        """,
    )

    total = sum(patches.labels)
    assert done.stdout.splitlines() == [f"child {total} {total}", f"parent 0 {total - sum(patches.labels[:100])}"], (
        done.stderr
    )


def test_epochs_and_equal_clusters_share_a_connection(patches, proxy):
    dataset = _through(proxy, patches)
    fetch_rows.labels(dataset)
    connections = proxy.connections

    fetch_rows.labels(dataset)
    fetch_rows.labels(_through(proxy, patches))

    assert proxy.connections == connections > 0


def test_a_pipeline_made_anew_each_epoch_finds_the_connection_open(patches, proxy):
    dataset = _through(proxy, patches)
    fetch_rows.labels(dataset.prefetch(2))
    connections = proxy.connections

    fetch_rows.labels(dataset.prefetch(2))
    del dataset
    fetch_rows.labels(_through(proxy, patches))

    assert proxy.connections == connections > 0


def test_a_connection_that_failed_is_not_used_again(patches, proxy):
    dataset = _through(proxy, patches, timeout_s=1.0, max_retries=0)
    fetch_rows.labels(dataset.take(1))
    connections = proxy.connections
    proxy.stall()
    with pytest.raises(tf.errors.DeadlineExceededError):
        fetch_rows.labels(dataset.take(1))
    proxy.flow()

    fetch_rows.labels(dataset.take(1))

    assert proxy.connections > connections
