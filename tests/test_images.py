"""tfcass.images: TIFF of every kind against tifffile, the choice by first bytes, errors on any bytes."""

import io
import itertools
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tifffile

import tfcass
from beam_pipelines.slides.encode import encode
from tests.support import tiff_files
from tests.support.tiff_files import BYTE_ORDERS, COLORS, LAYOUTS, LOSSLESS, in_planes, jpeg_tiff, picture, tiff
from tfcass import _ops, images
from tfcass.errors import OpLibraryError, OptionError

DTYPES = {"uint8": (np.uint8, tf.uint8), "uint16": (np.uint16, tf.uint16)}


def with_channels(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def luma(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = (rgb[..., i].astype(np.uint64) for i in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(rgb.dtype)


# What is stored ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", BYTE_ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", LOSSLESS)
def test_lossless_files_give_back_their_pixels(compression: str, layout: str, dtype: str, order: str) -> None:
    numpy_type, tf_type = DTYPES[dtype]
    for samples, how in COLORS.values():
        pixels = picture(37, 45, samples, numpy_type)
        contents = tiff(pixels, byteorder=BYTE_ORDERS[order], **how, **LAYOUTS[layout], **LOSSLESS[compression])

        decoded = images.decode_tiff(contents, dtype=tf_type)

        np.testing.assert_array_equal(decoded, with_channels(pixels))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", ["none", "lzw_predicted", "zstd"])
def test_samples_in_planes(compression: str, layout: str, dtype: str) -> None:
    numpy_type, tf_type = DTYPES[dtype]
    how = {"planarconfig": "separate", **LAYOUTS[layout], **LOSSLESS[compression]}
    rgb, rgba = picture(37, 45, 3, numpy_type), picture(37, 45, 4, numpy_type)

    three = images.decode_tiff(tiff(in_planes(rgb), photometric="rgb", **how), dtype=tf_type)
    four = images.decode_tiff(tiff(in_planes(rgba), photometric="rgb", extrasamples=[2], **how), dtype=tf_type)

    np.testing.assert_array_equal(three, rgb)
    np.testing.assert_array_equal(four, rgba)


@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 16}, {"tile": (16, 32)}], ids=["strip", "strips", "tiles"])
@pytest.mark.parametrize(
    "how",
    [
        {"photometric": "rgb"},
        {"photometric": "ycbcr"},
        {"photometric": "ycbcr", "subsampling": (2, 2)},
        {"photometric": "minisblack"},
    ],
    ids=["rgb", "ycbcr", "ycbcr_420", "grey"],
)
def test_jpeg_inside_tiff_is_what_tifffile_reads(how: dict, layout: dict) -> None:
    # As smooth as photographs are: 4:2:0 keeps a quarter of the colour.
    pixels = picture(64, 96, 3)
    pixels = np.asarray(tf.image.resize(tf.image.resize(pixels, [16, 24], "area"), [64, 96]), np.uint8)
    contents = jpeg_tiff(pixels if how["photometric"] != "minisblack" else pixels[..., 0], **how, **layout)

    decoded = images.decode_tiff(contents).numpy()

    # The same library, with its own upsampling of colour at the edges of blocks.
    truth = with_channels(tifffile.imread(io.BytesIO(contents)))
    assert decoded.shape == truth.shape
    difference = np.abs(decoded.astype(int) - truth)
    assert difference.mean() < 1 and difference.max() <= 24


def test_webp_inside_tiff() -> None:
    pixels = picture(37, 45, 3)

    np.testing.assert_array_equal(images.decode_tiff(tiff_files.webp_tiff(pixels)), pixels)


def test_white_is_zero_is_inverted() -> None:
    for numpy_type, tf_type in DTYPES.values():
        pixels = picture(9, 12, 1, numpy_type)
        contents = tiff(pixels, photometric="miniswhite")

        decoded = images.decode_tiff(contents, dtype=tf_type)

        np.testing.assert_array_equal(decoded[..., 0], np.iinfo(numpy_type).max - pixels)


def test_a_palette_becomes_rgb() -> None:
    pixels = picture(9, 12, 1)
    colormap = np.random.default_rng(3).integers(0, 65536, (3, 256), dtype=np.uint16)
    contents = tiff(pixels, photometric="palette", colormap=colormap)
    truth = np.moveaxis(colormap[:, pixels], 0, -1)

    np.testing.assert_array_equal(images.decode_tiff(contents, dtype=tf.uint16), truth)
    np.testing.assert_array_equal(images.decode_tiff(contents), truth >> 8)
    np.testing.assert_array_equal(images.decode_tiff(contents, channels=1, dtype=tf.uint16)[..., 0], luma(truth))


def test_bigtiff() -> None:
    pixels = picture(37, 45, 3, np.uint16)

    for order in "<>":
        contents = tiff(pixels, bigtiff=True, byteorder=order, photometric="rgb", tile=(16, 16), compression="lzw")
        np.testing.assert_array_equal(images.decode_tiff(contents, dtype=tf.uint16), pixels)


def test_each_page_is_found() -> None:
    pages = [picture(5 + i, 7, 1, seed=i) for i in range(4)]
    contents = tiff(*pages)

    for i, pixels in enumerate(pages):
        np.testing.assert_array_equal(images.decode_tiff(contents, page=i)[..., 0], pixels)
    with pytest.raises(tf.errors.InvalidArgumentError, match="page=4: the TIFF has 4 pages, counted from 0"):
        images.decode_tiff(contents, page=4)


def test_a_strip_that_is_filled_up_beyond_the_picture_keeps_its_pixels() -> None:
    """Some writers give the last strip as many rows as the others have."""
    import zlib

    pixels = picture(11, 13, 3)
    padded = np.concatenate([pixels, np.full((2, 13, 3), 7, np.uint8)])
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, iter([zlib.compress(padded.tobytes())]), shape=pixels.shape, dtype=np.uint8, compression="zlib",
        photometric="rgb", metadata=None,
    )  # fmt: skip

    np.testing.assert_array_equal(images.decode_tiff(buffer.getvalue()), pixels)


def test_the_pipelines_own_tiff() -> None:
    pixels = picture(64, 48, 3)

    np.testing.assert_array_equal(images.decode_tiff(encode(pixels, "tiff")), pixels)


# What is asked for ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", COLORS)
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_channels_follow_the_rules_of_tf_io(stored: str, channels: int) -> None:
    samples, how = COLORS[stored]
    pixels = with_channels(picture(9, 12, samples))

    decoded = images.decode_tiff(tiff(pixels if samples > 1 else pixels[..., 0], **how), channels=channels)

    truth = tf.io.decode_png(tf.io.encode_png(pixels), channels=channels)
    assert decoded.shape == truth.shape
    if channels == 1 and samples > 2:  # libpng rounds down; decode_jpeg, and this, to the nearest.
        np.testing.assert_array_equal(decoded[..., 0], luma(pixels))
        np.testing.assert_allclose(decoded, truth, atol=1)
    else:
        np.testing.assert_array_equal(decoded, truth)


def test_widths_follow_the_rules_of_tf_io() -> None:
    narrow, wide = with_channels(picture(9, 12, 1)), with_channels(picture(9, 12, 1, np.uint16))

    widened = images.decode_tiff(tiff(narrow[..., 0]), dtype=tf.uint16)
    narrowed = images.decode_tiff(tiff(wide[..., 0]), dtype=tf.uint8)

    np.testing.assert_array_equal(widened, tf.io.decode_png(tf.io.encode_png(narrow), dtype=tf.uint16))
    np.testing.assert_array_equal(narrowed, tf.io.decode_png(tf.io.encode_png(wide), dtype=tf.uint8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 2}, "channels=2 is not one of 0, 1, 3, 4"),
        ({"channels": True}, "channels=True is not one of"),
        ({"dtype": tf.float32}, "dtype=tf.float32 is not tf.uint8 or tf.uint16"),
        ({"page": -1}, "page=-1 is not a whole number of at least 0"),
        ({"max_bytes": 0}, "max_bytes=0 is not a whole number of at least 1"),
        ({"contents": [b"a", b"b"]}, r"contents is string \(2,\): expected one file, a scalar string"),
        ({"contents": 7}, r"contents is int32 \(\): expected one file, a scalar string"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_runs(arguments: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        images.decode_tiff(**{"contents": b"", **arguments})


def test_a_batch_of_unknown_rank_is_told_where_it_runs() -> None:
    decode = tf.function(images.decode_tiff, input_signature=[tf.TensorSpec(None, tf.string)])

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"contents has the shape \[2\]: expected a scalar"):
        decode(tf.constant([b"a", b"b"]))


# Bad bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [{}, {"compression": "lzw", "rowsperstrip": 3}, {"compression": "zlib", "tile": (16, 16)}, {"compression": "jpeg"}],
    ids=["none", "lzw", "deflate", "jpeg"],
)
def test_a_file_that_is_cut_anywhere_is_an_error(how: dict) -> None:
    contents = tiff(picture(16, 16, 3), photometric="rgb", **how)
    whole = images.decode_tiff(contents).numpy()

    for size in range(len(contents)):
        try:
            decoded = images.decode_tiff(contents[:size])
        except tf.errors.InvalidArgumentError as error:
            assert "TIFF" in error.message and "\n" not in error.message.partition(" [Op:")[0]
        else:  # What was cut off is not part of the picture: a byte of padding, or a tag like the resolution.
            np.testing.assert_array_equal(decoded, whole)
            assert size > len(contents) - 4


def _with_tag(contents: bytes, code: int, value: int) -> bytes:
    """A little-endian file whose tag `code`, a number in place, has another value."""
    (offset,) = struct.unpack_from("<I", contents, 4)
    (tags,) = struct.unpack_from("<H", contents, offset)
    for at in range(offset + 2, offset + 2 + 12 * tags, 12):
        if struct.unpack_from("<H", contents, at) == (code,):
            changed = bytearray(contents)
            kind = struct.unpack_from("<H", contents, at + 2)[0]
            struct.pack_into("<H" if kind == 3 else "<I", changed, at + 8, value)
            return bytes(changed)
    raise AssertionError(f"no tag {code}")


WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, ROWS_PER_STRIP = 256, 257, 259, 262, 278


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "not a TIFF, or damaged, in 0 bytes"),
        (b"II*\0", "not a TIFF, or damaged, in 4 bytes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not a TIFF, or damaged, in 58 bytes: .*bad magic number"),
        (tiff(picture(8, 8, 1).astype(np.float32)), "32 bits a sample are not supported: expected 8 or 16"),
        (tiff(picture(8, 8, 1).astype(np.int16)), "samples are signed"),
        (tiff(picture(8, 8, 1) > 99), "1 bits a sample are not supported"),
        (tiff(picture(8, 8, 4), photometric="separated"), r"colours of kind 5 \(CMYK\) are not supported"),
        (tiff(picture(8, 8, 5), photometric="rgb", planarconfig="contig"), "5 samples a pixel in RGB: expected 3 or 4"),
        (_with_tag(tiff(picture(8, 8, 1)), COMPRESSION, 6), r"compression 6 \(old-style JPEG\) is not supported"),
        (_with_tag(tiff(picture(8, 8, 1)), COMPRESSION, 4711), r"compression 4711 \(not known\) is not supported"),
        (_with_tag(tiff(picture(8, 8, 3), photometric="rgb"), PHOTOMETRIC, 6), "YCbCr is supported inside JPEG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(contents: bytes, message: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        images.decode_tiff(contents)


def test_a_huge_picture_is_refused_before_memory_is_taken() -> None:
    contents = tiff(picture(8, 8, 1), rowsperstrip=8)
    for width, height in itertools.product((8, 2**31 - 1, 2**32 - 1), repeat=2):
        huge = _with_tag(_with_tag(contents, WIDTH, width), HEIGHT, height)
        if (width, height) != (8, 8):
            with pytest.raises(tf.errors.InvalidArgumentError):
                images.decode_tiff(_with_tag(huge, ROWS_PER_STRIP, height))

    wide = _with_tag(_with_tag(contents, WIDTH, 60_000), HEIGHT, 60_000)
    with pytest.raises(tf.errors.InvalidArgumentError, match="60000 x 60000 pixels need .*max_bytes=2684354"):
        images.decode_tiff(_with_tag(wide, ROWS_PER_STRIP, 60_000))


def test_max_bytes_is_what_the_pixels_take() -> None:
    contents = tiff(picture(10, 20, 3), photometric="rgb")

    assert images.decode_tiff(contents, max_bytes=600).shape == (10, 20, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="10 pixels need 600 bytes, more than max_bytes=599"):
        images.decode_tiff(contents, max_bytes=599)


def test_nothing_is_printed_for_damaged_files() -> None:
    code = """
import tensorflow as tf
from tests.support.tiff_files import corpus
from tfcass import images
for name, contents in corpus():
    for at in range(8, len(contents), 307):
        try:
            images.decode_tiff(contents[:at] + bytes([contents[at] ^ 0xff]) + contents[at + 1 :])
        except tf.errors.InvalidArgumentError:
            pass
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110)

    assert (done.stdout, done.stderr) == ("done\n", "")


# In a pipeline -------------------------------------------------------------------------------------------------------


def test_shapes_are_known_before_anything_runs() -> None:
    files = tf.data.Dataset.from_tensor_slices([tiff(picture(8, 8, 3), photometric="rgb")])

    assert files.map(images.decode_tiff).element_spec == tf.TensorSpec([None, None, None], tf.uint8)
    wide = files.map(lambda contents: images.decode_tiff(contents, channels=4, dtype=tf.uint16))
    assert wide.element_spec == tf.TensorSpec([None, None, 4], tf.uint16)
    assert files.map(images.decode_image).element_spec == tf.TensorSpec([None, None, 3], tf.uint8)


def test_many_are_decoded_in_parallel_and_in_order() -> None:
    pictures = [picture(16 + i % 5, 24, 3, seed=i) for i in range(40)]
    kinds = [{"compression": "lzw"}, {"tile": (16, 16)}, {"compression": "zstd", "rowsperstrip": 4}]
    files = [tiff(pixels, photometric="rgb", **kinds[i % 3]) for i, pixels in enumerate(pictures)]
    ds = tf.data.Dataset.from_tensor_slices(files).map(images.decode_tiff, num_parallel_calls=8)

    for decoded, pixels in zip(ds.as_numpy_iterator(), pictures, strict=True):
        np.testing.assert_array_equal(decoded, pixels)


# By first bytes ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed() -> dict[str, bytes]:
    pixels = picture(24, 32, 3)
    return {
        "png": tf.io.encode_png(pixels).numpy(),
        "tiff": tiff(pixels, photometric="rgb"),
        "tiff_big": tiff(pixels, photometric="rgb", byteorder=">"),
        "bigtiff": tiff(pixels, photometric="rgb", bigtiff=True),
        "bigtiff_big": tiff(pixels, photometric="rgb", bigtiff=True, byteorder=">"),
        "jpeg": tf.io.encode_jpeg(pixels, quality=100, chroma_downsampling=False).numpy(),
        "bmp": _bmp(pixels),
    }


def _bmp(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return buffer.getvalue()


def test_the_format_is_told_by_the_first_bytes(mixed: dict[str, bytes]) -> None:
    pixels = picture(24, 32, 3)
    ds = tf.data.Dataset.from_tensor_slices(list(mixed.values())).map(images.decode_image)

    assert ds.element_spec == tf.TensorSpec([None, None, 3], tf.uint8)
    for name, decoded in zip(mixed, ds.as_numpy_iterator(), strict=True):
        np.testing.assert_allclose(decoded.astype(int), pixels, atol=16 if name == "jpeg" else 0, err_msg=name)


def test_wide_samples_of_each_format(mixed: dict[str, bytes]) -> None:
    for name, factor in {"png": 257, "tiff": 257, "jpeg": 256}.items():
        decoded = images.decode_image(mixed[name], dtype=tf.uint16)
        narrow = images.decode_image(mixed[name])

        np.testing.assert_array_equal(decoded, np.asarray(narrow).astype(np.uint16) * factor)


def test_of_an_animated_gif_there_is_the_first_frame() -> None:
    from PIL import Image

    frames = [Image.fromarray(np.full((6, 8, 3), value, np.uint8)) for value in (10, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])

    decoded = images.decode_image(buffer.getvalue())

    assert decoded.shape == (6, 8, 3)
    assert int(decoded[0, 0, 0]) == 10


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "graph"])
def test_unknown_first_bytes_are_shown(traced: bool) -> None:
    decode = images.decode_image
    if traced:
        decode = tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"its first bytes are \[00 ff 0a\]"):
        decode(tf.constant(b"\x00\xff\n"))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"its first bytes are \[\]"):
        decode(tf.constant(b""))


def test_a_damaged_file_of_a_known_format_is_an_error(mixed: dict[str, bytes]) -> None:
    for contents in mixed.values():
        with pytest.raises(tf.errors.InvalidArgumentError):
            images.decode_image(contents[:100])


# Without libtiff -----------------------------------------------------------------------------------------------------


def test_without_libtiff_other_formats_are_decoded_and_a_tiff_names_the_package(
    monkeypatch: pytest.MonkeyPatch, mixed: dict[str, bytes]
) -> None:
    monkeypatch.setattr(_ops, "LIBTIFF", "libtiff.so.666")
    monkeypatch.setattr(_ops, "image_library", _ops.image_library.__wrapped__)  # Without the cache of what is loaded.
    ds = tf.data.Dataset.from_tensor_slices([mixed["png"], mixed["jpeg"], mixed["tiff"]]).map(images.decode_image)

    decoded = iter(ds)
    assert next(decoded).shape == next(decoded).shape == (24, 32, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="libtiff.so.666.*apt-get install libtiff6"):
        next(decoded)
    with pytest.raises(OpLibraryError, match="apt-get install libtiff6"):
        images.decode_tiff(mixed["tiff"])
    with pytest.raises(OpLibraryError, match="apt-get install libtiff6"):
        images.decode_image(mixed["tiff"])


def test_a_build_without_the_decoder_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(_ops, "_places", lambda: [tmp_path])
    monkeypatch.setattr(_ops, "image_library", _ops.image_library.__wrapped__)

    with pytest.raises(OpLibraryError, match=f"_tfcass_images.so is not in {tmp_path}.*libtiff-dev"):
        images.decode_tiff(b"")


def test_the_fetch_op_does_not_need_libtiff() -> None:
    """What the library names as needed: the loader would refuse it where one is missing."""
    named = {}
    for library in (_ops.LIBRARY, _ops.IMAGE_LIBRARY):
        contents = (_ops.find_library(library) / library).read_bytes()
        named[library] = b"libtiff.so.6\0" in contents

    assert named == {_ops.LIBRARY: False, _ops.IMAGE_LIBRARY: True}


def test_the_module_is_a_public_name() -> None:
    assert tfcass.images is images
