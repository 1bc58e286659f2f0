"""The dataset under tf.distribute with several replicas, and in the workers of tf.data's service."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tfcass
from tests.support import fetch_rows

ROWS = 120
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


def _program(code):
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_two_replicas_share_each_batch(patches):
    # In a process of its own, as logical devices are fixed when TensorFlow starts.
    code = f"""
        import numpy as np, tensorflow as tf, tfcass
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        keys = np.frombuffer(bytes.fromhex("{patches.keys.tobytes().hex()}"), np.uint8).reshape(-1, 16)
        cluster = tfcass.Cluster({list(patches.cluster.contact_points)!r}, port={patches.cluster.port})
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        assert strategy.num_replicas_in_sync == 2

        def dataset(batch_size, rows=slice(None)):
            return tfcass.CassandraDataset(keys[rows], table="{patches.table}", cluster=cluster, batch_size=batch_size)

        def each_step(distributed):
            step = tf.function(lambda batch: batch["label"])
            for batch in distributed:
                parts = strategy.experimental_local_results(strategy.run(step, (batch,)))
                yield [part.numpy().tolist() for part in parts]

        steps = list(each_step(strategy.experimental_distribute_dataset(dataset(40))))
        assert [[len(part) for part in step] for step in steps] == [[20, 20]] * 3, steps
        assert [label for step in steps for part in step for label in part] == list(range({ROWS}))

        def of_replica(context):
            return dataset(context.get_per_replica_batch_size(40))

        steps = list(each_step(strategy.distribute_datasets_from_function(of_replica)))
        assert [[len(part) for part in step] for step in steps] == [[20, 20]] * 3, steps
        assert sorted(label for step in steps for part in step for label in part) == list(range({ROWS}))
        print("done")
    """
    done = subprocess.run(_program(code), capture_output=True, text=True, timeout=180, cwd=ROOT, env=dict(os.environ))

    assert done.stdout == "done\n", done.stderr


@pytest.fixture(params=["this process", "another process"])
def service(request):
    """The address of a dispatcher with two workers."""
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    if request.param == "this process":
        config = tf.data.experimental.service.WorkerConfig(dispatcher_address=address, heartbeat_interval_ms=100)
        workers = [tf.data.experimental.service.WorkerServer(config) for _ in range(2)]
        yield dispatcher.target
        del workers
        return
    code = f"""
        import sys
        import tensorflow as tf, tfcass
        tfcass.metrics()  # Loads the op: all that a worker needs besides a way to the cluster.
        config = tf.data.experimental.service.WorkerConfig(dispatcher_address="{address}", heartbeat_interval_ms=100)
        workers = [tf.data.experimental.service.WorkerServer(config) for _ in range(2)]
        print("ready", flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        _program(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)
    ) as running:
        try:
            assert running.stdout.readline() == "ready\n"
            yield dispatcher.target
            running.communicate(timeout=60)
            assert running.returncode == 0
        finally:
            running.kill()


@pytest.mark.parametrize(
    ("policy", "times"),
    [(tf.data.experimental.service.ShardingPolicy.OFF, 2), (tf.data.experimental.service.ShardingPolicy.DYNAMIC, 1)],
    ids=["each worker reads all", "workers share"],
)
def test_workers_of_the_service_read(patches, service, policy, times):
    keys = tf.data.Dataset.from_tensor_slices(patches.keys)
    rows = keys.batch(10).apply(patches.fetch(options=tfcass.FetchOptions(max_in_flight=30)))

    served = rows.apply(tf.data.experimental.service.distribute(policy, service, max_outstanding_requests=2))

    labels = fetch_rows.labels(served)
    assert np.bincount(labels, minlength=ROWS).tolist() == [times] * ROWS
