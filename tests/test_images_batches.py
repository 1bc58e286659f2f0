"""tfcass.images.batch_decoder: stored images of any format and size -> one batch of one size."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfcass import images
from tfcass.errors import OptionError


def encoded(pixels: np.ndarray, encoding: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, encoding, **({"quality": 95} if encoding == "JPEG" else {}))
    return file.getvalue()


def quarters(side: int) -> np.ndarray:
    """Four colours, so that a mirrored or turned image would be seen."""
    pixels = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    pixels[:half, :half], pixels[:half, half:] = (200, 40, 40), (40, 200, 40)
    pixels[half:, :half], pixels[half:, half:] = (40, 40, 200), (220, 220, 220)
    return pixels


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "TIFF"])
def test_images_are_brought_to_one_size(encoding: str) -> None:
    stored = [encoded(quarters(side), encoding) for side in (64, 64, 96)]

    decode = images.batch_decoder(stored[0], 32)
    batch = next(iter(tf.data.Dataset.from_tensors(stored).map(decode))).numpy()

    assert batch.shape == (3, 32, 32, 3) and batch.dtype == np.uint8
    for image in batch:
        np.testing.assert_allclose(image[4:12, 4:12].mean(axis=(0, 1)), (200, 40, 40), atol=6)
        np.testing.assert_allclose(image[4:12, 20:28].mean(axis=(0, 1)), (40, 200, 40), atol=6)
        np.testing.assert_allclose(image[20:28, 4:12].mean(axis=(0, 1)), (40, 40, 200), atol=6)


def test_images_of_the_size_asked_are_left_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), np.uint8)

    decode = images.batch_decoder(encoded(pixels[0], "PNG"), 20)

    np.testing.assert_array_equal(decode(tf.constant([encoded(image, "PNG") for image in pixels])), pixels)


def test_what_cannot_be_decoded_is_told_before_it_is_used() -> None:
    with pytest.raises(OptionError, match=r"an image of this table cannot be decoded: .* first bytes are \[01 02\]"):
        images.batch_decoder(b"\x01\x02", 32)
    with pytest.raises(OptionError, match="size_px=0 is not a positive"):
        images.batch_decoder(encoded(quarters(8), "PNG"), 0)
