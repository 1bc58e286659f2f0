"""Polygons -> masks; mask -> fraction of each coarser pixel; masks as PNG."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import shapely
from PIL import Image

from beam_pipelines.slides.errors import AnnotationError
from beam_pipelines.slides.output import whole_file

if TYPE_CHECKING:
    from beam_pipelines.slides.annotations import Region


def rasterise(regions: Iterable[Region], width_l0: int, height_l0: int, level: int = 6) -> dict[str, np.ndarray]:
    """Paints the regions of one slide, tumour over normal: no pixel is both.

    Args:
      regions: Labelled "normal" or "tumor", in level-0 pixels; parts outside the slide are ignored.
      width_l0, height_l0: Size of the slide.
      level: Nominal level of the masks.
    Returns:
      {"normal": bool [height, width], "tumor": bool [height, width]} of ceil(size / 2**level) pixels. A pixel is set
      when its centre lies inside, so that polygons which share a border share no pixel and leave none out.
    """
    shape = (math.ceil(height_l0 / 2**level), math.ceil(width_l0 / 2**level))
    polygons: dict[str, list[shapely.Geometry]] = {"normal": [], "tumor": []}
    for region in regions:
        polygons[region.label].append(region.polygon)
    frame = shapely.box(0, 0, width_l0, height_l0)
    masks = {
        label: fill(shapely.intersection(shapely.union_all(parts), frame), shape, 2.0**level)
        for label, parts in polygons.items()
    }
    masks["normal"] &= ~masks["tumor"]
    return masks


def fill(geometry: shapely.Geometry, shape: tuple[int, int], pixel: float) -> np.ndarray:
    """Fills polygons with holes by the pixel-centre rule.

    Args:
      geometry: Valid polygon or multipolygon (other parts are ignored), in units of which `pixel` make one pixel.
      shape: (height, width) of the result.
      pixel: Side of a pixel.
    Returns:
      bool [height, width].
    Source: even-odd scan-line filling; a line through the pixel centres of each row flips at every edge that it
      crosses.
    """
    height, width = shape
    flips = np.zeros((height, width + 1), np.uint8)
    for ring in _rings(geometry):
        x, y = shapely.get_coordinates(ring).T / pixel - 0.5  # Pixel centres at whole numbers.
        _flip(flips, x[:-1], y[:-1], x[1:], y[1:])
    return (np.cumsum(flips[:, :width], axis=1, dtype=np.uint8) & 1).astype(bool)


def _rings(geometry: shapely.Geometry) -> np.ndarray:
    parts = shapely.get_parts(geometry)
    return shapely.get_rings(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])


def _flip(flips: np.ndarray, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray) -> None:
    """Counts each crossing of an edge and a row at the first pixel centre to its right.

    Counts wrap at 256, which leaves even ones even.
    """
    height, width = flips.shape
    # From top to bottom, so that an edge shared by two polygons is computed, and rounded, alike for both.
    up = y0 > y1
    x0, x1, y0, y1 = np.where(up, x1, x0), np.where(up, x0, x1), np.where(up, y1, y0), np.where(up, y0, y1)
    # Half-open in y: a vertex on a row belongs to one of its two edges. Horizontal edges cross nothing.
    first, last = (np.clip(np.ceil(y), 0, height).astype(np.int64) for y in (y0, y1))
    count = last - first
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    crossing = x0[edge] + (row - y0[edge]) * (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
    column = np.clip(np.ceil(crossing), 0, width - 1).astype(np.int64)  # The last column is past the picture.
    np.add.at(flips, (row, column), 1)


def mask_fraction(mask: np.ndarray, from_level: int = 6, to_level: int = 9) -> np.ndarray:
    """Tells how much of each pixel of a coarser level is set.

    Args:
      mask: bool [height, width] at nominal level `from_level`.
      from_level, to_level: Nominal levels, `to_level` at least `from_level`.
    Returns:
      float32 [ceil(height / k), ceil(width / k)] in [0, 1], k = 2**(to_level - from_level). Always of the full pixel:
      what lies past the mask counts as not set, as a patch there is white.
    """
    if to_level < from_level:
        raise ValueError(f"to_level={to_level} is finer than from_level={from_level}")
    factor = 2 ** (to_level - from_level)
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % factor), (0, -width % factor)))
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
    return blocks.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)


def mask_png(mask: np.ndarray) -> bytes:
    """bool [height, width] -> an 8-bit grey PNG, 0 and 255."""
    content = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(content, format="PNG")
    return content.getvalue()


def write_mask_png(path: str | os.PathLike[str], mask: np.ndarray) -> None:
    """Writes bool [height, width] as an 8-bit grey PNG, 0 and 255, whole or not at all.

    Raises:
      OutputError: the file cannot be written, for instance because the disk is full.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(mask_png(mask))


def read_mask_png(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a mask as bool [height, width]; any value but 0 is set, so that 0/1 masks of other tools do as well.

    Raises:
      AnnotationError: the file is missing, not a picture, or in colour.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "P", "I;16", "I"):
                raise AnnotationError(
                    f"mask {os.fspath(path)!r} is a {image.mode} picture; a mask has one grey channel"
                )
            return np.asarray(image) != 0
    except (OSError, Image.DecompressionBombError) as error:
        raise AnnotationError(f"cannot read mask {os.fspath(path)!r}: {error}") from error
