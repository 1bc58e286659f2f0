"""Stain normalisation in a tf.data pipeline: the method is chosen at training time, and nothing is stored twice.

    stains = tfcass.stain.read_statistics("wsi.stain_by_slide", cluster=cluster)     # written once by normalise_stain
    of = stains.by_key(rows)                                   # rows: what tfcass.read_rows or splits.table(...) gave

    def prepare(row):                                          # of a dataset with batch_size=None
        image = tfcass.images.decode_image(row["data"])
        return tfcass.stain.normalise(image, of(row["patch_id"]), method="macenko"), row["label"]

Statistics are of whole slides: those of a single patch break down where it shows little tissue. The same arithmetic as
beam_pipelines.slides.stain, which writes a second table of normalised patches instead. This module imports TensorFlow.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfcass.errors import OptionError
from tfcass.stain_statistics import (
    DEFAULT_REFERENCE,
    MAX_GAIN,
    STATISTICS,
    StainStatistics,
    check_method,
    check_reference,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from tfcass.cluster import Cluster

__all__ = ["DEFAULT_REFERENCE", "StainStatistics", "StainTable", "normalise", "read_statistics"]

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65.
_DELTA = 6 / 29
_GLASS_DENSITY, _TISSUE_DENSITY = 0.05, 0.20
_SLIDE_COLUMNS = ("patient_id", "slide_num")


def normalise(
    images: tf.Tensor,
    statistics: tf.Tensor,
    *,
    method: str = "macenko",
    reference: StainStatistics = DEFAULT_REFERENCE,
) -> tf.Tensor:
    """Shows images as if their slides were stained like `reference`; white stays white.

    Args:
      images: uint8 [..., height, width, 3].
      statistics: float32 [..., 14], one for each image, in the order of STATISTICS; or [14] for all of them. Images of
        a slide whose numbers the method cannot use (NaN) are returned as they are.
      method: "macenko" scales the amounts of the two stains; "reinhard" matches mean and contrast of lightness and
        colours.
      reference: What they shall look like.
    Returns:
      uint8, of the shape of `images`.
    Raises:
      OptionError: A method, reference, dtype or shape outside what is accepted.
    """
    check_method(method)
    check_reference(reference, method)
    images, statistics = tf.convert_to_tensor(images), tf.convert_to_tensor(statistics, tf.float32)
    if images.dtype != tf.uint8 or (images.shape.rank is not None and (images.shape.rank < 3 or images.shape[-1] != 3)):
        raise OptionError(f"images is {images.dtype.name} {images.shape}: expected uint8 [..., height, width, 3]")
    if statistics.shape.rank is not None and statistics.shape[-1] != len(STATISTICS):
        raise OptionError(f"statistics is {statistics.shape}: expected [..., {len(STATISTICS)}]")
    with tf.name_scope("normalise_stain"):
        of_pixel = statistics[..., tf.newaxis, tf.newaxis, :]
        change = _macenko if method == "macenko" else _reinhard
        used = statistics[..., 6:14] if method == "macenko" else statistics[..., 0:6]
        usable = tf.reduce_all(tf.math.is_finite(used), axis=-1)[..., tf.newaxis, tf.newaxis, tf.newaxis]
        changed = change(tf.cast(images, tf.float32), of_pixel, reference)
        changed = tf.cast(tf.clip_by_value(tf.round(changed), 0.0, 255.0), tf.uint8)
        return tf.ensure_shape(tf.where(usable, changed, images), images.shape)


def read_statistics(table: str, *, cluster: "Cluster") -> "StainTable":
    """Reads the statistics of all slides, as normalise_stain stored them.

    Args:
      table: "keyspace.table", such as "wsi.stain_by_slide".
      cluster: How to reach the cluster.
    Raises:
      SchemaError: There is no such table, or it lacks a column.
      ClusterError: The cluster cannot be reached.
    """
    from tfcass._scan import read_rows

    rows = read_rows(table, cluster=cluster, columns=(*_SLIDE_COLUMNS, *STATISTICS))
    vectors = np.stack([rows[name].to_numpy(zero_copy_only=False).astype(np.float32) for name in STATISTICS], axis=1)
    return StainTable(dict(zip(_slides(rows), vectors, strict=True)), table)


class StainTable:
    """Statistics by slide.

    Args:
      vectors: (patient_id, slide_num) -> float32 [14].
      name: Where they are from, for messages.
    """

    def __init__(self, vectors: Mapping[tuple[str, int], np.ndarray], name: str = "the statistics") -> None:
        self._vectors = dict(vectors)
        self._name = name

    def __len__(self) -> int:
        """Number of slides."""
        return len(self._vectors)

    def for_rows(self, rows: "pa.Table") -> np.ndarray:
        """The statistics of the slide of each row.

        Args:
          rows: With the columns patient_id and slide_num.
        Returns:
          float32 [n, 14], in the order of the rows.
        Raises:
          OptionError: A slide has no statistics.
        """
        slides = _slides(rows)
        if absent := sorted(set(slides) - set(self._vectors)):
            shown = ", ".join(f"{patient} slide {number}" for patient, number in absent[:3])
            raise OptionError(
                f"{self._name} has nothing of {len(absent)} slides ({shown}{', ...' if len(absent) > 3 else ''}); "
                "run `python -m beam_pipelines.normalise_stain` for them"
            )
        return np.array([self._vectors[slide] for slide in slides], np.float32).reshape(-1, len(STATISTICS))

    def by_key(self, rows: "pa.Table", key: str = "patch_id") -> Callable[[tf.Tensor], tf.Tensor]:
        """A function for Dataset.map: keys, uint8 [..., 16] -> statistics of their slides, float32 [..., 14].

        Args:
          rows: With the key column and patient_id, slide_num: those that will be trained on.
          key: Name of the key column.
        Raises:
          OptionError: A slide has no statistics.
        """
        vectors, slide_of_row = np.unique(self.for_rows(rows), axis=0, return_inverse=True)
        keys = np.frombuffer(b"".join(rows[key].to_pylist()), np.uint8).reshape(-1, 16)
        halves = np.ascontiguousarray(keys[:, :8]).view(np.int64)[:, 0]
        first, rows_of = np.unique(halves, return_index=True)
        slide_of_row = slide_of_row.reshape(-1)
        known = slide_of_row[rows_of].astype(np.int64)
        if (
            known[np.searchsorted(first, halves)] != slide_of_row
        ).any():  # Made-up ids: UUIDs differ in this half, too.
            raise OptionError("keys of two slides have the same first 8 bytes; use for_rows")
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(first, known), default_value=-1)
        vectors_tensor = tf.constant(vectors)

        def statistics_of(keys: tf.Tensor) -> tf.Tensor:
            half = tf.bitcast(keys[..., :8], tf.int64)
            number = table.lookup(half)
            found = tf.debugging.Assert(
                tf.reduce_all(number >= 0), ["a key that is not among the rows given to by_key"]
            )
            with tf.control_dependencies([] if found is None else [found]):
                return tf.gather(vectors_tensor, number)

        return statistics_of


def _slides(rows: "pa.Table") -> list[tuple[str, int]]:
    if missing := [name for name in _SLIDE_COLUMNS if name not in rows.column_names]:
        raise OptionError(f"the rows have no {', '.join(missing)} (have: {', '.join(rows.column_names)})")
    return list(zip(*(rows[name].to_pylist() for name in _SLIDE_COLUMNS), strict=True))


def _macenko(images: tf.Tensor, statistics: tf.Tensor, reference: StainStatistics) -> tf.Tensor:
    """Densities are a sum of stains, by least squares, and a rest; stains are replaced, the rest is kept."""
    h, e, maxima = statistics[..., 6:9], statistics[..., 9:12], statistics[..., 12:14]
    gain = tf.clip_by_value(tf.constant(reference.maxima, tf.float32) / maxima, 1 / MAX_GAIN, MAX_GAIN)
    density = -tf.math.log((images + 1.0) / 256.0)
    # The pseudo-inverse of two vectors of length 1, written out: it is quick, and never fails in a batch.
    cosine = tf.reduce_sum(h * e, axis=-1, keepdims=True)
    along_h = tf.reduce_sum(density * h, axis=-1, keepdims=True)
    along_e = tf.reduce_sum(density * e, axis=-1, keepdims=True)
    hh, ee = (tf.reduce_sum(v * v, axis=-1, keepdims=True) for v in (h, e))
    determinant = hh * ee - cosine * cosine
    amount_h = (ee * along_h - cosine * along_e) / determinant
    amount_e = (hh * along_e - cosine * along_h) / determinant
    to_h, to_e = (tf.constant(v, tf.float32) for v in (reference.haematoxylin, reference.eosin))
    density += amount_h * (gain[..., 0:1] * to_h - h) + amount_e * (gain[..., 1:2] * to_e - e)
    return 256.0 * tf.exp(-density) - 1.0


def _reinhard(images: tf.Tensor, statistics: tf.Tensor, reference: StainStatistics) -> tf.Tensor:
    mean, std = statistics[..., 0:3], statistics[..., 3:6]
    to_mean, to_std = (tf.constant(values, tf.float32) for values in (reference.mean, reference.std))
    gain = tf.clip_by_value(to_std / tf.maximum(std, 1e-3), 1 / MAX_GAIN, MAX_GAIN)
    moved = _rgb((_lab(images) - mean) * gain + to_mean)
    densest = tf.reduce_max(-tf.math.log((images + 1.0) / 256.0), axis=-1, keepdims=True)
    weight = tf.clip_by_value((densest - _GLASS_DENSITY) / (_TISSUE_DENSITY - _GLASS_DENSITY), 0.0, 1.0)
    return weight * moved + (1.0 - weight) * images


def _lab(images: tf.Tensor) -> tf.Tensor:
    """Levels in [0, 255] -> CIELAB (D65)."""
    levels = images / 255.0
    linear = tf.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    xyz = tf.linalg.matmul(_flat(linear), tf.constant(_TO_XYZ.T / _WHITE, tf.float32))
    root = tf.where(xyz > _DELTA**3, tf.maximum(xyz, 1e-9) ** (1 / 3), xyz / (3 * _DELTA**2) + 4 / 29)
    x, y, z = root[:, 0], root[:, 1], root[:, 2]
    return tf.reshape(tf.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1), tf.shape(images))


def _rgb(lab: tf.Tensor) -> tf.Tensor:
    """CIELAB -> levels in [0, 255]."""
    y = (lab[..., 0] + 16.0) / 116.0
    root = tf.stack([y + lab[..., 1] / 500.0, y, y - lab[..., 2] / 200.0], axis=-1)
    xyz = tf.where(root > _DELTA, root**3, 3 * _DELTA**2 * (root - 4 / 29))
    linear = tf.linalg.matmul(_flat(xyz), tf.constant(np.linalg.inv(_TO_XYZ.T / _WHITE), tf.float32))
    linear = tf.reshape(tf.clip_by_value(linear, 0.0, 1.0), tf.shape(lab))
    levels = tf.where(linear <= 0.0031308, 12.92 * linear, 1.055 * tf.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    return 255.0 * levels


def _flat(images: tf.Tensor) -> tf.Tensor:
    return tf.reshape(images, [-1, 3])
