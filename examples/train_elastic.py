"""Training that goes on when processes are lost, and with those that join, in the middle of an epoch.

    horovodrun -np 2 --min-np 1 --max-np 4 --host-discovery-script ./hosts.sh \\
        python examples/train_elastic.py --port 9042 --keyspace patches --splits out/splits

hosts.sh prints the machines there are now, one "host:slots" a line; horovodrun asks it each second. Every row of an
epoch counts exactly once, whatever happens: see tfcass/training/elastic.py. If all processes are lost, the same command
goes on from the last checkpoint in --out, on any number of processes.

Rank 0 writes history.json (loss, accuracy and rows of each epoch), confusion.json, model.keras and checkpoint.npz to
--out, and each process journal/<host>-<pid>.jsonl: training.committed_keys() reads from them which rows have counted.
"""

import argparse
import json
import os
import socket
import sys

from train_patches import (
    add_data_arguments,
    add_training_arguments,
    check_labels,
    decoder,
    make_model,
    use_precision,
)

from tfcass import scripts


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    scripts.add_cluster_flags(parser)
    add_data_arguments(parser)
    training = add_training_arguments(parser, out="out/elastic", warmup=False)
    training.add_argument("--commit-every", type=int, default=20, help="steps that the loss of a process costs at most")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    import tfcass
    from tfcass import sharding, training
    from tfcass.training import ranks

    scripts.use_threads(args.threads)
    use_precision(args.mixed_precision)
    splits = tfcass.Splits.load(args.splits)
    check_labels(splits, args.classes)
    (args.out / "journal").mkdir(parents=True, exist_ok=True)
    cluster, table = scripts.cluster_of(args), f"{args.keyspace}.{args.table}"
    fetch = tfcass.fetch(table, cluster=cluster)
    decode = decoder(fetch, splits.keys(args.train), args.image_size)

    # Not before: connecting draws from Python's random numbers as well.
    keras.utils.set_random_seed(args.seed)
    model = make_model(args.image_size, len(args.classes))
    optimizer = training.distributed_optimizer(keras.optimizers.Adam(args.learning_rate))
    totals = keras.Variable(np.zeros(3, np.float32), trainable=False)  # Loss, hits and rows of this epoch so far.
    plan = sharding.Plan(splits, args.train, seed=args.seed)
    checkpoint = training.Checkpoint(args.out / "checkpoint.npz", plan=plan)
    state = training.ElasticState(
        model,
        optimizer,
        plan,
        cursor=checkpoint.restore_cursor(model, optimizer=optimizer, more=[totals]),
        learning_rate=args.learning_rate,
        variables=[totals],
        journal=args.out
        / "journal"
        / f"{os.environ.get('HOROVOD_HOSTNAME', socket.gethostname())}-{os.getpid()}.jsonl",
    )
    hvd = ranks.horovod()  # None in a process of its own that no other joins.

    def rows_of(shard: tfcass.Shard, cursor: sharding.Cursor) -> tf.data.Dataset:
        rows = training.row_batches(
            plan,
            shard,
            table=table,
            cluster=cluster,
            batch_size=args.batch,
            epochs=cursor.epoch + 1,
            start=cursor,
            remainder="pad",
        )
        return rows.map(with_images, tf.data.AUTOTUNE).prefetch(2)

    def with_images(row):
        images, labels = decode(row)
        return {"patch_id": row["patch_id"], "images": images, "labels": labels, "weights": row["weight"]}

    def mean_over_ranks(value, name: str):
        return value if hvd is None else hvd.allreduce(value, op=hvd.Average, name=name)

    def sum_over_ranks(value, name: str):
        return value if hvd is None else hvd.allreduce(value, op=hvd.Sum, name=name)

    @tf.function(reduce_retracing=True)
    def train_step(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> None:
        rows = tf.reduce_sum(weights)
        rows_of_a_rank = mean_over_ranks(rows, "rows")
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            loss = tf.reduce_sum(losses * weights)
            # Averaged over ranks, this is the gradient of the mean over the rows of all of them.
            scaled = optimizer.scale_loss(loss / rows_of_a_rank)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(scaled, [variable.value for variable in variables]), variables)
        hits = tf.reduce_sum(tf.cast(tf.argmax(logits, 1, labels.dtype) == labels, tf.float32) * weights)
        totals.assign_add(sum_over_ranks(tf.stack([loss, hits, rows]), "totals"))

    def end_epoch(epoch: int) -> None:
        ranks.average_variables(ranks.statistics(model), name="statistics")
        loss, hits, rows = (float(value) for value in totals.numpy())
        totals.assign(np.zeros(3, np.float32))
        if ranks.is_first():
            entry = {"epoch": epoch + 1, "loss": loss / rows, "accuracy": hits / rows, "rows": int(rows)}
            add_to_history(args.out / "history.json", entry)
            print(f"epoch {epoch + 1}: loss {loss / rows:.4f}, accuracy {hits / rows:.1%} of {rows:.0f}", flush=True)

    def train(state: training.ElasticState) -> None:
        shard = tfcass.Shard.from_horovod()
        at = f"epoch {state.cursor.epoch + 1} after {state.cursor.samples} of {plan.samples} rows"
        print(f"rank {shard.rank} of {shard.size} goes on in {at}", flush=True)
        for batch in state.batches(
            rows_of,
            batch_size=args.batch,
            epochs=args.epochs,
            commit_every=args.commit_every,
            epoch_end=end_epoch,
            save=lambda cursor: checkpoint.save(model, cursor, optimizer=optimizer, more=[totals]),
        ):
            train_step(batch["images"], batch["labels"], batch["weights"])
        keys = tfcass.Shard.from_horovod().keys(splits, args.val, epoch=0, seed=args.seed, remainder="uneven")
        val = tf.data.Dataset.from_tensor_slices(keys).batch(args.batch).apply(fetch).map(decode, tf.data.AUTOTUNE)
        found = training.confusion(model, val, classes=len(args.classes))
        if ranks.is_first():
            model.save(args.out / "model.keras")
            confusion = {"matrix": found.matrix.tolist(), "accuracy": found.accuracy, "majority": found.majority}
            scripts.write_json(args.out / "confusion.json", {"split": args.val, "classes": args.classes, **confusion})
            print(f"{args.val}: accuracy {found.accuracy:.1%} over {found.rows} patches")

    training.run_elastic(train, state)


def add_to_history(path, entry: dict) -> None:
    """Adds an epoch's entry, in place of one that was written before its commit failed."""
    before = json.loads(path.read_text())["epochs"] if path.exists() else []
    scripts.write_json(path, {"epochs": [*(other for other in before if other["epoch"] < entry["epoch"]), entry]})


if __name__ == "__main__":
    sys.exit(scripts.run(main, parse_args()))
