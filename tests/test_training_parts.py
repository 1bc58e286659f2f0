"""The parts of tfcass.training in one process."""

import json
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.split_rows import metadata
from tfcass import OptionError, Shard, SplitError, TfcassError, training
from tfcass.sharding import Plan
from tfcass.splits import Splits, split


def small_model() -> keras.Model:
    model = keras.Sequential(
        [keras.layers.Input((2,)), keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    return model


def write_checkpoint(path: Path) -> None:
    training_step = np.zeros((8, 2)), np.zeros((8, 3))
    small_model().fit(*training_step, verbose=0, callbacks=[training.Checkpoint(path, plan="p")])


@pytest.fixture(scope="module")
def splits() -> Splits:
    return split(metadata([0, 1] * 10), ratios={"train": 18, "val": 2})


def batches(splits: Splits, shard: Shard, **options) -> list[list[bytes]]:
    dataset = training.epochs_of_keys(splits, "train", shard, **{"batch_size": 4, "epochs": 3, "seed": 1, **options})
    return [[bytes(key) for key in batch] for batch in dataset.as_numpy_iterator()]


def test_epochs_follow_each_other_and_no_batch_mixes_them(splits: Splits) -> None:
    shard = Shard(1, 2)

    got = batches(splits, shard)

    assert [len(batch) for batch in got] == [4, 4, 1] * 3
    for epoch in range(3):
        expected = [bytes(key) for key in shard.keys(splits, "train", epoch=epoch, seed=1)]
        assert [key for batch in got[3 * epoch : 3 * epoch + 3] for key in batch] == expected


def test_a_resumed_run_reads_what_the_first_would_have_read(splits: Splits) -> None:
    assert batches(splits, Shard(0, 1), first_epoch=2) == batches(splits, Shard(0, 1))[-5:]


def test_key_batches_have_the_shape_that_fetch_takes(splits: Splits) -> None:
    dataset = training.epochs_of_keys(splits, "train", Shard(0, 1), batch_size=4, epochs=1, seed=1)

    assert dataset.element_spec == tf.TensorSpec([None, 16], tf.uint8)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, OptionError, "batch_size=0 is not"),
        ({"first_epoch": 4}, OptionError, r"first_epoch=4 is not in \[0, epochs=3\]"),
        ({"seed": -1}, OptionError, "seed=-1 is not"),
        ({"remainder": "all"}, OptionError, "remainder='all'"),
    ],
)
def test_bad_epochs_are_refused_at_once(splits: Splits, options, error, message) -> None:
    with pytest.raises(error, match=message):
        training.epochs_of_keys(splits, "train", Shard(0, 1), **{"batch_size": 4, "epochs": 3, "seed": 1, **options})


def test_an_optimizer_of_a_process_of_its_own_is_left_alone() -> None:
    optimizer = keras.optimizers.SGD(0.1)

    assert training.distributed_optimizer(optimizer, scale_learning_rate=True) is optimizer


def test_a_name_is_no_optimizer() -> None:
    with pytest.raises(OptionError, match="optimizer='adam' is not a Keras 3 optimizer"):
        training.distributed_optimizer("adam")


def test_a_checkpoint_restores_model_optimizer_and_seeds(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(8, 2)), np.zeros((8, 3))
    model, other = small_model(), small_model()
    model.fit(x, y, verbose=0, epochs=2, callbacks=[training.Checkpoint(tmp_path / "c.npz", plan="p")])

    done = training.Checkpoint(tmp_path / "c.npz", plan="p").restore(other)

    assert done == 2
    pairs = zip(training.ranks.state_variables(model), training.ranks.state_variables(other), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    # And both go on the same way, random masks of Dropout included.
    model.fit(x, y, verbose=0, shuffle=False)
    other.fit(x, y, verbose=0, shuffle=False)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_no_checkpoint_means_start_at_the_beginning(tmp_path: Path) -> None:
    assert training.Checkpoint(tmp_path / "absent.npz", plan="p").restore(small_model()) == 0


def test_a_checkpoint_of_other_splits_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c.npz")

    with pytest.raises(SplitError, match="of another split or seed: 'p', not 'q'; move .*c.npz away"):
        training.Checkpoint(tmp_path / "c.npz", plan="q").restore(small_model())


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c.npz")
    other = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(4)])
    other.compile("adam", "mse")

    with pytest.raises(TfcassError, match="is of another model or optimizer"):
        training.Checkpoint(tmp_path / "c.npz", plan="p").restore(other)


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_a_cut_checkpoint_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "c.npz"
    write_checkpoint(path)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(TfcassError, match="checkpoint .*c.npz cannot be read"):
        training.Checkpoint(path, plan="p").restore(small_model())


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.npz"
    write_checkpoint(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tfcass._files.os.fsync", full)
    with pytest.raises(TfcassError, match="cannot write checkpoint .*No space left on device"):
        write_checkpoint(path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_while_writing_the_log_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = training.TrainingLog(tmp_path / "history.json", rows_per_epoch=8)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tfcass._files.os.fsync", full)
    with pytest.raises(TfcassError, match="cannot write .*history.json: No space left on device"):
        small_model().fit(np.zeros((8, 2)), np.zeros((8, 3)), verbose=0, callbacks=[log])

    assert list(tmp_path.iterdir()) == []


def test_the_log_of_a_resumed_run_keeps_the_epochs_before(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"epochs": [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}]}))
    log = training.TrainingLog(path, rows_per_epoch=8)

    log.keep_until(1)
    small_model().fit(np.zeros((8, 2)), np.zeros((8, 3)), verbose=0, epochs=2, initial_epoch=1, callbacks=[log])

    epochs = json.loads(path.read_text())["epochs"]
    assert [entry["epoch"] for entry in epochs] == [1, 2]
    assert epochs[0] == {"epoch": 1, "loss": 0.5}


def test_confusion_counts_truth_by_prediction_and_skips_rows_of_weight_zero() -> None:
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Identity()])
    scores = np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 0, 2]]
    truth, weight = np.array([0, 1, 0, 2, 2, 1]), np.array([1, 1, 1, 1, 1, 0], np.float32)

    found = training.confusion(model, tf.data.Dataset.from_tensor_slices((scores, truth, weight)).batch(4), classes=3)

    assert found.matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.majority == pytest.approx(2 / 5)


def test_confusion_refuses_labels_and_outputs_that_do_not_fit() -> None:
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Identity()])
    data = tf.data.Dataset.from_tensors((np.zeros((1, 3), np.float32), np.array([7])))

    with pytest.raises(OptionError, match=r"label 7 is not in \[0, classes=3\)"):
        training.confusion(model, data, classes=3)
    with pytest.raises(OptionError, match=r"the model gives \[1, 3\]; expected \[batch, classes=2\]"):
        training.confusion(model, data, classes=2)


def test_an_error_of_a_pipeline_is_told_without_the_graph_around_it() -> None:
    def fail(_: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.Assert(False, ["no row 7"])]):
            return tf.zeros((1, 2)), tf.zeros((1, 3))

    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        small_model().fit(tf.data.Dataset.range(1).map(fail), verbose=0, shuffle=False)

    assert "Graph execution error" in str(caught.value)
    message = training.plain_message(caught.value)
    assert message == "no row 7"


def test_bad_row_counts() -> None:
    with pytest.raises(OptionError, match="val_rows=-1 is not a number of rows"):
        training.AverageMetrics(train_rows=3, val_rows=-1)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def fit_with(stop: training.StopOnInterrupt, *callbacks: keras.callbacks.Callback) -> None:
    small_model().fit(np.zeros((12, 2)), np.zeros((12, 3)), batch_size=4, verbose=0, callbacks=[*callbacks, stop])


def test_ctrl_c_in_a_step_stops_at_its_end() -> None:
    ends = []
    in_step = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: press_ctrl_c() if batch == 1 else None,
        on_train_batch_end=lambda batch, logs: ends.append(batch),
    )
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), training.StopOnInterrupt() as stop:
        fit_with(stop, in_step)

    assert ends == [0, 1]
    assert stop.requested
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_is_not_held_back() -> None:
    with pytest.raises(KeyboardInterrupt), training.StopOnInterrupt():
        press_ctrl_c()
        press_ctrl_c()
        pytest.fail("the second one was held back")


def test_a_program_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with training.StopOnInterrupt() as stop:
            press_ctrl_c()
            fit_with(stop)
        assert not stop.requested
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_error_after_ctrl_c_counts_as_its_consequence() -> None:
    with pytest.raises(KeyboardInterrupt), training.StopOnInterrupt():
        press_ctrl_c()
        raise ConnectionError("another rank is gone")


def plan_of(splits: Splits, seed: int = 3) -> Plan:
    return Plan(splits, "train", seed=seed)


def test_a_checkpoint_within_an_epoch_says_where_it_stands(splits: Splits, tmp_path: Path) -> None:
    plan, path = plan_of(splits), tmp_path / "c.npz"
    checkpoint = training.Checkpoint(path, plan=plan, every_steps=2, batch_size=4)
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            training.Checkpoint(path, plan=plan).restore_cursor(small_model()) if path.exists() else None
        )
    )

    small_model().fit(np.zeros((18, 2)), np.zeros((18, 3)), batch_size=4, verbose=0, callbacks=[checkpoint, look])

    assert seen == [None, plan.cursor(0, 8), plan.cursor(0, 8), plan.cursor(0, 16), plan.cursor(0, 16)]
    done = training.Checkpoint(path, plan=plan)
    assert done.restore_cursor(small_model()) == plan.cursor(1)
    assert done.restore(small_model()) == 1


def test_the_cursor_of_a_checkpoint_of_another_plan_is_refused(splits: Splits, tmp_path: Path) -> None:
    model = small_model()
    training.Checkpoint(tmp_path / "c.npz", plan=plan_of(splits)).save(model, plan_of(splits).cursor(0, 4))

    with pytest.raises(SplitError, match="is of another split or seed: '.* seed=3', not '.* seed=4'; move .* away"):
        training.Checkpoint(tmp_path / "c.npz", plan=plan_of(splits, seed=4)).restore_cursor(model)


def test_another_optimizer_than_that_of_the_checkpoint_is_refused(splits: Splits, tmp_path: Path) -> None:
    plan, model = plan_of(splits), small_model()
    checkpoint = training.Checkpoint(tmp_path / "c.npz", plan=plan)
    checkpoint.save(model, plan.cursor(0, 4), optimizer=keras.optimizers.Adam())

    with pytest.raises(TfcassError, match="is of another model or optimizer"):
        checkpoint.restore_cursor(small_model(), optimizer=keras.optimizers.SGD())


def test_checkpoints_within_an_epoch_need_to_know_the_plan(splits: Splits, tmp_path: Path) -> None:
    path = tmp_path / "c.npz"

    with pytest.raises(OptionError, match=r"every_steps needs plan=Plan\(...\) and batch_size"):
        training.Checkpoint(path, plan="p", every_steps=5)
    with pytest.raises(OptionError, match="every_steps=0 is not a positive number of steps"):
        training.Checkpoint(path, plan=plan_of(splits), every_steps=0, batch_size=4)
    with pytest.raises(OptionError, match=r"restore_cursor\(\) needs Checkpoint\(plan=Plan"):
        training.Checkpoint(path, plan="p").restore_cursor(small_model())
    assert training.Checkpoint(path, plan=plan_of(splits)).restore_cursor(small_model()) == plan_of(splits).cursor()
