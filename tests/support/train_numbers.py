"""A training on rows made from their keys, for the tests of tfcass.training: no server, every rank writes what it saw.

Run by horovodrun or alone. rank<r>.json: start epoch, history, digest of the weights, keys of each epoch, confusion
matrix.
"""

import argparse
import hashlib
import json
import os
import signal
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import tfcass
from tfcass import training


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--seed-of-rank-1", type=int)
    parser.add_argument("--kill-rank-1-in", type=int, help="SIGKILL rank 1 in this epoch (from 1)")
    parser.add_argument("--jit", action="store_true")
    args = parser.parse_args()

    shard = tfcass.Shard.from_horovod()
    seed = args.seed_of_rank_1 if shard.rank == 1 and args.seed_of_rank_1 is not None else args.seed
    splits = tfcass.Splits.load(args.splits)
    args.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(100 + shard.rank)  # Ranks start apart: only the broadcast makes them equal.
    model = keras.Sequential(
        [
            keras.layers.Input((16,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2),
        ]
    )
    optimizer = training.distributed_optimizer(keras.optimizers.Adam(5e-3), scale_learning_rate=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=args.jit)

    plan = f"{splits.digest} seed={seed}"
    checkpoint = training.Checkpoint(args.out / "checkpoint.npz", plan=plan)
    first = checkpoint.restore(model)
    journal = training.KeyJournal()
    steps = shard.steps(splits, "train", batch_size=args.batch)
    keys = training.epochs_of_keys(
        splits, "train", shard, batch_size=args.batch, epochs=args.epochs, seed=seed, first_epoch=first
    )
    train = (
        keys.map(lambda k: {"patch_id": k}).apply(journal.watch("patch_id")).map(lambda row: row_of(row["patch_id"]))
    )
    val_keys = shard.keys(splits, "val", epoch=0, seed=seed, remainder="uneven")
    val = tf.data.Dataset.from_tensor_slices(val_keys).batch(args.batch).map(row_of)
    log = training.TrainingLog(args.out / "history.json", rows_per_epoch=shard.size * shard.rows(splits, "train"))
    log.keep_until(first)

    history = model.fit(
        train.prefetch(2),
        steps_per_epoch=steps,
        validation_data=val,
        epochs=args.epochs,
        initial_epoch=first,
        verbose=0,
        shuffle=False,
        callbacks=[
            training.BroadcastInitialState(plan=plan),
            training.AverageStatistics(),
            training.AverageMetrics(train_rows=shard.rows(splits, "train"), val_rows=len(val_keys)),
            log,
            checkpoint,
            Accidents(args, shard.rank),
        ],
    )
    found = training.confusion(model, val, classes=2)
    weights = b"".join(np.asarray(v).tobytes() for v in training.ranks.state_variables(model))
    result = {
        "rank": shard.rank,
        "size": shard.size,
        "first": first,
        "history": history.history,
        "weights": hashlib.sha256(weights).hexdigest(),
        "learning_rate": float(model.optimizer.learning_rate.numpy()),
        "epochs": [[bytes(key).hex() for key in keys] for keys in journal.epochs(steps)],
        "confusion": found.matrix.tolist(),
        "whole_val": model.evaluate(*row_of(tf.constant(splits.keys("val"))), verbose=0),
    }
    (args.out / f"rank{shard.rank}.json").write_text(json.dumps(result))
    if shard.rank == 0:
        model.save(args.out / "model.keras")


def row_of(keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[b, 16] -> features and a class that can be learnt."""
    x = tf.cast(keys, tf.float32) / 128.0 - 1.0
    return x, tf.cast(x[:, 0] + x[:, 1] > 0, tf.int32)


class Accidents(keras.callbacks.Callback):
    def __init__(self, args: argparse.Namespace, rank: int) -> None:
        super().__init__()
        self._args, self._rank = args, rank

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._rank == 1 and batch == 2 and self._epoch == self._args.kill_rank_1_in:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch + 1


if __name__ == "__main__":
    main()
