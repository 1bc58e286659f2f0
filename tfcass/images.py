"""Image bytes -> pixels, for what tf.io leaves out: TIFF, and tables that mix formats.

    rows = tf.data.Dataset.from_tensor_slices(keys).apply(tfcass.fetch("ks.data_by_uuid", cluster=cluster))
    images = rows.map(lambda row: tfcass.images.decode_image(row["data"]), tf.data.AUTOTUNE)

decode_tiff is an op of a library of its own (ops/decode), which links with libtiff and is loaded at the first TIFF:
without libtiff all else works. This module imports TensorFlow.
"""

import tensorflow as tf

from tfcass import _ops
from tfcass.errors import OpLibraryError, OptionError

# 9,459 x 9,459 pixels of RGB: larger than a patch, smaller than the memory of a process.
MAX_BYTES = 256 << 20

_CHANNELS = (0, 1, 3, 4)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # Classic and Big, little- and big-endian.
_TF_IO = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")  # Of tf.io.decode_image.
_HEX = [f"{byte:02x}" for byte in range(256)]


def decode_tiff(
    contents: tf.Tensor | bytes,
    *,
    channels: int = 0,
    dtype: tf.DType = tf.uint8,
    page: int = 0,
    max_bytes: int = MAX_BYTES,
) -> tf.Tensor:
    """Decodes one page of a TIFF file.

    Takes 8 and 16 bits a sample; grey, grey and alpha, RGB, RGBA, palette, YCbCr inside JPEG; strips and tiles; samples
    side by side or in planes; no compression, LZW, Deflate, PackBits, JPEG, ZSTD, LZMA, WebP; BigTIFF; either byte
    order. Several are decoded in parallel. There is no gradient.

    Args:
      contents: The file, a scalar string; map over a batch.
      channels: 0: as stored, a palette as RGB. 1: grey. 3: RGB. 4: RGBA. As in tf.io, an alpha that is not asked for is
        dropped and not blended, one that is missing is opaque, and grey is 0.299 R + 0.587 G + 0.114 B.
      dtype: tf.uint8 or tf.uint16. 8 bits become 16 by a factor of 257, 16 bits become 8 by dropping the low byte.
      page: Counted from 0.
      max_bytes: Memory that the pixels and a file tile on its way to them may take. It is checked before it is taken.
    Returns:
      [height, width, channels]. WhiteIsZero is inverted, so that white is bright; the orientation tag is not followed.
    Raises:
      OptionError: A setting outside what is accepted.
      OpLibraryError: libtiff is not on this machine, or this build of tfcass has no TIFF decoder.
      tf.errors.InvalidArgumentError: Where it runs: not a TIFF, damaged, cut off, of a kind that is not supported, or
        in need of more than `max_bytes`.
    """
    _check(channels, dtype)
    for name, value, least in (("page", page, 0), ("max_bytes", max_bytes, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
            raise OptionError(f"{name}={value!r} is not a whole number of at least {least}")
    return _ops.image_library().tfcass_decode_tiff(
        _scalar(contents), dtype=dtype, channels=channels, page=page, max_bytes=max_bytes
    )


def decode_image(contents: tf.Tensor | bytes, channels: int = 3, dtype: tf.DType = tf.uint8) -> tf.Tensor:
    """Decodes a JPEG, PNG, BMP, GIF or TIFF image: the first bytes tell which.

    Unlike tf.io.decode_image it takes TIFF (its first page), and the result always has three dimensions: of an animated
    GIF there is the first frame.

    Args:
      contents: The file, a scalar string; map over a batch.
      channels: 0: as stored, 1, 3, or 4 where the format has it.
      dtype: tf.uint8 or tf.uint16. 8 bits become 16 as tf.io does it: by 257, but for JPEG by 256.
    Returns:
      [height, width, channels].
    Raises:
      OptionError: A setting outside what is accepted.
      tf.errors.InvalidArgumentError: Where it runs: none of these formats, which names the first bytes, or a damaged
        file; or a TIFF on a machine without libtiff (other formats do not need it).
    """
    _check(channels, dtype)
    contents = _scalar(contents)
    with tf.name_scope("decode_image"):
        return tf.cond(
            _starts_with(contents, _TIFF),
            lambda: _shaped(_tiff_branch(contents, channels, dtype), channels),
            lambda: _shaped(_other_branch(contents, channels, dtype), channels),
        )


def _check(channels: int, dtype: tf.DType) -> None:
    if isinstance(channels, bool) or channels not in _CHANNELS:
        raise OptionError(f"channels={channels!r} is not one of {', '.join(map(str, _CHANNELS))}")
    if dtype not in (tf.uint8, tf.uint16):
        raise OptionError(f"dtype={dtype!r} is not tf.uint8 or tf.uint16")


def _scalar(contents: tf.Tensor | bytes) -> tf.Tensor:
    tensor = tf.convert_to_tensor(contents)
    if tensor.dtype != tf.string or tensor.shape.rank not in (0, None):
        raise OptionError(
            f"contents is {tensor.dtype.name} {tensor.shape}: expected one file, a scalar string; map over a batch"
        )
    return tensor


def _starts_with(contents: tf.Tensor, magics: tuple[bytes, ...]) -> tf.Tensor:
    heads = [tf.strings.substr(contents, 0, len(magic)) for magic in magics]
    return tf.reduce_any([tf.equal(head, magic) for head, magic in zip(heads, magics, strict=True)])


def _tiff_branch(contents: tf.Tensor, channels: int, dtype: tf.DType) -> tf.Tensor:
    try:
        return decode_tiff(contents, channels=channels, dtype=dtype)
    except OpLibraryError as error:
        if tf.executing_eagerly():
            raise
        # This branch is traced for tables without any TIFF, too: the error has to wait for one.
        with tf.control_dependencies([tf.debugging.Assert(False, [str(error)])]):
            return tf.zeros([0, 0, channels], dtype)


def _other_branch(contents: tf.Tensor, channels: int, dtype: tf.DType) -> tf.Tensor:
    first = tf.io.decode_raw(tf.strings.substr(contents, 0, 8), tf.uint8)
    shown = tf.strings.reduce_join(tf.gather(_HEX, tf.cast(first, tf.int32)), separator=" ")
    known = tf.debugging.Assert(
        _starts_with(contents, _TF_IO),
        [tf.strings.join(["not a JPEG, PNG, BMP, GIF or TIFF image: its first bytes are [", shown, "]"])],
    )
    with tf.control_dependencies([] if known is None else [known]):
        contents = tf.identity(contents)
    return tf.io.decode_image(contents, channels=channels, dtype=dtype, expand_animations=False)


def _shaped(image: tf.Tensor, channels: int) -> tf.Tensor:
    return tf.ensure_shape(image, [None, None, channels or None])
