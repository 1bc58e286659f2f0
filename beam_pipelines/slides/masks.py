"""Regions -> masks by the pixel-centre rule; mask -> fraction of each coarser pixel; masks as PNG.

A pixel belongs to the class that is painted on top at its centre. `rasterise` draws the masks of a whole slide,
`patch_mask` the labels of one patch's pixels; both go through `paint`, which looks at points of a lattice.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import shapely
from PIL import Image

from beam_pipelines.slides.classes import DEFAULT_CLASSES, EXCLUDE, NOT_ANNOTATED, ClassMap
from beam_pipelines.slides.errors import AnnotationError
from beam_pipelines.slides.output import whole_file
from beam_pipelines.slides.polygons import areas

if TYPE_CHECKING:
    from beam_pipelines.slides.annotations import Region


def rasterise(
    regions: Iterable[Region], width_l0: int, height_l0: int, level: int = 6, classes: ClassMap = DEFAULT_CLASSES
) -> dict[str, np.ndarray]:
    """Paints the regions of one slide: no pixel is of two classes.

    Args:
      regions: In level-0 pixels; parts outside the slide are ignored.
      width_l0, height_l0: Size of the slide.
      level: Nominal level of the masks.
      classes: Which class covers which, and what is outside of all regions.
    Returns:
      Class -> bool [height, width] of ceil(size / 2**level) pixels. A pixel is set when its centre lies inside, so that
      polygons which share a border share no pixel and leave none out. A centre past the slide's edge is in no class.
    """
    pixel = 2.0**level
    # Whole numbers of pixels and halves: the centres are exact.
    xs, ys = ((np.arange(math.ceil(side / pixel)) + 0.5) * pixel for side in (width_l0, height_l0))
    painted = paint(regions, xs, ys, classes, size_l0=(width_l0, height_l0))
    return {name: painted == label for name, label in classes.labels}


def patch_mask(
    regions: Iterable[Region],
    x_l0: float,
    y_l0: float,
    size_px: int | tuple[int, int],
    downsample: float | tuple[float, float],
    classes: ClassMap = DEFAULT_CLASSES,
    *,
    size_l0: tuple[int, int] | None = None,
) -> np.ndarray:
    """Labels the pixels of one patch, for segmentation.

    Args:
      regions: In level-0 pixels; those of the whole slide, or what `cut_out` gives for the patch's box.
      x_l0, y_l0: Top-left corner in level-0 pixels.
      size_px: Side of the patch in its own pixels, or (width, height).
      downsample: Level-0 pixels per pixel of the patch, or (x, y).
      classes: Classes and their labels.
      size_l0: (width, height) of the slide: past it, nothing is annotated, `classes.outside` included.
    Returns:
      uint8 [height, width]: the label of the class at each pixel's centre, NOT_ANNOTATED (255) where there is none.
    """
    width_px, height_px = (size_px, size_px) if isinstance(size_px, int) else size_px
    scale_x, scale_y = (downsample, downsample) if isinstance(downsample, int | float) else downsample
    xs, ys = x_l0 + (np.arange(width_px) + 0.5) * scale_x, y_l0 + (np.arange(height_px) + 0.5) * scale_y
    return paint(regions, xs, ys, classes, size_l0=size_l0)


def paint(
    regions: Iterable[Region],
    xs: np.ndarray,
    ys: np.ndarray,
    classes: ClassMap = DEFAULT_CLASSES,
    *,
    size_l0: tuple[int, int] | None = None,
) -> np.ndarray:
    """Tells the label at every point (x, y) of a lattice.

    Args:
      regions: In one frame, the same as `xs` and `ys`.
      xs, ys: float64, ascending.
      classes: Which class covers which.
      size_l0: (width, height) of the slide: past it, nothing is annotated.
    Returns:
      uint8 [len(ys), len(xs)].
    """
    outside = NOT_ANNOTATED if classes.outside is None else classes.label_of(classes.outside)
    painted = np.full((len(ys), len(xs)), outside, np.uint8)
    if not painted.size:
        return painted
    labels = {**dict(classes.labels), EXCLUDE: NOT_ANNOTATED}
    for region in in_painters_order(regions, classes):
        left, top, right, bottom = region.polygon.bounds
        columns, rows = slice(*np.searchsorted(xs, (left, right))), slice(*np.searchsorted(ys, (top, bottom)))
        window = painted[rows, columns]
        if window.size:
            window[_inside(region.polygon, xs[columns], ys[rows])] = labels[region.label]
    if size_l0 is not None:
        painted[:, (xs < 0) | (xs >= size_l0[0])] = NOT_ANNOTATED
        painted[(ys < 0) | (ys >= size_l0[1])] = NOT_ANNOTATED
    return painted


def in_painters_order(regions: Iterable[Region], classes: ClassMap) -> list[Region]:
    """The regions, each one to be painted over those before it.

    Raises:
      AnnotationError: a region is of a class that the class map does not have.
    """
    rank = {name: number for number, name in enumerate((*classes.class_names, EXCLUDE))}
    regions = list(regions)
    if unknown := sorted({region.label for region in regions} - set(rank)):
        raise AnnotationError(f"regions of class {', '.join(unknown)}; the class map has {', '.join(rank)}")
    return regions if classes.order == "file" else sorted(regions, key=lambda region: rank[region.label])


def cut_out(
    regions: Iterable[Region], x_l0: float, y_l0: float, width_l0: float, height_l0: float
) -> tuple[Region, ...]:
    """The parts of regions inside a box, in the same order: little to send to the worker that needs no more."""
    box = shapely.box(x_l0, y_l0, x_l0 + width_l0, y_l0 + height_l0)
    found = []
    for region in regions:
        if shapely.intersects(region.polygon, box):
            inside = areas(shapely.intersection(region.polygon, box))
            if not inside.is_empty:
                found.append(dataclasses.replace(region, polygon=inside))
    return tuple(found)


def fill(geometry: shapely.Geometry, shape: tuple[int, int], pixel: float) -> np.ndarray:
    """Fills polygons with holes by the pixel-centre rule.

    Args:
      geometry: Valid polygon or multipolygon (other parts are ignored), in units of which `pixel` make one pixel.
      shape: (height, width) of the result.
      pixel: Side of a pixel.
    Returns:
      bool [height, width].
    """
    height, width = shape
    return _inside(geometry, (np.arange(width) + 0.5) * pixel, (np.arange(height) + 0.5) * pixel)


def _inside(geometry: shapely.Geometry, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Which points (x, y) lie inside: bool [len(ys), len(xs)].

    Source: even-odd scan-line filling; a line through the points of each row flips at every edge that it crosses.
    """
    flips = np.zeros((len(ys), len(xs) + 1), np.uint8)
    for ring in _rings(geometry):
        x, y = shapely.get_coordinates(ring).T
        _flip(flips, xs, ys, x[:-1], y[:-1], x[1:], y[1:])
    return (np.cumsum(flips[:, : len(xs)], axis=1, dtype=np.uint8) & 1).astype(bool)


def _rings(geometry: shapely.Geometry) -> np.ndarray:
    parts = shapely.get_parts(geometry)
    return shapely.get_rings(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])


def _flip(
    flips: np.ndarray, xs: np.ndarray, ys: np.ndarray, x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray
) -> None:
    """Counts each crossing of an edge and a row at the first point to its right.

    Counts wrap at 256, which leaves even ones even.
    """
    # From top to bottom, so that an edge shared by two polygons is computed, and rounded, alike for both.
    up = y0 > y1
    x0, x1, y0, y1 = np.where(up, x1, x0), np.where(up, x0, x1), np.where(up, y1, y0), np.where(up, y0, y1)
    # Half-open in y: a vertex on a row belongs to one of its two edges. Horizontal edges cross nothing.
    first, last = np.searchsorted(ys, y0, side="left"), np.searchsorted(ys, y1, side="left")
    count = last - first
    edge = np.repeat(np.arange(len(count)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    crossing = x0[edge] + (ys[row] - y0[edge]) * (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
    column = np.searchsorted(xs, crossing, side="left")  # The last column is past the picture.
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


def write_mask_png(path: str | os.PathLike[str], mask: np.ndarray) -> None:
    """Writes bool [height, width] as an 8-bit grey PNG, 0 and 255, whole or not at all.

    Raises:
      OutputError: the file cannot be written, for instance because the disk is full.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(mask_png(mask))


def mask_png(mask: np.ndarray) -> bytes:
    """bool [height, width] as an 8-bit grey PNG, 0 and 255."""
    return encode_mask(mask.astype(np.uint8) * 255)


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


def encode_mask(mask: np.ndarray) -> bytes:
    """A label mask, uint8 [height, width], as PNG bytes: the label blob of a table for segmentation.

    Raises:
      ValueError: `mask` is something else.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise ValueError(f"mask is {mask.dtype} {list(mask.shape)}; expected uint8 [height, width]")
    file = io.BytesIO()
    Image.fromarray(mask).save(file, format="PNG")
    return file.getvalue()


def decode_mask(data: bytes) -> np.ndarray:
    """The label mask that `encode_mask` wrote.

    Raises:
      ValueError: `data` is no PNG of one 8-bit channel.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode != "L":
                raise ValueError(f"mask of {len(data)} bytes is a {image.mode} picture; a mask has one 8-bit channel")
            return np.array(image)
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"mask of {len(data)} bytes is no PNG: {error}") from error
