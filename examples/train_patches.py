"""Trains a patch classifier on saved splits, on one process or many.

    python examples/train_patches.py --port 9042 --keyspace patches --splits out/splits --out out/training
    horovodrun -np 2 --gloo python examples/train_patches.py ... (the same)

Each rank reads its own part of the train split straight from Cassandra, another global shuffle each epoch. A run that
was stopped goes on from its checkpoint when it is started again with the same --out: with the next epoch, or with
--checkpoint-steps in the middle of one, on as many processes as there are then. What is told of such an epoch is told
of the rest of it.

Rank 0 writes to --out
  history.json     {"epochs": [{"epoch": 1, "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "rows_per_s"}]}
  confusion.json   {"split": "val", "classes", "matrix": [[...], ...], "accuracy", "majority"}: rows are the truth
  summary.json     rows/s, steps, time, settings
  model.keras      the model: uint8 [n, size, size, 3] -> logits [n, classes]
  checkpoint.npz   where the next run goes on
and each rank
  ranks/rank<r>.json   number and digest of the keys that it read in each epoch; --record-keys adds the keys, as .npy
"""

import argparse
import sys
import time
from pathlib import Path

from tfcass import scripts


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    scripts.add_cluster_flags(parser)
    add_data_arguments(parser)
    training = add_training_arguments(parser, out="out/training")
    training.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from the checkpoint"
    )
    training.add_argument("--checkpoint-steps", type=int, help="steps between checkpoints; default: an epoch")
    training.add_argument("--record-keys", action="store_true", help="keep the keys that each rank read")
    training.add_argument("--profile", type=Path, help="folder for a trace of steps 11 to 20: see docs/profiling.md")
    return parser.parse_args(argv)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("--keyspace", default="patches")
    data.add_argument("--table", default="data_by_uuid", help="table of the images: JPEG, PNG, TIFF in column 'data'")
    data.add_argument("--splits", type=Path, default=Path("out/splits"), help="folder of Splits.save()")
    data.add_argument("--train", default="train", help="split to train on")
    data.add_argument("--val", default="val", help="split to validate on")
    data.add_argument("--classes", nargs="+", default=["normal", "tumor"], help="names of the labels 0, 1, ...")


def add_training_arguments(parser: argparse.ArgumentParser, *, out: str, warmup: bool = True):
    training = parser.add_argument_group("training")
    training.add_argument("--out", type=Path, default=Path(out))
    training.add_argument("--epochs", type=int, default=6)
    training.add_argument("--batch", type=int, default=32, help="rows per step and rank")
    training.add_argument("--image-size", type=int, default=128, help="pixels; patches are resized to this")
    training.add_argument(
        "--learning-rate", type=float, default=1e-3, help="of one rank: multiplied by the number of ranks"
    )
    if warmup:
        training.add_argument(
            "--warmup-epochs", type=float, default=0, help="until the learning rate is that of all ranks; 0: at once"
        )
    training.add_argument(
        "--mixed-precision", action="store_true", help="compute in float16 where the weights stay float32"
    )
    training.add_argument("--seed", type=int, default=1)
    training.add_argument("--threads", type=int, default=0, help="threads of this process; 0: its share of the cores")
    return training


def main(args: argparse.Namespace) -> None:
    import keras
    import tensorflow as tf

    import tfcass
    from tfcass import sharding, training

    began_s = time.perf_counter()
    shard = tfcass.Shard.from_horovod()
    scripts.use_threads(args.threads)
    use_precision(args.mixed_precision)
    splits = tfcass.Splits.load(args.splits)
    check_labels(splits, args.classes)
    (args.out / "ranks").mkdir(parents=True, exist_ok=True)
    cluster = scripts.cluster_of(args)
    fetch = tfcass.fetch(f"{args.keyspace}.{args.table}", cluster=cluster)
    decode = decoder(fetch, splits.keys(args.train), args.image_size)

    # Not before: connecting draws from Python's random numbers as well.
    keras.utils.set_random_seed(args.seed)
    model = make_model(args.image_size, len(args.classes))
    steps = shard.steps(splits, args.train, batch_size=args.batch)
    rate = args.learning_rate
    if args.warmup_epochs:
        rate = training.LinearScaling(rate, size=shard.size, warmup_steps=round(args.warmup_epochs * steps))
    optimizer = training.distributed_optimizer(keras.optimizers.Adam(rate), scale_learning_rate=not args.warmup_epochs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)

    plan = sharding.Plan(splits, args.train, seed=args.seed)
    checkpoint = training.Checkpoint(
        args.out / "checkpoint.npz", plan=plan, every_steps=args.checkpoint_steps, batch_size=args.batch
    )
    cursor = checkpoint.restore_cursor(model) if args.resume else plan.cursor()
    first, steps_of_first = cursor.epoch, shard.part(plan, cursor, batch_size=args.batch).steps
    log = training.TrainingLog(args.out / "history.json", rows_per_epoch=shard.size * shard.rows(splits, args.train))
    log.keep_until(first)
    if shard.rank == 0 and cursor != plan.cursor():
        within = f" and {cursor.samples} of {plan.samples} rows of the next" if cursor.samples else ""
        print(f"going on after epoch {first}{within} of {args.out}", flush=True)

    journal = training.KeyJournal()
    # Uneven: validation needs no equal steps, so each row is counted once.
    val_keys = shard.keys(splits, args.val, epoch=0, seed=args.seed, remainder="uneven")
    val = (
        tf.data.Dataset.from_tensor_slices(val_keys)
        .batch(args.batch)
        .apply(fetch)
        .map(decode, tf.data.AUTOTUNE)
        .prefetch(2)
    )
    profile = [training.Profile(args.profile)] if args.profile else []

    with training.StopOnInterrupt() as stop:
        while True:  # Once, or twice if it goes on in the middle of an epoch: that has fewer steps.
            part = shard.part(plan, cursor, batch_size=args.batch)
            last = cursor.epoch + 1 if cursor.samples else max(cursor.epoch, args.epochs)
            keys = training.key_batches(plan, shard, batch_size=args.batch, epochs=last, start=cursor)
            train = keys.apply(fetch).apply(journal.watch("patch_id")).map(decode, tf.data.AUTOTUNE).prefetch(2)
            model.fit(
                train,
                steps_per_epoch=part.steps,
                validation_data=val,
                epochs=last,
                initial_epoch=cursor.epoch,
                shuffle=False,  # The keys are shuffled, over all ranks.
                verbose=2 if shard.rank == 0 else 0,
                callbacks=[
                    training.BroadcastInitialState(plan),
                    training.AverageStatistics(),
                    training.AverageMetrics(train_rows=part.rows, val_rows=len(val_keys)),
                    log,
                    checkpoint.begin_at(cursor),
                    *profile,
                    stop,
                ],
            )
            cursor = plan.cursor(last)
            if last >= args.epochs:
                break
    found = training.confusion(model, val, classes=len(args.classes))

    write_rank(args, shard, journal.epochs(steps, first=steps_of_first), first)
    if shard.rank == 0:
        model.save(args.out / "model.keras")
        confusion = {"matrix": found.matrix.tolist(), "accuracy": found.accuracy, "majority": found.majority}
        scripts.write_json(args.out / "confusion.json", {"split": args.val, "classes": args.classes, **confusion})
        ran = [entry for entry in log.epochs if entry["epoch"] > first]
        summary = {
            "ranks": shard.size,
            "train_rows": shard.size * shard.rows(splits, args.train),
            "val_rows": found.rows,
            "epochs": args.epochs,
            "first_epoch": first + 1,
            "steps_per_epoch": steps,
            "batch": args.batch,
            "image_size": args.image_size,
            "seconds": round(time.perf_counter() - began_s, 1),
            "rows_per_s": round(sum(entry["rows_per_s"] for entry in ran) / len(ran), 1) if ran else None,
            "splits": splits.digest,
        }
        scripts.write_json(args.out / "summary.json", summary)
        beaten = f"always the most frequent class: {found.majority:.1%}"
        print(f"{args.val}: accuracy {found.accuracy:.1%} over {found.rows} patches ({beaten})")


def use_precision(mixed: bool) -> None:
    """Before the model and the optimizer are made: both look at it."""
    import keras

    keras.mixed_precision.set_global_policy("mixed_float16" if mixed else "float32")


def check_labels(splits, classes: list[str]) -> None:
    import tfcass

    outside = [label for label in splits.classes if label not in range(len(classes))]
    if outside:
        raise tfcass.SplitError(
            f"label {outside[0]!r} is not in [0, {len(classes)}): name all labels, as --classes normal tumor"
        )


def decoder(fetch, keys, size: int):
    """row -> (uint8 [b, size, size, 3], int32 [b]), for images like that of the first key.

    Reading one tells what is wrong with the table, or with its images, before training.
    """
    import tensorflow as tf

    from tfcass import images

    first = next(iter(tf.data.Dataset.from_tensor_slices(keys[:1]).apply(fetch)))
    decode = images.batch_decoder(first["data"].numpy(), size)
    return lambda row: (decode(row["data"]), row["label"])


def make_model(size: int, classes: int):
    """Four convolutions and a global mean: 160,000 weights, enough for tissue texture and quick on a CPU.

    Augmentation is part of the model: its random state is in the checkpoint, so a resumed run flips as it would have.
    """
    import keras

    x = inputs = keras.layers.Input((size, size, 3), dtype="uint8")
    x = keras.layers.RandomFlip("horizontal_and_vertical")(x)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
    for filters in (24, 48, 96, 128):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)  # Follows within an epoch of some dozen steps.
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32")(x))


def write_rank(args: argparse.Namespace, shard, keys_of_epochs, first: int) -> None:
    import numpy as np

    from tfcass.training.journal import keys_digest

    epochs = []
    for epoch, keys in enumerate(keys_of_epochs, start=first + 1):
        epochs.append({"epoch": epoch, "keys": len(keys), "sha256": keys_digest(keys)})
        if args.record_keys:
            np.save(args.out / "ranks" / f"rank{shard.rank}-epoch{epoch}.npy", keys)
    scripts.write_json(
        args.out / "ranks" / f"rank{shard.rank}.json", {"rank": shard.rank, "size": shard.size, "epochs": epochs}
    )


if __name__ == "__main__":
    sys.exit(scripts.run(main, parse_args()))
