"""The same training with tf.distribute.MultiWorkerMirroredStrategy instead of Horovod.

TF_CONFIG says who takes part; each worker is started by hand or by a cluster manager, with its own index:

    TF_CONFIG='{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}' \\
        python examples/train_multi_worker.py --port 9042 --keyspace patches --splits out/splits --out out/worker0

Shard.from_input_context(context) says which keys a worker reads. Keras's own model.fit does not work with this strategy
(Keras 3 takes a batch for a tensor before it is on its replica), hence the loop. Each worker writes history.json and
confusion.json to its --out, the same numbers on all; worker 0 also model.keras.
"""

import argparse
import sys

from train_patches import (
    add_data_arguments,
    add_training_arguments,
    check_labels,
    decoder,
    make_model,
)

from tfcass import scripts


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    scripts.add_cluster_flags(parser)
    add_data_arguments(parser)
    add_training_arguments(parser, out="out/multi_worker")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    import tfcass
    from tfcass import training

    scripts.use_threads(args.threads)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # First: it may only be made before TensorFlow is used.
    splits = tfcass.Splits.load(args.splits)
    check_labels(splits, args.classes)
    args.out.mkdir(parents=True, exist_ok=True)
    fetch = tfcass.fetch(f"{args.keyspace}.{args.table}", cluster=scripts.cluster_of(args))
    decode = decoder(fetch, splits.keys(args.train), args.image_size)
    size = strategy.num_replicas_in_sync

    def rows_of(split: str, epoch: int) -> tf.distribute.DistributedDataset:
        """Batches of (images, labels, weights). Padded, so that all workers make the same steps: the weight of what was
        repeated is 0."""

        def read(context: tf.distribute.InputContext) -> tf.data.Dataset:
            shard = tfcass.Shard.from_input_context(context)
            keys = shard.keys(splits, split, epoch=epoch, seed=args.seed, remainder="pad")
            weights = shard.weights(splits, split, remainder="pad")
            rows = tf.data.Dataset.from_tensor_slices(keys).batch(args.batch).apply(fetch).map(decode, tf.data.AUTOTUNE)
            batches = tf.data.Dataset.zip(rows, tf.data.Dataset.from_tensor_slices(weights).batch(args.batch))
            return batches.map(lambda row, weight: (*row, weight)).prefetch(2)

        return strategy.distribute_datasets_from_function(read)

    shard = tfcass.Shard(0, size)
    steps = shard.steps(splits, args.train, batch_size=args.batch, remainder="pad")
    # Not before: connecting draws from Python's random numbers as well.
    keras.utils.set_random_seed(args.seed)
    with strategy.scope():
        model = make_model(args.image_size, len(args.classes))
        rate = training.LinearScaling(args.learning_rate, size=size, warmup_steps=round(args.warmup_epochs * steps))
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(model.trainable_variables)

    def sums_of(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """[loss, hits, rows], padding left out."""
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        hits = tf.cast(tf.argmax(logits, 1, labels.dtype) == labels, tf.float32)
        return tf.stack([tf.reduce_sum(losses * weights), tf.reduce_sum(hits * weights), tf.reduce_sum(weights)])

    def train_replica(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        here = tf.distribute.get_replica_context()
        rows = here.all_reduce("SUM", tf.reduce_sum(weights))
        with tf.GradientTape() as tape:
            sums = sums_of(model(images, training=True), labels, weights)
            loss = sums[0] / rows  # Keras sums gradients over replicas: together that of the mean over all rows.
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return here.all_reduce("SUM", sums)

    def test_replica(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        logits = model(images, training=False)
        counts = tf.math.confusion_matrix(labels, tf.argmax(logits, 1), len(args.classes), weights, tf.float32)
        return tf.distribute.get_replica_context().all_reduce("SUM", counts)

    def share_replica() -> None:
        """The mean of what BatchNormalization learnt from the rows of each replica."""
        here = tf.distribute.get_replica_context()
        for variable in training.ranks.statistics(model):
            variable.assign(here.all_reduce("MEAN", tf.identity(variable.value)))

    @tf.function
    def train_step(batch):
        return strategy.experimental_local_results(strategy.run(train_replica, args=batch))[0]

    @tf.function
    def test_step(batch):
        return strategy.experimental_local_results(strategy.run(test_replica, args=batch))[0]

    @tf.function
    def share() -> None:
        strategy.run(share_replica)

    epochs = []
    for epoch in range(args.epochs):
        loss, hits, rows = sum(train_step(batch).numpy() for batch in rows_of(args.train, epoch))
        share()
        entry = {"epoch": epoch + 1, "loss": loss / rows, "accuracy": hits / rows, "rows": rows}
        epochs.append({name: float(value) for name, value in entry.items()})
        print(f"epoch {epoch + 1}: loss {loss / rows:.4f}, accuracy {hits / rows:.1%} of {rows:.0f} rows", flush=True)

    found = training.Confusion(sum(test_step(batch).numpy() for batch in rows_of(args.val, 0)).astype(np.int64))
    worker = strategy.cluster_resolver.task_id or 0
    scripts.write_json(args.out / "history.json", {"workers": size, "epochs": epochs})
    confusion = {"matrix": found.matrix.tolist(), "accuracy": found.accuracy, "majority": found.majority}
    scripts.write_json(args.out / "confusion.json", {"split": args.val, "classes": args.classes, **confusion})
    if worker == 0:
        model.save(args.out / "model.keras")
    print(f"{args.val}: accuracy {found.accuracy:.1%} over {found.rows} patches")


if __name__ == "__main__":
    sys.exit(scripts.run(main, parse_args()))
