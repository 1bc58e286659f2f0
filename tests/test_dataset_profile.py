"""What TensorFlow's profiler and its model of a pipeline are told."""

import glob
import os

import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import tfcass
from tests.support import fetch_rows

ROWS = 120


@pytest.fixture(scope="module")
def patches(cassandra, cassandra_session):
    with fetch_rows.patches(cassandra, cassandra_session, ROWS) as table:
        yield table


def _profiled(folder, run):
    """The events of `run` by name: a list of their metadata each."""
    tf.profiler.experimental.start(str(folder))
    try:
        run()
    finally:
        tf.profiler.experimental.stop()
    (path,) = glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True)
    space = xplane_pb2.XSpace()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    events = {}
    for plane in space.planes:
        names = {key: metadata.name for key, metadata in plane.stat_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            stats = {}
            for stat in event.stats:
                kind = stat.WhichOneof("value")
                value = getattr(stat, kind)
                stats[names[stat.metadata_id]] = names[value] if kind == "ref_value" else value
            events.setdefault(plane.event_metadata[event.metadata_id].name, []).append(stats)
    return events


def test_the_profiler_shows_rows_bytes_and_hosts(patches, tmp_path):
    dataset = patches.dataset(batch_size=40)

    events = _profiled(tmp_path, lambda: fetch_rows.labels(dataset))

    size = sum(len(data) for data in patches.data) + 4 * ROWS
    rows, waits = events["TfcassFetch::Rows"], events["TfcassFetch::Wait"]
    assert [event["rows"] for event in rows] == [40, 40, 40]
    assert sum(event["bytes"] for event in rows) == size
    assert {event["table"] for event in rows} == {patches.table}
    assert sum(event["rows"] for event in waits) == ROWS
    assert sum(event["bytes"] for event in waits) == size
    assert sum(event["replies"] for event in waits) >= 3
    hosts = {host for event in waits for host in str(event.get("hosts", "")).split()}
    assert hosts == {f"{patches.cluster.contact_points[0]}:{patches.cluster.port}"}


def test_tf_data_sees_a_buffer_of_what_is_held(patches, tmp_path):
    options = tfcass.FetchOptions(max_in_flight=ROWS)
    dataset = patches.dataset(batch_size=10, options=options).prefetch(2)

    events = _profiled(tmp_path, lambda: fetch_rows.labels(dataset))

    (name,) = [name for name in events if name.startswith("Iterator::") and name.endswith("::TfcassFetch")]
    told = [event for event in events[name] if "buffered_elements" in event]
    assert told and all(event["buffered_elements"] == 1 for event in told)
    assert all(event["table"] == patches.table for event in events[name])
