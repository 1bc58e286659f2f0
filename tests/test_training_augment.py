"""training.Augmentation: the same changes to the same rows in each run, on any number of processes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcass import training
from tfcass.errors import OptionError

ROWS = 13
STEPS = {
    "shape": [keras.layers.RandomFlip(), keras.layers.RandomRotation(0.2, fill_mode="reflect")],
    "colour": [
        keras.layers.RandomContrast(0.3),
        lambda image, seed: tf.image.stateless_random_brightness(image, 0.2, seed),
    ],
}


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Images of different noise, and their keys."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (ROWS, 12, 12, 3), np.uint8), rng.integers(0, 256, (ROWS, 16), np.uint8)


def augmented(rows, *, size: int = 1, batch: int = 4, epoch: int = 3, seed: int = 7, **steps) -> np.ndarray:
    """The images after augmentation in tf.data, as `size` ranks would read them, put back in the order of the rows."""
    augment = training.Augmentation(**(steps or STEPS), seed=seed)
    results = np.zeros_like(rows[0])
    for rank in range(size):
        mine = tf.data.Dataset.from_tensor_slices(tuple(part[rank::size] for part in rows)).batch(batch)
        made = mine.map(lambda images, keys: augment(images, keys, epoch), 4, deterministic=True)
        results[rank::size] = np.concatenate(list(made.as_numpy_iterator()))
    return results


def test_what_happens_to_an_image_does_not_depend_on_ranks_or_batches(rows) -> None:
    alone = augmented(rows)

    assert alone.dtype == np.uint8
    np.testing.assert_array_equal(augmented(rows, size=3, batch=2), alone)
    np.testing.assert_array_equal(augmented(rows, batch=1), alone)


def test_each_epoch_seed_and_row_has_its_own_changes(rows) -> None:
    first = augmented(rows)

    assert (augmented(rows, epoch=4) != first).any(axis=(1, 2, 3)).sum() == ROWS
    assert (augmented(rows, seed=8) != first).any(axis=(1, 2, 3)).sum() == ROWS
    twins = (np.repeat(rows[0][:1], ROWS, axis=0), rows[1])
    assert len({image.tobytes() for image in augmented(twins)}) == ROWS
    again = training.Augmentation(**STEPS, seed=7)
    drawn_twice = [np.stack([part[0], part[0]]) for part in rows]
    one, other = again(*map(tf.constant, drawn_twice), tf.constant([3, 3]), positions=tf.constant([5, 9])).numpy()
    assert (one != other).any()


def test_a_mask_moves_with_its_image(rows) -> None:
    masks = rows[0][..., 0] // 64
    images = np.repeat(masks[..., None], 3, axis=-1) * 60
    flips = [keras.layers.RandomFlip(), lambda image, seed: tf.image.stateless_random_flip_up_down(image, seed)]
    augment = training.Augmentation(
        shape=flips, colour=[lambda image, seed: image * tf.random.stateless_uniform([], seed, 0.9, 1.0)], seed=1
    )

    moved, moved_masks = tf.function(augment)(images, rows[1], 0, masks=tf.constant(masks))

    assert moved_masks.dtype == tf.uint8
    np.testing.assert_array_equal(np.round(moved.numpy()[..., 0] / 57), moved_masks)
    assert (moved_masks.numpy() != masks).any(axis=(1, 2)).sum() >= 6
    assert (moved.numpy() <= images.max()).all()


def test_rotated_masks_hold_no_class_between_two(rows) -> None:
    masks = np.where(rows[0][..., 0] > 127, 4, 0).astype(np.int32)
    augment = training.Augmentation(shape=[keras.layers.RandomRotation(0.5, interpolation="bilinear")], seed=1)

    _, moved = augment(tf.constant(rows[0]), tf.constant(rows[1]), 0, masks=tf.constant(masks))

    assert set(np.unique(moved)) == {0, 4}


def test_nothing_to_do_changes_nothing(rows) -> None:
    np.testing.assert_array_equal(augmented(rows, shape=[]), rows[0])


def test_a_random_crop_has_the_size_asked_and_its_pixels_from_the_image(rows) -> None:
    ramp = np.broadcast_to(np.arange(0, 240, 5, dtype=np.uint8)[:, None, None], (48, 48, 3))
    augment = training.Augmentation(shape=[training.random_resized_crop(16, area=(0.25, 0.5))], seed=3)

    crops = augment(tf.constant(np.stack([ramp] * ROWS)), tf.constant(rows[1]), 0).numpy()

    assert crops.shape == (ROWS, 16, 16, 3)
    spans = np.ptp(crops[:, :, 0, 0].astype(int), axis=1) / 240  # Of the image's height, for each crop.
    assert spans.min() > 0.35 and spans.max() < 0.85 and len(set(spans)) > 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: training.Augmentation(seed=-1), "seed=-1 is not a non-negative integer"),
        (lambda: training.Augmentation(shape=["flip"], seed=1), "shape: 'flip' is neither a Keras layer nor"),
        (lambda: training.Augmentation(colour=[keras.layers.Dense(1)], seed=1), "colour: Dense is no layer that"),
        (
            lambda: training.Augmentation(colour=[keras.layers.RandomColorJitter(brightness_factor=0.2)], seed=1),
            "colour: RandomColorJitter does not take a seed from outside",
        ),
        (lambda: training.random_resized_crop(8, area=(0.5, 0.1)), r"area=\(0.5, 0.1\) is not a range in \(0, 1\]"),
        (lambda: training.random_resized_crop(8, aspect=(2, 1)), r"aspect=\(2, 1\) is not a range"),
        (lambda: training.random_resized_crop(0), "size_px=0 is not a positive"),
    ],
)
def test_bad_steps_are_refused(make, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()
