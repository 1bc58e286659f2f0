"""Image bytes -> pixels, for what tf.io leaves out: TIFF, and tables that mix formats.

    rows = tf.data.Dataset.from_tensor_slices(keys).apply(tfcass.fetch("ks.data_by_uuid", cluster=cluster))
    images = rows.map(lambda row: tfcass.images.decode_image(row["data"]), tf.data.AUTOTUNE)

Whole batches of one size, for a model: batch_decoder. Masks of segmentation, checked: decode_mask.

decode_tiff is an op of a library of its own (ops/decode), which links with libtiff and is loaded at the first TIFF:
without libtiff all else works. This module imports TensorFlow.
"""

from collections.abc import Callable

import tensorflow as tf

from tfcass import _ops
from tfcass.errors import OpLibraryError, OptionError

# 9,459 x 9,459 pixels of RGB: larger than a patch, smaller than the memory of a process.
MAX_BYTES = 256 << 20

# Value of a mask's pixel that has no class: what beam_pipelines writes outside of all annotations.
NOT_ANNOTATED = 255

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


def batch_decoder(sample: bytes, size_px: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that decodes a batch of images and brings them to one size.

        decode = tfcass.images.batch_decoder(first_image, 224)
        images = rows.map(lambda row: decode(row["data"]), tf.data.AUTOTUNE)

    Args:
      sample: One image of the table. The others may differ in size, and JPEG from all else only if this is no JPEG.
      size_px: Side of the result. Images of other sizes are resized (mean over areas), without regard to their shape.
    Returns:
      string [b] -> uint8 [b, size_px, size_px, 3]. A JPEG is decoded at 1/2, 1/4 or 1/8 at a fraction of the cost, as
      far as `sample` stays as large as asked.
    Raises:
      OptionError: `sample` cannot be decoded, or `size_px` is not positive.
    """
    if isinstance(size_px, bool) or not isinstance(size_px, int) or size_px < 1:
        raise OptionError(f"size_px={size_px!r} is not a positive whole number of pixels")
    open_image = decode_image
    try:
        if tf.io.is_jpeg(sample):
            shorter = min(tf.io.extract_jpeg_shape(sample)[:2].numpy())
            ratio = next(ratio for ratio in (8, 4, 2, 1) if shorter // ratio >= size_px or ratio == 1)

            def open_image(data: tf.Tensor) -> tf.Tensor:
                return tf.io.decode_jpeg(data, channels=3, ratio=ratio)

        open_image(tf.constant(sample))
    except tf.errors.InvalidArgumentError as error:
        from tfcass.training.messages import plain_message

        raise OptionError(f"an image of this table cannot be decoded: {plain_message(error)}") from error

    def one(data: tf.Tensor) -> tf.Tensor:
        pixels = open_image(data)
        fits = tf.reduce_all(tf.shape(pixels)[:2] == size_px)
        resized = tf.cond(
            fits, lambda: pixels, lambda: tf.cast(tf.image.resize(pixels, [size_px, size_px], "area"), tf.uint8)
        )
        return tf.ensure_shape(resized, [size_px, size_px, 3])

    return lambda data: tf.map_fn(one, data, fn_output_signature=tf.uint8)


def decode_mask(
    contents: tf.Tensor | bytes, *, key: tf.Tensor, classes: int, size: tf.Tensor, ignored: int | None = NOT_ANNOTATED
) -> tf.Tensor:
    """Decodes a mask of segmentation: a grey PNG in which a pixel's value is its class.

    Args:
      contents: The file, a scalar string; map over a batch.
      key: uint8 [16], the row's UUID: for messages.
      classes: Number of classes; values are in [0, classes).
      size: int32 [2], height and width of the image that the mask belongs to.
      ignored: A value that is allowed besides: of pixels that nobody annotated. Keras's losses leave them out with
        ignore_class, training.confusion() with `ignored`.
    Returns:
      uint8 [height, width].
    Raises:
      OptionError: `classes` is not in [1, 256].
      tf.errors.InvalidArgumentError: Where it runs: not a grey PNG, of another size than its image, or with a value
        that is no class. The message names the row.
    """
    if isinstance(classes, bool) or not isinstance(classes, int) or not 1 <= classes <= 256:
        raise OptionError(f"classes={classes!r} is not a whole number in [1, 256]")
    contents = _scalar(contents)
    row = tf.strings.join(["mask of row ", _uuid_text(key)])
    png = tf.debugging.Assert(
        tf.equal(tf.strings.substr(contents, 0, 4), b"\x89PNG"),
        [tf.strings.join([row, " is not a PNG; a label for segmentation is a grey PNG, a class a pixel"])],
    )
    with tf.control_dependencies([png] if png is not None else []):
        mask = tf.io.decode_png(contents)  # As stored: an RGB or palette mask shows by its channels.
    height, width, channels = tf.unstack(tf.shape(mask))
    found = tf.strings.join([tf.strings.as_string(width), " x ", tf.strings.as_string(height)])
    wanted = tf.strings.join([tf.strings.as_string(size[1]), " x ", tf.strings.as_string(size[0])])
    grey = tf.debugging.Assert(
        tf.equal(channels, 1),
        [
            tf.strings.join(
                [row, " has ", tf.strings.as_string(channels), " channels; write it in grey, without palette"]
            )
        ],
    )
    fits = tf.debugging.Assert(
        tf.reduce_all(tf.equal(tf.shape(mask)[:2], size)),
        [tf.strings.join([row, " is ", found, " pixels, and its image ", wanted, "; write both at the same size"])],
    )
    values = tf.cast(mask, tf.int32)
    highest = tf.reduce_max(values if ignored is None else tf.where(values == ignored, 0, values))
    known = tf.debugging.Assert(
        highest < classes,
        [
            tf.strings.join(
                [
                    row,
                    " has the value ",
                    tf.strings.as_string(highest),
                    f", which is not in [0, {classes}): name all classes",
                ]
            )
        ],
    )
    with tf.control_dependencies([check for check in (grey, fits, known) if check is not None]):
        return tf.identity(mask[..., 0])


def _uuid_text(key: tf.Tensor) -> tf.Tensor:
    """uint8 [16] -> "0b9f2a52-7e43-..."."""
    digits = tf.unstack(tf.gather(_HEX, tf.cast(tf.ensure_shape(key, [16]), tf.int32)))
    parts = [tf.strings.join(digits[begin:end]) for begin, end in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 16))]
    return tf.strings.join(parts, separator="-")


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
