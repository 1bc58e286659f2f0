"""What TensorFlow's profiler and its model of a pipeline are told."""

import keras
import pytest
import tensorflow as tf

import tfcass
from tests.support import fetch_rows
from tfcass import training

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
    events = {}
    for event in training.trace_events(folder, prefix=""):
        events.setdefault(event.name, []).append(event.values)
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


def _fit(dataset, steps, *callbacks):
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    pairs = dataset.map(lambda row: (tf.cast(row["label"], tf.float32)[:, None], tf.zeros_like(row["label"])))
    model.fit(pairs, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=list(callbacks))


def test_a_trace_of_training_steps_shows_the_fetch_beside_the_steps(patches, tmp_path):
    dataset = patches.dataset(batch_size=10)

    _fit(dataset, 12, training.Profile(tmp_path / "trace", first=3, last=8))

    rows = [event for event in training.trace_events(tmp_path / "trace") if event.name == "TfcassFetch::Rows"]
    assert 1 <= len(rows) < 12  # Those of some steps, not of all.
    assert all(event.values["rows"] == 10 and event.values["table"] == patches.table for event in rows)
    assert rows == sorted(rows, key=lambda event: event.start_ms)
    assert all(event.duration_ms >= 0 for event in rows)
    steps = [event for event in training.trace_events(tmp_path / "trace", prefix="") if event.name == "train"]
    assert [event.values["step_num"] for event in steps] == [3, 4, 5, 6, 7, 8]


def test_of_a_short_epoch_the_last_step_is_recorded(patches, tmp_path):
    _fit(patches.dataset(batch_size=60), 2, training.Profile(tmp_path / "trace"))

    assert training.trace_events(tmp_path / "trace", prefix="")


@pytest.mark.parametrize(("first", "last"), [(0, 5), (6, 5)])
def test_steps_that_are_none_are_refused(first, last, tmp_path):
    with pytest.raises(tfcass.OptionError, match=f"first={first}, last={last}: expected steps with 1 <= first <= last"):
        training.Profile(tmp_path, first=first, last=last)


def test_a_folder_without_a_trace_is_told(tmp_path):
    with pytest.raises(tfcass.TfcassError, match="no trace in"):
        training.trace_events(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(patches, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(tfcass.TfcassError, match="cannot write a trace to .*file/trace"):
        _fit(patches.dataset(batch_size=60), 2, training.Profile(tmp_path / "file" / "trace"))
