"""Trains a classifier of patches that may be of several classes at once.

    python examples/train_multilabel.py --port 9042 --keyspace wsi --label-columns tumor necrosis stroma --out out/multi
    python examples/train_multilabel.py ... --label-columns findings --classes tumor necrosis stroma
    horovodrun -np 2 --gloo python examples/train_multilabel.py ... (the same)

Labels are columns of the data table, in one of three forms:
  several columns            int, boolean or float: of the class if above 0; the columns' names are the classes
  one int column             a bitmask: bit 0 is the first of --classes
  one text column            a list of names, as in "tumor;necrosis"; "" is none

Of the train split, images are flipped, turned and changed in colour (--augment strong|light|none), by (seed, epoch,
UUID): the same on any number of processes. Labels are smoothed (--label-smoothing). A run that was stopped goes on with
the next epoch when it is started again with the same --out.

Rank 0 writes to --out
  history.json     loss and val_loss of each epoch
  auc.json         {"split": "val", "auc": {"tumor": 0.97, ...}, "mean", "rows", "positive": {"tumor": 120, ...}}
  model.keras      uint8 [n, size, size, 3] -> logits [n, classes]; predict_slide.py --activation sigmoid takes it
  checkpoint.npz   where the next run goes on
"""

import argparse
import sys
from pathlib import Path

from tfcass import scripts
from tfcass.errors import OptionError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    scripts.add_cluster_flags(parser)
    data = parser.add_argument_group("data")
    data.add_argument("--keyspace", default="patches")
    data.add_argument("--table", default="data_by_uuid", help="images in column 'data', and the labels")
    data.add_argument("--label-columns", nargs="+", default=["label"], help="see above")
    data.add_argument("--classes", nargs="+", help="names of the classes; default: the columns")
    data.add_argument("--splits", type=Path, default=Path("out/splits"), help="folder of Splits.save()")
    data.add_argument("--train", default="train", help="split to train on")
    data.add_argument("--val", default="val", help="split to validate on")
    fit = parser.add_argument_group("training")
    fit.add_argument("--out", type=Path, default=Path("out/multilabel"))
    fit.add_argument("--epochs", type=int, default=10)
    fit.add_argument("--batch", type=int, default=32, help="rows per step and rank")
    fit.add_argument("--image-size", type=int, default=128, help="pixels; patches are resized to this")
    fit.add_argument("--learning-rate", type=float, default=1e-3, help="of one rank: multiplied by the number of ranks")
    fit.add_argument("--label-smoothing", type=float, default=0.05, help="0 becomes half of this, 1 as much less")
    fit.add_argument("--augment", choices=["strong", "light", "none"], default="light", help="of the train split")
    fit.add_argument("--seed", type=int, default=1)
    fit.add_argument("--threads", type=int, default=0, help="threads of this process; 0: its share of the cores")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    import tfcass
    from tfcass import images, training
    from tfcass.training import ranks

    if not 0 <= args.label_smoothing < 1:
        raise OptionError(f"--label-smoothing {args.label_smoothing} is not in [0, 1)")
    shard = tfcass.Shard.from_horovod()
    scripts.use_threads(args.threads)
    splits = tfcass.Splits.load(args.splits)
    fetch = tfcass.fetch(
        f"{args.keyspace}.{args.table}", cluster=scripts.cluster_of(args), columns=(*args.label_columns, "data")
    )
    first_row = next(iter(tf.data.Dataset.from_tensor_slices(splits.keys(args.train)[:1]).apply(fetch)))
    classes, labels_of = label_reader(args.label_columns, args.classes, first_row)
    decode = images.batch_decoder(first_row["data"].numpy(), args.image_size)
    steps = shard.steps(splits, args.train, batch_size=args.batch)

    keras.utils.set_random_seed(args.seed)  # Not before: connecting draws from Python's random numbers as well.
    model = make_model(args.image_size, len(classes))
    optimizer = training.distributed_optimizer(keras.optimizers.Adam(args.learning_rate), scale_learning_rate=True)
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=args.label_smoothing)
    model.compile(optimizer, loss, jit_compile=False)

    plan = f"{splits.digest} multilabel {' '.join(classes)} train={args.train} seed={args.seed}"
    checkpoint = training.Checkpoint(args.out / "checkpoint.npz", plan=plan)
    scripts.make_folder(args.out)
    first = checkpoint.restore(model)
    log = training.TrainingLog(args.out / "history.json", rows_per_epoch=shard.size * shard.rows(splits, args.train))
    log.keep_until(first)

    keys = training.epochs_of_keys(
        splits,
        args.train,
        shard,
        batch_size=args.batch,
        epochs=max(first, args.epochs),
        seed=args.seed,
        first_epoch=first,
    )
    augment = augmentations(args.seed)[args.augment]

    def of_train(step: tf.Tensor, row: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = decode(row["data"])
        if augment is not None:
            pixels = augment(pixels, row["patch_id"], step // steps)
        return tf.ensure_shape(pixels, [None, args.image_size, args.image_size, 3]), labels_of(row)

    def of_val(row):
        return decode(row["data"]), labels_of(row)

    # Counted from the first epoch of all, so that a resumed run changes images as it would have.
    train = keys.apply(fetch).enumerate(first * steps).map(of_train, tf.data.AUTOTUNE).prefetch(2)
    val_keys = shard.keys(splits, args.val, epoch=0, seed=args.seed, remainder="uneven")
    val_rows = tf.data.Dataset.from_tensor_slices(val_keys).batch(args.batch).apply(fetch)
    val = val_rows.map(of_val, tf.data.AUTOTUNE).prefetch(2)

    with training.StopOnInterrupt() as stop:
        model.fit(
            train,
            steps_per_epoch=steps,
            validation_data=val,
            epochs=args.epochs,
            initial_epoch=first,
            shuffle=False,  # The keys are shuffled, over all ranks.
            verbose=2 if shard.rank == 0 else 0,
            callbacks=[
                training.BroadcastInitialState(plan=plan),
                training.AverageStatistics(),
                training.AverageMetrics(train_rows=shard.rows(splits, args.train), val_rows=len(val_keys)),
                log,
                checkpoint,
                stop,
            ],
        )
    # Ranks score their own rows; the order of all scores together is what AUC is about.
    scored = [(model(pixels, training=False).numpy(), labels.numpy()) for pixels, labels in val]
    parts = ranks.of_all([np.concatenate(part) for part in zip(*scored, strict=True)])
    scores, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
    if shard.rank == 0:
        model.save(args.out / "model.keras")
        found = training.auc_of_classes(truth, scores)
        auc = {name: None if np.isnan(value) else float(value) for name, value in zip(classes, found, strict=True)}
        known = [value for value in auc.values() if value is not None]
        positive = dict(zip(classes, truth.sum(axis=0).astype(int).tolist(), strict=True))
        mean = sum(known) / len(known) if known else None
        result = {"split": args.val, "auc": auc, "mean": mean, "rows": len(truth), "positive": positive}
        scripts.write_json(args.out / "auc.json", result)
        for name, value in auc.items():
            told = "none: all rows are alike" if value is None else f"{value:.3f}"
            print(f"{args.val}: {name}: AUC {told} ({positive[name]} of {len(truth)} patches)")


def label_reader(columns: list[str], classes: list[str] | None, row):
    """Class names, and row -> float32 [b, classes], for rows whose label columns are as in `row`."""
    import tensorflow as tf

    dtypes = {column: row[column].dtype for column in columns}
    if len(columns) > 1:
        if classes and len(classes) != len(columns):
            raise OptionError(f"--classes names {len(classes)} classes for {len(columns)} label columns")
        if tf.string in dtypes.values():
            raise OptionError(
                f"label columns {', '.join(columns)} must be numbers or booleans; a list of names is one column"
            )
        return list(classes or columns), lambda row: tf.stack(
            [tf.cast(tf.cast(row[column], tf.float32) > 0, tf.float32) for column in columns], axis=1
        )
    (column,) = columns
    if not classes:
        raise OptionError(f"--classes must name what the one label column {column!r} holds")
    if dtypes[column] == tf.string:
        return classes, lambda row: labels_of_names(row[column], classes)
    if not dtypes[column].is_integer:
        raise OptionError(
            f"label column {column!r} is {dtypes[column].name}: a bitmask is an int, a list of names a text"
        )
    return classes, lambda row: labels_of_bits(row[column], len(classes))


def labels_of_bits(bits, classes: int):
    """int [b] -> float32 [b, classes]; a bit that is no class is an error of the pipeline."""
    import tensorflow as tf

    bits = tf.cast(bits, tf.int64)
    known = tf.debugging.Assert(
        tf.reduce_all((bits >= 0) & (bits < 2**classes)),
        [tf.strings.format(f"a label of this batch has bits beyond the {classes} classes: {{}}", bits)],
    )
    with tf.control_dependencies([known] if known is not None else []):
        return tf.cast(tf.bitwise.right_shift(bits[:, None], tf.range(classes, dtype=tf.int64)) & 1, tf.float32)


def labels_of_names(names, classes: list[str]):
    """string [b], names with ";" between them -> float32 [b, classes]; an unknown name is an error of the pipeline."""
    import tensorflow as tf

    each = tf.strings.strip(tf.strings.split(names, ";").to_tensor(""))  # [b, most names]
    hits = tf.equal(each[:, :, None], tf.constant(classes))
    strange = tf.boolean_mask(each, ~(tf.reduce_any(hits, axis=2) | tf.equal(each, "")))
    known = tf.debugging.Assert(
        tf.equal(tf.size(strange), 0),
        [tf.strings.format(f"labels name {{}}, which is not one of {', '.join(classes)}", strange)],
    )
    with tf.control_dependencies([known] if known is not None else []):
        return tf.cast(tf.reduce_any(hits, axis=1), tf.float32)


def augmentations(seed: int):
    """What may happen to images of a split, by name; validation has none of it."""
    import keras
    import tensorflow as tf

    from tfcass import training

    def hue(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.image.stateless_random_hue(image, 0.04, seed)

    def saturation(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.image.stateless_random_saturation(image, 0.8, 1.25, seed)

    # Keras layers and functions of tf.image go together: each gets a seed of its own for each image.
    light = training.Augmentation(shape=[keras.layers.RandomFlip()], seed=seed)
    strong = training.Augmentation(
        shape=[keras.layers.RandomFlip(), keras.layers.RandomRotation(0.25, fill_mode="reflect")],
        colour=[hue, saturation, keras.layers.RandomContrast(0.2)],
        seed=seed,
    )
    return {"strong": strong, "light": light, "none": None}


def make_model(size: int, classes: int):
    """Four convolutions and a global mean; one output a class, each for itself."""
    import keras

    x = inputs = keras.layers.Input((size, size, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(x)
    for filters in (24, 48, 96, 128):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32")(x))


if __name__ == "__main__":
    sys.exit(scripts.run(main, parse_args()))
