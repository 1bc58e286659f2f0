"""A training loop of one's own on one process or many: every row of an epoch counts once, ranks may end apart.

    horovodrun -np 2 --gloo python examples/train_custom_loop.py --port 9042 --keyspace patches --splits out/splits

Where train_patches.py leaves out the rows that do not divide by the ranks, here the first ranks read one row more,
which may be one step more. A rank that is done waits in join() and takes part in the exchanges of the others with
zeros. The gradient of a step is the sum over the rows of all ranks by their number: exact for any mixture of batches.

Rank 0 writes history.json (loss and accuracy of each epoch over all rows), confusion.json and model.keras to --out.
"""

import argparse
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
    add_training_arguments(parser, out="out/custom_loop")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    import tfcass
    from tfcass import training
    from tfcass.training import ranks

    shard = tfcass.Shard.from_horovod()
    scripts.use_threads(args.threads)
    use_precision(args.mixed_precision)
    splits = tfcass.Splits.load(args.splits)
    check_labels(splits, args.classes)
    args.out.mkdir(parents=True, exist_ok=True)
    fetch = tfcass.fetch(f"{args.keyspace}.{args.table}", cluster=scripts.cluster_of(args))
    decode = decoder(fetch, splits.keys(args.train), args.image_size)

    def rows_of(split: str, epoch: int) -> tf.data.Dataset:
        keys = shard.keys(splits, split, epoch=epoch, seed=args.seed, remainder="uneven")
        batches = tf.data.Dataset.from_tensor_slices(keys).batch(args.batch)
        return batches.apply(fetch).map(decode, tf.data.AUTOTUNE).prefetch(2)

    # Not before: connecting draws from Python's random numbers as well. Each rank has dropout and flips of its own.
    keras.utils.set_random_seed(args.seed + shard.rank)
    model = make_model(args.image_size, len(args.classes))
    most_steps = tfcass.Shard(0, shard.size).steps(splits, args.train, batch_size=args.batch, remainder="uneven")
    rate = training.LinearScaling(
        args.learning_rate, size=shard.size, warmup_steps=round(args.warmup_epochs * most_steps)
    )
    optimizer = keras.optimizers.Adam(rate)  # A plain one: the tape sums over ranks.
    if args.mixed_precision:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    ranks.broadcast_variables([*model.trainable_variables, *ranks.statistics(model), *optimizer.variables])

    hvd = ranks.horovod()  # None in a process of its own.
    spec = rows_of(args.train, 0).element_spec

    # One signature, so that a smaller last batch traces nothing anew: names of exchanges must be the same on all ranks.
    @tf.function(input_signature=spec)
    def train_step(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        tape = tf.GradientTape() if hvd is None else hvd.DistributedGradientTape(tf.GradientTape(), op=hvd.Sum)
        with tape:
            logits = model(images, training=True)
            loss = tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
            scaled = optimizer.scale_loss(loss)
        rows = tf.cast(tf.shape(images)[0], tf.float32)
        rows = rows if hvd is None else hvd.allreduce(rows, op=hvd.Sum, name="rows")
        sums = tape.gradient(scaled, [variable.value for variable in model.trainable_variables])
        # Infinities of float16 are in the sums of all ranks, so that all leave out the same steps.
        optimizer.apply([grad / rows for grad in sums], model.trainable_variables)
        hits = tf.reduce_sum(tf.cast(tf.argmax(logits, 1, labels.dtype) == labels, tf.float32))
        return loss, hits

    epochs = []
    for epoch in range(args.epochs):
        sums = np.zeros(3)
        steps = 0
        for images, labels in rows_of(args.train, epoch):
            loss, hits = train_step(images, labels)
            sums += [float(loss), float(hits), len(labels)]
            steps += 1
        ranks.join([*model.trainable_variables, *optimizer.variables])
        ranks.average_variables(ranks.statistics(model), name="statistics")
        loss, hits, rows = ranks.sum_over_ranks(sums, name="metrics")
        entry = {"epoch": epoch + 1, "loss": loss / rows, "accuracy": hits / rows, "rows": int(rows)}
        epochs.append({**entry, "steps": ranks.of_all(steps)})
        if ranks.is_first():
            print(
                f"epoch {epoch + 1}: loss {loss / rows:.4f}, accuracy {hits / rows:.1%} of {rows:.0f} rows", flush=True
            )

    found = training.confusion(model, rows_of(args.val, 0), classes=len(args.classes))
    weights = [float(sum(np.abs(weight).sum() for weight in model.get_weights()))]
    same = len(set(map(tuple, ranks.of_all(weights)))) == 1
    if ranks.is_first():
        model.save(args.out / "model.keras")
        scripts.write_json(args.out / "history.json", {"epochs": epochs, "same_weights_on_all_ranks": same})
        confusion = {"matrix": found.matrix.tolist(), "accuracy": found.accuracy, "majority": found.majority}
        scripts.write_json(args.out / "confusion.json", {"split": args.val, "classes": args.classes, **confusion})
        print(f"{args.val}: accuracy {found.accuracy:.1%} over {found.rows} patches")


if __name__ == "__main__":
    sys.exit(scripts.run(main, parse_args()))
