"""Trains a U-Net on patches whose label is a mask: a grey PNG, the class a pixel, in column `label` of the data table.

    python examples/train_segmentation.py --port 9042 --keyspace wsi --table masks_by_uuid --splits out/splits \
        --classes stroma tumor --out out/segmentation
    horovodrun -np 2 --gloo python examples/train_segmentation.py ... (the same)

Pixels of value 255 are not annotated: they count neither in the loss nor in the result. Images and masks are flipped
and turned together, and the images' colours change a little: by the same seed in the same way, on any number of
processes. A run that was stopped goes on with the next epoch when it is started again with the same --out.

Rank 0 writes to --out
  history.json         loss and val_loss of each epoch
  iou.json             {"split": "val", "iou": {"stroma": 0.91, "tumor": 0.84}, "mean", "pixels", "matrix"}
  examples.png         some validation patches: image, truth, prediction
  segmentation.keras   uint8 [n, size, size, 3] -> logits [n, size, size, classes]
  checkpoint.npz       where the next run goes on
"""

import argparse
import io
import sys
from pathlib import Path

from tfcass import scripts
from tfcass.errors import OptionError

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")  # By class, from 0.
UNKNOWN = "#ffffff"  # Not annotated.


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    scripts.add_cluster_flags(parser)
    data = parser.add_argument_group("data")
    data.add_argument("--keyspace", default="wsi")
    data.add_argument("--table", default="data_by_uuid", help="images in column 'data', PNG masks in column 'label'")
    data.add_argument("--splits", type=Path, default=Path("out/splits"), help="folder of Splits.save()")
    data.add_argument("--train", default="train", help="split to train on")
    data.add_argument("--val", default="val", help="split to validate on")
    data.add_argument("--classes", nargs="+", default=["normal", "tumor"], help="names of the values 0, 1, ...")
    fit = parser.add_argument_group("training")
    fit.add_argument("--out", type=Path, default=Path("out/segmentation"))
    fit.add_argument("--epochs", type=int, default=20)
    fit.add_argument("--batch", type=int, default=16, help="rows per step and rank")
    fit.add_argument("--image-size", type=int, default=256, help="pixels; must divide by 8")
    fit.add_argument("--filters", type=int, default=24, help="of the first level; twice as many on each deeper one")
    fit.add_argument("--learning-rate", type=float, default=1e-3, help="of one rank: multiplied by the number of ranks")
    fit.add_argument("--augment", action=argparse.BooleanOptionalAction, default=True, help="of the train split")
    fit.add_argument("--examples", type=int, default=4, help="patches in the picture")
    fit.add_argument("--seed", type=int, default=1)
    fit.add_argument("--threads", type=int, default=0, help="threads of this process; 0: its share of the cores")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    import keras
    import tensorflow as tf

    import tfcass
    from tfcass import training
    from tfcass.images import NOT_ANNOTATED

    if args.image_size < 8 or args.image_size % 8:
        raise OptionError(f"--image-size {args.image_size} does not divide by 8, as the U-Net halves it three times")
    shard = tfcass.Shard.from_horovod()
    scripts.use_threads(args.threads)
    splits = tfcass.Splits.load(args.splits)
    table = f"{args.keyspace}.{args.table}"
    fetch = tfcass.fetch(table, cluster=scripts.cluster_of(args))
    classes = len(args.classes)
    steps = shard.steps(splits, args.train, batch_size=args.batch)

    keras.utils.set_random_seed(args.seed)  # Not before: connecting draws from Python's random numbers as well.
    model = make_unet(args.image_size, classes, args.filters)
    optimizer = training.distributed_optimizer(keras.optimizers.Adam(args.learning_rate), scale_learning_rate=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=NOT_ANNOTATED)
    model.compile(optimizer, loss, jit_compile=False)

    plan = f"{splits.digest} segmentation train={args.train} seed={args.seed}"
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
    rows = keys.apply(fetch)
    if rows.element_spec["label"].dtype != tf.string:
        raise OptionError(
            f"column label of {table} is {rows.element_spec['label'].dtype.name}: segmentation needs masks there, "
            "a blob; `tfcass schema create --label-type blob` makes such a table"
        )
    decode = decoder(args.image_size, classes)
    augment = augmentation(args.seed) if args.augment else None

    def of_train(step: tf.Tensor, row: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        images, masks = decode(row)
        if augment is None:
            return images, masks
        images, masks = augment(images, row["patch_id"], step // steps, masks=masks)
        size = args.image_size  # Known, though a shape that may change in general.
        return tf.ensure_shape(images, [None, size, size, 3]), tf.ensure_shape(masks, [None, size, size])

    # Counted from the first epoch of all, so that a resumed run changes images as it would have.
    train = rows.enumerate(first * steps).map(of_train, tf.data.AUTOTUNE).prefetch(2)
    val_keys = shard.keys(splits, args.val, epoch=0, seed=args.seed, remainder="uneven")
    val_rows = tf.data.Dataset.from_tensor_slices(val_keys).batch(args.batch).apply(fetch)
    val = val_rows.map(decode, tf.data.AUTOTUNE).prefetch(2)

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
    found = training.confusion(model, val, classes=classes, ignored=NOT_ANNOTATED)

    if shard.rank == 0:
        model.save(args.out / "segmentation.keras")
        iou = {
            name: None if value != value else float(value) for name, value in zip(args.classes, found.iou, strict=True)
        }
        present = [value for value in iou.values() if value is not None]
        mean = sum(present) / len(present) if present else None
        result = {"split": args.val, "iou": iou, "mean": mean, "pixels": found.rows, "matrix": found.matrix.tolist()}
        scripts.write_json(args.out / "iou.json", result)
        shown = tf.data.Dataset.from_tensors(splits.keys(args.val)[: args.examples]).apply(fetch).map(decode)
        images, masks = next(iter(shown))
        predicted = model.predict(images, verbose=0).argmax(axis=-1)
        scripts.write_bytes(args.out / "examples.png", picture(images, masks, predicted, args.classes))
        told = ", ".join(f"{name} {'absent' if value is None else f'{value:.3f}'}" for name, value in iou.items())
        print(f"{args.val}: IoU {told} over {found.rows} annotated pixels")


def decoder(size: int, classes: int):
    """row -> (uint8 [b, size, size, 3], uint8 [b, size, size]); resized masks keep whole classes."""
    import tensorflow as tf

    from tfcass import images

    def one(row: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        key, label, data = row
        image = images.decode_image(data)
        mask = images.decode_mask(label, key=key, classes=classes, size=tf.shape(image)[:2])
        resized = tf.cast(tf.round(tf.image.resize(image, [size, size], "area")), tf.uint8)
        nearest = tf.image.resize(mask[..., None], [size, size], "nearest")[..., 0]
        return tf.ensure_shape(resized, [size, size, 3]), tf.ensure_shape(nearest, [size, size])

    return lambda row: tf.map_fn(
        one, (row["patch_id"], row["label"], row["data"]), fn_output_signature=(tf.uint8, tf.uint8)
    )


def augmentation(seed: int):
    """Tissue has no up or down: any flip and quarter turn. Stain and lamp differ a little."""
    import keras
    import tensorflow as tf

    from tfcass import training

    def turn(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.image.rot90(image, tf.random.stateless_uniform([], seed, 0, 4, tf.int32))

    return training.Augmentation(
        shape=[keras.layers.RandomFlip(), turn],
        colour=[
            lambda image, seed: tf.image.stateless_random_hue(image, 0.03, seed),
            lambda image, seed: tf.image.stateless_random_saturation(image, 0.85, 1.15, seed),
            lambda image, seed: tf.image.stateless_random_brightness(image, 0.08, seed),
        ],
        seed=seed,
    )


def make_unet(size: int, classes: int, filters: int):
    """Three levels down and up, with the skips between them (arXiv:1505.04597), and BatchNormalization."""
    import keras
    from keras import layers

    def block(x, width: int):
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        return x

    inputs = layers.Input((size, size, 3), dtype="uint8")
    x, skips = layers.Rescaling(1 / 127.5, offset=-1)(inputs), []
    for level in range(3):
        skips.append(block(x, filters << level))
        x = layers.MaxPooling2D()(skips[-1])
    x = block(x, filters << 3)
    for level in reversed(range(3)):
        x = layers.Conv2DTranspose(filters << level, 2, strides=2)(x)
        x = block(layers.Concatenate()([x, skips[level]]), filters << level)
    return keras.Model(inputs, layers.Conv2D(classes, 1, dtype="float32")(x))


def picture(images, masks, predicted, classes: list[str]) -> bytes:
    """A PNG with a row a patch: image, truth, prediction; classes in their colours, white where nobody annotated."""
    import numpy as np
    from PIL import Image, ImageColor, ImageDraw, ImageFont

    colours = np.full((256, 3), ImageColor.getrgb(UNKNOWN), np.uint8)
    for label in range(len(classes)):
        colours[label] = ImageColor.getrgb(COLOURS[label % len(COLOURS)])
    side = max(160, images.shape[1])
    gap, top = 8, 28
    sheet = Image.new("RGB", (3 * side + 4 * gap, top + (side + gap) * len(images) + 24), "#dfe5ec")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, title in enumerate(("image", "truth", "prediction")):
        draw.text((gap + column * (side + gap), 7), title, "#17212e", font)
    for row, patch in enumerate(zip(np.asarray(images), colours[np.asarray(masks)], colours[predicted], strict=True)):
        for column, pixels in enumerate(patch):
            scaled = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(scaled, (gap + column * (side + gap), top + row * (side + gap)))
    x, y = gap, sheet.height - 20
    for label, name in enumerate(classes):
        draw.rectangle((x, y, x + 12, y + 12), fill=tuple(colours[label].tolist()))
        draw.text((x + 17, y - 2), name, "#17212e", font)
        x += 32 + int(font.getlength(name))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(scripts.run(main, parse_args()))
