"""Random changes to images inside tf.data that are the same in each run, on any number of processes.

    augment = training.Augmentation(
        shape=[keras.layers.RandomFlip(), keras.layers.RandomRotation(0.1)],
        colour=[lambda image, seed: tf.image.stateless_random_hue(image, 0.02, seed)],
        seed=7,
    )
    steps = shard.steps(splits, "train", batch_size=64)
    rows = keys.apply(fetch).enumerate(first_epoch * steps)
    train = rows.map(lambda step, row: (augment(decode(row["data"]), row["patch_id"], step // steps), row["label"]))

What happens to an image is a function of (seed, epoch, its UUID) and nothing else: not of its place in a batch, of the
batch size, of which rank reads it or how many there are, nor of the order in which threads come to it. Where rows are
read several times in an epoch (weighted sampling), pass their global positions too: each time is then another.

training.row_batches() has all of it in its rows: augment(row["pixels"], row["patch_id"], row["epoch"],
positions=row["position"]).

A split gets what it should: make an Augmentation for "train" and none for "val", or one of other steps.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tfcass.errors import OptionError

Step = keras.Layer | Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Augmentation:
    """A chain of random steps, applied image by image.

    A step is
      - a Keras image layer, such as keras.layers.RandomFlip: its own seed does not matter; or
      - a function (image, seed) -> image, such as lambda image, seed: tf.image.stateless_random_flip_left_right(image,
        seed). `image` is float32 [height, width, channels] in [0, 1], `seed` int64 [2], another one for each step.

    Args:
      shape: Steps that move pixels. With masks, they are done to the mask as well: with the same seed, nearest pixel.
      colour: Steps that change the image only; done after those of `shape`.
      seed: Non-negative.
    Raises:
      OptionError: A step is neither, or a layer that takes no seed from outside, or `seed` is negative.
    """

    def __init__(self, *, shape: Sequence[Step] = (), colour: Sequence[Step] = (), seed: int) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise OptionError(f"seed={seed!r} is not a non-negative integer")
        for name, steps in (("shape", shape), ("colour", colour)):
            for step in steps:
                if isinstance(step, keras.Layer):
                    _check_layer(step, name)
                elif not callable(step):
                    raise OptionError(
                        f"{name}: {step!r} is neither a Keras layer nor a function (image, seed) -> image"
                    )
        self._shape, self._colour, self._seed = tuple(shape), tuple(colour), seed

    def __call__(
        self,
        images: tf.Tensor,
        keys: tf.Tensor,
        epoch: tf.Tensor | int,
        *,
        masks: tf.Tensor | None = None,
        positions: tf.Tensor | None = None,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Changes a batch.

        Args:
          images: uint8 [b, height, width, channels], or float32 in [0, 1].
          keys: uint8 [b, 16].
          epoch: Integer scalar, or [b].
          masks: Integers [b, height, width], or None.
          positions: Integers [b], places in the epoch's order over all ranks, or None.
        Returns:
          The images, of the dtype given; with masks, both.
        """
        spec = tf.TensorSpec(images.shape[1:] if not self._shape else [None, None, images.shape[-1]], images.dtype)
        rows = tf.shape(keys)[:1]
        epochs = tf.broadcast_to(tf.cast(epoch, tf.int64), rows)
        places = tf.fill(rows, tf.constant(-1, tf.int64)) if positions is None else tf.cast(positions, tf.int64)
        if masks is None:
            return tf.map_fn(
                lambda given: self._one(given[0], None, *given[1:])[0],
                (images, keys, epochs, places),
                fn_output_signature=spec,
            )
        return tf.map_fn(
            lambda given: self._one(*given),
            (images, masks, keys, epochs, places),
            fn_output_signature=(spec, tf.TensorSpec(spec.shape[:2], masks.dtype)),
        )

    def _one(
        self, image: tf.Tensor, mask: tf.Tensor | None, key: tf.Tensor, epoch: tf.Tensor, place: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        dtype = image.dtype
        image = tf.image.convert_image_dtype(image, tf.float32)
        mask_dtype = None if mask is None else mask.dtype
        planes = None if mask is None else tf.cast(mask[..., None], tf.float32)
        seeds = _seeds(self._seed, epoch, key, place, len(self._shape) + len(self._colour))
        for step, seed in zip(self._shape, seeds, strict=False):
            image, planes = _apply(step, image, planes, seed)
        for step, seed in zip(self._colour, seeds[len(self._shape) :], strict=True):
            image, _ = _apply(step, image, None, seed)
        image = tf.clip_by_value(image, 0.0, 1.0)
        if dtype.is_integer:
            image = tf.cast(tf.round(image * dtype.max), dtype)
        return image, None if planes is None else tf.cast(tf.round(planes[..., 0]), mask_dtype)


def random_resized_crop(
    size_px: int, *, area: tuple[float, float] = (0.08, 1.0), aspect: tuple[float, float] = (3 / 4, 4 / 3)
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A step that cuts a random box and resizes it, as is usual for ImageNet (arXiv:1409.4842, section 6).

    It interpolates: for masks, use keras.layers.RandomZoom and RandomTranslation instead.

    Args:
      size_px: Side of the result.
      area: Smallest and largest share of the image that is kept. 0.08 is the customary one; tissue, in which size
        means something, wants one near 1.
      aspect: Smallest and largest width / height of the box.
    Raises:
      OptionError: A share outside (0, 1], or a range whose ends are the wrong way round.
    """
    if not 0 < area[0] <= area[1] <= 1:
        raise OptionError(f"area={area!r} is not a range in (0, 1]")
    if not 0 < aspect[0] <= aspect[1]:
        raise OptionError(f"aspect={aspect!r} is not a range of positive numbers")
    if isinstance(size_px, bool) or not isinstance(size_px, int) or size_px < 1:
        raise OptionError(f"size_px={size_px!r} is not a positive whole number of pixels")

    def crop(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.shape(image),
            tf.zeros([1, 0, 4], tf.float32),
            seed,
            aspect_ratio_range=aspect,
            area_range=area,
            min_object_covered=0.0,
            use_image_if_no_bounding_boxes=True,
        )
        box = tf.slice(image, begin, size)
        return tf.image.resize(tf.ensure_shape(box, [None, None, image.shape[-1]]), [size_px, size_px])

    return crop


def _check_layer(layer: keras.Layer, name: str) -> None:
    """Raises OptionError unless what the layer does follows from the seed that it is given."""
    kind = type(layer).__name__
    if not hasattr(layer, "get_random_transformation"):
        raise OptionError(
            f"{name}: {kind} is no layer that changes images at random; "
            "pass keras.layers.RandomFlip and its like, or a function (image, seed) -> image"
        )
    seeds = _Seeds(tf.zeros([2], tf.int64))

    def draw(image: tf.Tensor) -> None:
        layer.get_random_transformation(image, training=True, seed=seeds)

    # Traced, not run: as large as any image, so that RandomCrop has something to choose.
    tf.function(draw, autograph=False).get_concrete_function(tf.TensorSpec([2**14, 2**14, 3], tf.float32))
    if not seeds.drawn:
        raise OptionError(
            f"{name}: {kind} does not take a seed from outside, so that its changes would differ from run to run; "
            "pass the layers that it is made of"
        )


def _seeds(seed: int, epoch: tf.Tensor, key: tf.Tensor, place: tf.Tensor, count: int) -> list[tf.Tensor]:
    """int64 [2] each: the seed of each step for one image in one epoch."""
    fold_in = tf.random.experimental.stateless_fold_in
    words = tf.bitcast(tf.reshape(tf.ensure_shape(key, [16]), [2, 8]), tf.int64)
    base = tf.stack([tf.constant(seed, tf.int64), epoch])
    for word in (words[0], words[1], place):
        base = fold_in(base, word)
    return [fold_in(base, tf.constant(step, tf.int64)) for step in range(count)]


def _apply(
    step: Step, image: tf.Tensor, planes: tf.Tensor | None, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    if not isinstance(step, keras.Layer):
        # The same seed: the mask is moved as the image is.
        return step(image, seed), None if planes is None else step(planes, seed)
    seeds = _Seeds(seed)
    white = float(getattr(step, "value_range", (0, 255))[1])  # Keras layers count in [0, 255] unless told otherwise.
    transformation = step.get_random_transformation(image * white, training=True, seed=seeds)
    if planes is not None:
        planes = step.transform_segmentation_masks(planes, transformation, training=True)
    return step.transform_images(image * white, transformation, training=True) / white, planes


class _Seeds(keras.random.SeedGenerator):
    """Gives a Keras layer seeds that follow from one tensor, and holds no variable that each draw would change."""

    def __init__(self, seed: tf.Tensor) -> None:  # Not super's, which makes that variable.
        self._seed, self.drawn = seed, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self.drawn += 1
        return tf.random.experimental.stateless_fold_in(self._seed, tf.constant(self.drawn, tf.int64))
