"""Trains in float16 by model.fit with padding, warm-up and checkpoints in the middle of epochs.

Run by horovodrun or alone. In the third step of the first epoch rank 1 gets numbers that float16 does not hold. With
--kill, rank 1 is killed in the seventh step of the second epoch. Each rank writes epoch<e>-rank<r>.json at the end of
each epoch: its weights' digest, loss scale, iterations, learning rate; rank<r>.json: where it began, the keys it read.
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
from tests.support.train_numbers import row_of
from tfcass import training
from tfcass.sharding import Plan

BATCH, EPOCHS, RATE = 8, 2, 0.01


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--splits", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kill", action="store_true")
    args = parser.parse_args()

    shard = tfcass.Shard.from_horovod()
    keras.mixed_precision.set_global_policy("mixed_float16")
    keras.utils.set_random_seed(shard.rank)
    plan = Plan(tfcass.Splits.load(args.splits), "train", seed=3)
    model = keras.Sequential(
        [keras.layers.Input((16,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2, dtype="float32")]
    )
    steps = shard.part(plan, batch_size=BATCH, remainder="pad").steps
    rate = training.LinearScaling(RATE, size=shard.size, warmup_steps=steps)
    optimizer = training.distributed_optimizer(keras.optimizers.SGD(rate))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, weighted_metrics=["accuracy"], jit_compile=False)

    checkpoint = training.Checkpoint(
        args.out / "checkpoint.npz", plan=plan, every_steps=4, batch_size=BATCH, remainder="pad"
    )
    began = cursor = checkpoint.restore_cursor(model)
    journal = training.KeyJournal()
    while cursor.epoch < EPOCHS:
        part = shard.part(plan, cursor, batch_size=BATCH, remainder="pad")
        last = cursor.epoch + 1 if cursor.samples else EPOCHS
        parts = [part, *(shard.part(plan, plan.cursor(e), remainder="pad") for e in range(cursor.epoch + 1, last))]
        rows = tf.data.Dataset.from_generator(
            lambda parts=parts: batches_of(parts),
            output_signature={
                "patch_id": tf.TensorSpec([None, 16], tf.uint8),
                "weight": tf.TensorSpec([None], tf.float32),
                "scale": tf.TensorSpec([], tf.float32),
            },
        )
        model.fit(
            rows.apply(journal.watch("patch_id")).map(with_numbers),
            steps_per_epoch=part.steps,
            initial_epoch=cursor.epoch,
            epochs=last,
            shuffle=False,
            verbose=0,
            callbacks=[
                training.BroadcastInitialState(plan),
                checkpoint.begin_at(cursor),
                Notes(args, shard),
            ],
        )
        cursor = plan.cursor(last)
    result = {"began": [began.epoch, began.samples], "read": [bytes(k).hex() for b in journal._batches for k in b]}
    (args.out / f"rank{shard.rank}.json").write_text(json.dumps(result))


def batches_of(parts):
    for part in parts:
        for first in range(0, part.rows, BATCH):
            last = min(first + BATCH, part.rows)
            too_large = part.shard.rank == 1 and part.cursor.epoch == 0 and first == 2 * BATCH
            yield {
                "patch_id": part.keys(first, last),
                "weight": part.weights(first, last),
                "scale": np.float32(1e30 if too_large else 1),
            }


def with_numbers(row: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    x, y = row_of(row["patch_id"])
    return x * row["scale"], y, row["weight"]


class Notes(keras.callbacks.Callback):
    def __init__(self, args: argparse.Namespace, shard: tfcass.Shard) -> None:
        super().__init__()
        self._args, self._rank, self._epoch = args, shard.rank, 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._args.kill and self._rank == 1 and (self._epoch, batch) == (1, 6):
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        optimizer = self.model.optimizer
        weights = [np.asarray(weight) for weight in self.model.get_weights()]
        note = {
            "weights": hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest(),
            "finite": bool(all(np.isfinite(weight).all() for weight in weights)),
            "scale": float(optimizer.dynamic_scale),
            "iterations": int(optimizer.iterations),
            "learning_rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate)),
        }
        (self._args.out / f"epoch{epoch + 1}-rank{self._rank}.json").write_text(json.dumps(note))


if __name__ == "__main__":
    main()
