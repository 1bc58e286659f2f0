"""ElasticState in one process: commits, going back, the journal, what is refused.

Real losses of real processes: test_examples_training.py.
"""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.horovod_processes import ROOT
from tests.support.split_rows import metadata
from tfcass import MissingExtraError, OptionError, Shard, SplitError, TfcassError, training
from tfcass.sharding import Cursor, Plan
from tfcass.splits import Splits, split
from tfcass.training import elastic

ROWS = 18


@pytest.fixture(scope="module")
def splits() -> Splits:
    return split(metadata([0, 1] * 10), ratios={"train": ROWS, "val": 2})


@pytest.fixture(scope="module")
def plan(splits: Splits) -> Plan:
    return Plan(splits, "train", seed=3)


def small_model(units: int = 2, learning_rate: object = 0.5) -> keras.Model:
    model = keras.Sequential([keras.layers.Input((16,)), keras.layers.Dense(units)])
    model.compile(keras.optimizers.SGD(learning_rate, momentum=0.9), "mse", jit_compile=False)
    return model


def new_state(plan: Plan, **options) -> training.ElasticState:
    return training.ElasticState(small_model(), None, plan, **options)


def rows_of(plan: Plan, batch_size: int = 4):
    def dataset(shard: Shard, cursor: Cursor) -> tf.data.Dataset:
        keys = training.key_batches(
            plan, shard, batch_size=batch_size, epochs=cursor.epoch + 1, start=cursor, remainder="pad"
        )
        return keys.map(lambda keys: {"patch_id": keys})

    return dataset


def train_step(model: keras.Model, batch: dict) -> None:
    model.train_on_batch(tf.cast(batch["patch_id"], tf.float32) / 255, np.zeros((len(batch["patch_id"]), 2)))


def test_a_run_in_one_process_trains_on_every_row_of_every_epoch(plan: Plan, tmp_path: Path) -> None:
    state = new_state(plan, journal=tmp_path / "journal.jsonl")
    ended = []

    def train(state: training.ElasticState) -> None:
        for batch in state.batches(rows_of(plan), batch_size=4, epochs=2, commit_every=2, epoch_end=ended.append):
            train_step(state.model, batch)

    training.run_elastic(train, state)

    assert state.cursor == plan.cursor(2)
    assert ended == [0, 1]
    for epoch in range(2):
        expected = [str(uuid.UUID(bytes=key.tobytes())) for key in plan.keys(epoch, np.arange(ROWS))]
        counted = training.committed_keys([tmp_path / "journal.jsonl"], epoch)
        assert [counted[position] for position in range(ROWS)] == expected


def test_going_back_undoes_the_steps_since_the_last_commit(plan: Plan) -> None:
    state = new_state(plan, variables=[keras.Variable(1.0)])
    batches = state.batches(rows_of(plan), batch_size=4, epochs=1, commit_every=2)
    for _ in range(3):  # The third is asked for after the commit of the first two.
        train_step(state.model, next(batches))
    extra = state._variables[-1]
    extra.assign(7.0)
    committed = state.cursor

    state.restore()

    assert committed.samples == 8
    assert state.cursor == committed
    assert float(extra) == 1.0
    before = [np.array(weight) for weight in state.model.get_weights()]
    iterations = int(state.optimizer.iterations)
    assert iterations == 2
    train_step(state.model, {"patch_id": plan.keys(0, np.arange(8, 12))})
    assert any((a != b).any() for a, b in zip(before, state.model.get_weights(), strict=True))
    state.restore()
    assert all((a == b).all() for a, b in zip(before, state.model.get_weights(), strict=True))


def test_a_run_goes_on_from_a_checkpoint_in_the_middle_of_an_epoch(plan: Plan, tmp_path: Path) -> None:
    checkpoint = training.Checkpoint(tmp_path / "c.npz", plan=plan)
    state = new_state(plan)
    batches = state.batches(
        rows_of(plan), batch_size=4, epochs=1, commit_every=1, save=lambda at: checkpoint.save(state.model, at)
    )
    for _ in range(3):
        train_step(state.model, next(batches))
    other = small_model()

    cursor = training.Checkpoint(tmp_path / "c.npz", plan=plan).restore_cursor(other)

    assert cursor == plan.cursor(0, 8)
    left = training.ElasticState(other, None, plan, cursor=cursor).batches(rows_of(plan), batch_size=4, epochs=1)
    keys = np.concatenate([batch["patch_id"] for batch in left])
    assert keys.tolist() == plan.keys(0, np.arange(8, ROWS)).tolist()
    with pytest.raises(TfcassError, match=r"is of the middle of epoch 1: go on with restore_cursor\(\)"):
        training.Checkpoint(tmp_path / "c.npz", plan=plan).restore(other)


def test_the_learning_rate_is_that_of_one_rank_times_their_number(plan: Plan, monkeypatch) -> None:
    state = new_state(plan, learning_rate=0.125)
    monkeypatch.setattr(Shard, "from_horovod", classmethod(lambda cls: cls(0, 3)))
    monkeypatch.setattr(training.ranks, "horovod", lambda: None)

    state.sync()

    assert float(state.optimizer.learning_rate) == pytest.approx(0.375)


def test_a_process_that_reads_another_plan_may_not_join(plan: Plan, splits: Splits, monkeypatch) -> None:
    of_the_run = new_state(plan)
    joining = new_state(Plan(splits, "train", seed=4))
    seen = []
    monkeypatch.setattr(training.ranks, "from_first", lambda value: seen.append(value) or value)
    of_the_run.sync()
    monkeypatch.setattr(training.ranks, "from_first", lambda value: seen[0])

    with pytest.raises(SplitError, match=r"seed=4\) than the run that it joins \(.*seed=3\); give it the same splits"):
        joining.sync()


def test_a_process_with_another_model_may_not_join(plan: Plan, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(training.ranks, "from_first", lambda value: seen.append(value) or value)
    new_state(plan).sync()
    monkeypatch.setattr(training.ranks, "from_first", lambda value: seen[0])

    with pytest.raises(TfcassError, match="another model or optimizer than the run that it joins"):
        training.ElasticState(small_model(units=3), None, plan).sync()


def test_the_cursor_of_another_split_is_refused(plan: Plan, splits: Splits) -> None:
    with pytest.raises(SplitError, match="the saved state is of another split"):
        new_state(plan, cursor=Plan(splits, "val", seed=3).cursor())


def test_settings_that_do_not_fit_are_refused(plan: Plan) -> None:
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    rate = keras.optimizers.schedules.CosineDecay(0.1, 10)

    with pytest.raises(OptionError, match="the model has no optimizer"):
        training.ElasticState(keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)]), None, plan)
    with pytest.raises(OptionError, match="the model is not built"):
        training.ElasticState(unbuilt, keras.optimizers.SGD(), plan)
    with pytest.raises(OptionError, match="the optimizer needs a number, no schedule"):
        training.ElasticState(small_model(learning_rate=rate), None, plan, learning_rate=0.1)
    with pytest.raises(OptionError, match="commit_every=0 is not"):
        next(new_state(plan).batches(rows_of(plan), batch_size=4, epochs=1, commit_every=0))
    with pytest.raises(OptionError, match="remainder='uneven' has ranks that end apart"):
        next(new_state(plan).batches(rows_of(plan), batch_size=4, epochs=1, remainder="uneven"))
    with pytest.raises(OptionError, match="dataset_of gave 3 batches for epoch 0, where this rank has 5"):
        list(new_state(plan).batches(rows_of(plan, batch_size=8), batch_size=4, epochs=1))


def test_a_journal_of_batches_without_keys_is_refused(plan: Plan, tmp_path: Path) -> None:
    state = new_state(plan, journal=tmp_path / "journal.jsonl")

    with pytest.raises(OptionError, match="dicts with the column 'uuid'"):
        next(state.batches(rows_of(plan), batch_size=4, epochs=1, key="uuid"))


def test_lines_that_a_change_undid_do_not_count(tmp_path: Path) -> None:
    def start(generation: int, samples: int) -> dict:
        return {"generation": generation, "rank": 0, "size": 1, "start": {"epoch": 0, "samples": samples}}

    def batch(generation: int, positions: list[int]) -> dict:
        names = [f"key {position}" for position in positions]
        return {"generation": generation, "epoch": 0, "positions": positions, "patch_ids": names}

    lost, stayed = tmp_path / "lost.jsonl", tmp_path / "stayed.jsonl"
    lost.write_text("".join(json.dumps(line) + "\n" for line in [start(1, 0), batch(1, [0, 2]), batch(1, [4, 6])]))
    lost.write_text(lost.read_text() + '{"generation": 1, "epo')  # It died here.
    kept = [start(1, 0), batch(1, [1, 3]), batch(1, [5, 7]), start(2, 4), batch(2, [4, 5]), batch(2, [6, 7])]
    stayed.write_text("".join(json.dumps(line) + "\n" for line in kept))

    assert training.committed_keys([lost, stayed], 0) == {position: f"key {position}" for position in range(8)}
    assert training.committed_keys([lost, stayed], 1) == {}
    with pytest.raises(TfcassError, match="position 4 of epoch 0 counts twice: key 4 and key 4"):
        stayed.write_text(stayed.read_text() + json.dumps(batch(2, [4])) + "\n")
        training.committed_keys([lost, stayed], 0)
    with pytest.raises(TfcassError, match=r"journal .*absent.jsonl cannot be read"):
        training.committed_keys([tmp_path / "absent.jsonl"], 0)


@pytest.mark.parametrize(
    ("error", "message", "expected"),
    [
        (tf.errors.UnknownError, "Graph execution error: Horovod has been shut down.", True),
        (tf.errors.UnknownError, "[gloo/transport/tcp/pair.cc:589] Read error: Connection reset by peer", True),
        (tf.errors.UnknownError, "TypeError: in a user's function", False),
        (tf.errors.NotFoundError, "no row 09b34ae6 in horovod.data_by_uuid", False),
    ],
)
def test_only_the_loss_of_a_process_counts_as_one(error, message, expected) -> None:
    assert elastic.tells_of_a_loss(error(None, None, message)) is expected


def test_an_elastic_run_without_horovod_says_what_to_install(plan: Plan, monkeypatch) -> None:
    state = new_state(plan)
    monkeypatch.setenv("HOROVOD_ELASTIC", "1")
    for name in ("horovod", "horovod.tensorflow", "horovod.common.elastic"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(MissingExtraError, match=r"pip install 'tfcass\[horovod\]'"):
        training.run_elastic(lambda state: None, state)


def test_everything_imports_and_trains_where_horovod_cannot_be_imported(tmp_path: Path) -> None:
    program = """
import importlib, pkgutil, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "horovod":
            raise ModuleNotFoundError("No module named 'horovod'", name="horovod")
sys.meta_path.insert(0, Blocker())
import tfcass
for module in pkgutil.walk_packages(tfcass.__path__, "tfcass."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from tests.test_training_elastic import new_state, rows_of, split, metadata, train_step, Plan
from tfcass import Shard, training
assert Shard.from_horovod() == Shard(0, 1)
plan = Plan(split(metadata([0, 1] * 10), ratios={"train": 18, "val": 2}), "train", seed=3)
state = new_state(plan)
def train(state):
    for batch in state.batches(rows_of(plan), batch_size=4, epochs=1):
        train_step(state.model, batch)
training.check_same_plan(plan)
training.ranks.join(state._variables)
training.run_elastic(train, state)
assert "horovod" not in sys.modules
print("trained up to", state.cursor.epoch)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    process = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )

    assert process.returncode == 0, process.stderr
    assert process.stdout == "trained up to 1\n"
