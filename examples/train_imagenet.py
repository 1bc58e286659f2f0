"""Trains an image classifier as is usual for ImageNet, on tables that beam_pipelines.ingest_images made.

    python -m beam_pipelines.ingest_images --images imagenet/train --subset train --keyspace imagenet --output out/train
    python -m beam_pipelines.ingest_images --images imagenet/val --subset val --keyspace imagenet --output out/val \
        --classes out/train/classes.csv
    horovodrun -np 2 --gloo python examples/train_imagenet.py --keyspace imagenet --model ResNet50 --out out/imagenet
    python examples/train_imagenet.py ... (the same, on one process)

Where images have subsets `train` and `val`, these are the splits; else --val-share of each class is set aside. Of train
images a random box is cut and flipped; the learning rate grows over --warmup-epochs to --learning-rate * images of a
step / 256, and falls to 0 in a cosine; labels are smoothed. A run that was stopped goes on with the next epoch when it
is started again with the same --out. TIFF instead of JPEG: --table data_by_uuid_tiff.

Rank 0 writes to --out
  history.json     loss, top1, top5, val_loss, val_top1, val_top5 of each epoch
  summary.json     ranks, rows, classes, rows/s, the last val_top1 and val_top5
  splits/          what was trained and validated on, as Splits.save() writes it
  model.keras      uint8 [n, size, size, 3] -> logits [n, classes]
  checkpoint.npz   where the next run goes on
"""

import argparse
import sys
from pathlib import Path

from tfcass import scripts
from tfcass.errors import OptionError, TfcassError

BASE_BATCH = 256  # Images of a step that --learning-rate is meant for (arXiv:1706.02677).


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    scripts.add_cluster_flags(parser)
    data = parser.add_argument_group("data")
    data.add_argument("--keyspace", default="imagenet")
    data.add_argument("--metadata-table", default="images_by_class", help="patch_id, label, class_name, subset")
    data.add_argument("--table", default="data_by_uuid", help="table of the images")
    data.add_argument("--val-share", type=float, default=0.05, help="of each class, where there are no subsets")
    fit = parser.add_argument_group("training")
    fit.add_argument("--out", type=Path, default=Path("out/imagenet"))
    fit.add_argument("--model", default="ResNet50", help="a network of keras.applications, or 'small' to try things")
    fit.add_argument("--epochs", type=int, default=90)
    fit.add_argument("--batch", type=int, default=64, help="rows per step and rank")
    fit.add_argument("--image-size", type=int, default=224, help="pixels")
    fit.add_argument(
        "--learning-rate", type=float, default=0.1, help=f"for {BASE_BATCH} images a step; scaled to yours"
    )
    fit.add_argument("--warmup-epochs", type=float, default=5)
    fit.add_argument("--weight-decay", type=float, default=1e-4)
    fit.add_argument("--label-smoothing", type=float, default=0.1)
    fit.add_argument("--smallest-crop", type=float, default=0.08, help="share of an image that is left at least")
    fit.add_argument("--seed", type=int, default=1)
    fit.add_argument("--threads", type=int, default=0, help="threads of this process; 0: its share of the cores")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    import keras
    import tensorflow as tf

    import tfcass
    from tfcass import images, training

    shard = tfcass.Shard.from_horovod()
    scripts.use_threads(args.threads)
    cluster = scripts.cluster_of(args)
    rows = tfcass.read_rows(
        f"{args.keyspace}.{args.metadata_table}", cluster=cluster, columns=["patch_id", "label", "subset"]
    )
    splits = make_splits(rows, args)  # The same on every rank: a function of the rows and the seed.
    classes = max(splits.classes) + 1
    fetch = tfcass.fetch(f"{args.keyspace}.{args.table}", cluster=cluster)
    steps = shard.steps(splits, "train", batch_size=args.batch)
    first_row = next(iter(tf.data.Dataset.from_tensor_slices(splits.keys("train")[:1]).apply(fetch)))
    sample = first_row["data"].numpy()
    # Boxes are cut from the stored pixels, so that none is made of fewer than there are.
    stored_px = max(args.image_size, *images.decode_image(sample).shape[:2])
    decode_stored, decode = images.batch_decoder(sample, stored_px), images.batch_decoder(sample, args.image_size)
    augment = training.Augmentation(
        shape=[
            training.random_resized_crop(args.image_size, area=(args.smallest_crop, 1.0)),
            keras.layers.RandomFlip("horizontal"),
        ],
        seed=args.seed,
    )

    keras.utils.set_random_seed(args.seed)  # Not before: connecting draws from Python's random numbers as well.
    model = make_model(args.model, args.image_size, classes)
    rate = learning_rate(args, steps=steps, images_of_step=args.batch * shard.size)
    optimizer = training.distributed_optimizer(
        keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=args.weight_decay)
    )
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=args.label_smoothing)
    top = [
        keras.metrics.CategoricalAccuracy("top1"),
        keras.metrics.TopKCategoricalAccuracy(min(5, classes), "top5"),
    ]
    model.compile(optimizer, loss, metrics=top, jit_compile=False)

    plan = f"{splits.digest} imagenet {args.model} seed={args.seed}"
    checkpoint = training.Checkpoint(args.out / "checkpoint.npz", plan=plan)
    scripts.make_folder(args.out)
    first = checkpoint.restore(model)
    log = training.TrainingLog(args.out / "history.json", rows_per_epoch=shard.size * shard.rows(splits, "train"))
    log.keep_until(first)
    if shard.rank == 0:
        splits.save(args.out / "splits")

    def of_train(step: tf.Tensor, row: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = augment(decode_stored(row["data"]), row["patch_id"], step // steps)
        size = args.image_size
        return tf.ensure_shape(pixels, [None, size, size, 3]), tf.one_hot(row["label"], classes)

    def of_val(row: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return decode(row["data"]), tf.one_hot(row["label"], classes)

    keys = training.epochs_of_keys(
        splits,
        "train",
        shard,
        batch_size=args.batch,
        epochs=max(first, args.epochs),
        seed=args.seed,
        first_epoch=first,
    )
    train = keys.apply(fetch).enumerate(first * steps).map(of_train, tf.data.AUTOTUNE).prefetch(2)
    val_keys = shard.keys(splits, "val", epoch=0, seed=args.seed, remainder="uneven")
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
                training.AverageMetrics(train_rows=shard.rows(splits, "train"), val_rows=len(val_keys)),
                log,
                checkpoint,
                stop,
            ],
        )
    if shard.rank == 0:
        model.save(args.out / "model.keras")
        last = log.epochs[-1] if log.epochs else {}
        summary = {
            "ranks": shard.size,
            "train_rows": len(splits.keys("train")),
            "val_rows": len(splits.keys("val")),
            "classes": classes,
            "epochs": len(log.epochs),
            "images_per_step": args.batch * shard.size,
            "peak_learning_rate": args.learning_rate * args.batch * shard.size / BASE_BATCH,
            "rows_per_s": last.get("rows_per_s"),
            "val_top1": last.get("val_top1"),
            "val_top5": last.get("val_top5"),
        }
        scripts.write_json(args.out / "summary.json", summary)
        print(f"val: top-1 {summary['val_top1']:.1%}, top-5 {summary['val_top5']:.1%} of {summary['val_rows']} images")


def make_splits(rows, args: argparse.Namespace):
    """By the subsets that are stored; else a stratified share of each class."""
    import tfcass

    where = f"{args.keyspace}.{args.metadata_table}"
    if not rows.num_rows:
        raise TfcassError(f"{where} holds no images; write some with python -m beam_pipelines.ingest_images")
    subsets = set(rows["subset"].to_pylist()) - {"", None}
    if {"train", "val"} <= subsets:
        kept = rows.filter([value in ("train", "val") for value in rows["subset"].to_pylist()])
        given = {"train": ["train"], "val": ["val"]}
        return tfcass.split(kept, ratios={"train": 1, "val": 1}, group_by="subset", bags=given, seed=args.seed)
    if subsets:
        raise OptionError(
            f"{where} has images of the subsets {', '.join(sorted(subsets))}: ingest both, with "
            "--subset train and --subset val, or both without"
        )
    if not 0 < args.val_share < 1:
        raise OptionError(f"--val-share {args.val_share} is not in (0, 1)")
    return tfcass.split(rows, ratios={"train": 1 - args.val_share, "val": args.val_share}, seed=args.seed)


def learning_rate(args: argparse.Namespace, *, steps: int, images_of_step: int):
    """A straight line up, then a cosine down to 0; the peak is in proportion to the images of a step."""
    import keras

    peak = args.learning_rate * images_of_step / BASE_BATCH
    warmup = round(args.warmup_epochs * steps)
    rest = max(1, args.epochs * steps - warmup)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(peak, rest)
    return keras.optimizers.schedules.CosineDecay(0.0, rest, warmup_target=peak, warmup_steps=warmup)


def make_model(name: str, size: int, classes: int):
    """A network of keras.applications with logits, or a small one; pixels 0 to 255 become -1 to 1."""
    import keras

    inputs = keras.layers.Input((size, size, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    if name == "small":
        for filters in (24, 48, 96):
            x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
        x = keras.layers.GlobalAveragePooling2D()(x)
    else:
        network = getattr(keras.applications, name, None)
        if not callable(network):
            known = ", ".join(sorted(known for known in dir(keras.applications) if known[0].isupper()))
            raise OptionError(f"--model {name} is not 'small' or one of keras.applications: {known}")
        x = network(include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32")(x))


if __name__ == "__main__":
    sys.exit(scripts.run(main, parse_args()))
