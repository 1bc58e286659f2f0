"""Files of every kind become the picture that a viewer shows, or an error that says why not."""

import hashlib
import io
import uuid
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

import tfcass
from beam_pipelines.standard_image import ImageError, ImageSpec, image_id, standard_picture
from tests.support.image_files import LEFT, RIGHT, encoded, halves, kinds


@pytest.mark.parametrize("name", list(kinds()))
def test_every_kind_of_file_shows_the_same_picture(name: str) -> None:
    picture = standard_picture(kinds()[name], ImageSpec(size=20))

    assert (picture.rgb.shape, picture.rgb.dtype, picture.rgb.flags.c_contiguous) == ((20, 20, 3), np.uint8, True)
    assert (picture.width, picture.height) == (60, 40)
    np.testing.assert_allclose(picture.rgb[:, :8].reshape(-1, 3).mean(0), LEFT, atol=12)
    np.testing.assert_allclose(picture.rgb[:, 12:].reshape(-1, 3).mean(0), RIGHT, atol=12)


@pytest.mark.parametrize(
    ("name", "kind", "mode"),
    [("cmyk.jpg", "JPEG", "CMYK"), ("alpha.png", "PNG", "RGBA"), ("sixteen.tif", "TIFF", "RGB")],
)
def test_what_the_file_was_is_told(name: str, kind: str, mode: str) -> None:
    picture = standard_picture(kinds()[name], ImageSpec())

    assert (picture.format, picture.mode) == (kind, mode)


def test_greyscale_of_8_and_16_bits_has_three_equal_channels() -> None:
    grey = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    spec = ImageSpec(size=None)

    eight = standard_picture(encoded(Image.fromarray(grey), "PNG"), spec).rgb
    sixteen = standard_picture(encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"), spec).rgb
    floating = standard_picture(encoded(Image.fromarray(grey.astype(np.float32) / 255), "TIFF"), spec).rgb

    for rgb in (eight, sixteen, floating):
        assert all(np.array_equal(rgb[..., channel], grey) for channel in range(3))


def test_what_is_transparent_is_white() -> None:
    image = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    image.putpixel((3, 3), (255, 0, 0, 255))

    rgb = standard_picture(encoded(image, "PNG"), ImageSpec(size=None)).rgb

    assert tuple(rgb[0, 0]) == (255, 255, 255)
    assert tuple(rgb[3, 3]) == (255, 0, 0)


def test_the_shorter_side_is_scaled_and_the_centre_is_cut_out() -> None:
    # Three squares side by side: only the middle one is seen, and with resize_to only its middle.
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 100
    pixels[25:75, 125:175] = 255

    whole = standard_picture(encoded(Image.fromarray(pixels), "PNG"), ImageSpec(size=50)).rgb
    middle = standard_picture(encoded(Image.fromarray(pixels), "PNG"), ImageSpec(size=50, resize_to=100)).rgb

    assert whole[2, 2, 0] == 100 and whole[25, 25, 0] == 255
    assert middle.min() == 255


def test_a_very_long_picture_is_not_blown_up() -> None:
    long = encoded(Image.fromarray(np.full((1, 20_000, 3), 77, np.uint8)), "PNG")

    assert np.all(standard_picture(long, ImageSpec()).rgb == 77)


def test_a_large_jpeg_is_scaled_while_it_is_decoded_to_the_same_picture() -> None:
    data = encoded(Image.fromarray(halves(3000, 2000)), "JPEG", quality=90)
    picture = standard_picture(data, ImageSpec(size=64))

    assert (picture.width, picture.height, picture.rgb.shape) == (3000, 2000, (64, 64, 3))
    np.testing.assert_allclose(picture.rgb[:, :30].reshape(-1, 3).mean(0), LEFT, atol=8)


def _tiff(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"<html>404</html>", "not an image that Pillow knows: 16 bytes that start with b'<html>40'"),
        (kinds()["plain.jpg"][:300], "cannot be decoded"),
        (kinds()["plain.png"][:70], "cannot be decoded"),
        (kinds()["plain.jpg"][:2] + bytes(500), "not an image|cannot be decoded"),
        (_tiff(np.full((4, 4), 3.5, np.float32)), r"only \[0, 1\] has one meaning"),
        (_tiff(np.full((4, 4, 3), 2**20, np.uint32)), "only 8 and 16 bits are taken"),
        (b"II*\0" + bytes(40), "is no picture|cannot be decoded"),
    ],
)
def test_a_file_that_is_no_good_is_an_error_that_says_why(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        standard_picture(data, ImageSpec())


def test_a_picture_that_claims_more_pixels_than_fit_is_refused_before_it_is_decoded() -> None:
    header = bytearray(encoded(Image.new("L", (1, 1)), "PNG"))
    header[16:24] = (100_000).to_bytes(4, "big") * 2  # Width and height of IHDR.
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")

    with pytest.raises(ImageError, match="too large|has 100000 x 100000 pixels"):
        standard_picture(bytes(header), ImageSpec())


@pytest.mark.parametrize(
    "fields", [{"size": 0}, {"size": None, "resize_to": 256}, {"resize_to": 100}, {"resampling": "nearest"}]
)
def test_a_spec_that_makes_no_sense_is_refused(fields: dict) -> None:
    with pytest.raises(tfcass.OptionError):
        ImageSpec(**fields)


def test_ids_depend_on_content_and_spec_and_stay_as_they_are() -> None:
    content = hashlib.sha256(b"a file").hexdigest()

    assert image_id(content, ImageSpec()) == uuid.UUID("fb7fa541-35ff-5f72-8fbf-337200f47c73")
    assert len({image_id(content, spec) for spec in (ImageSpec(), ImageSpec(size=None), ImageSpec(resize_to=256))}) == 3
