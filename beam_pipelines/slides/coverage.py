"""Exact areas of polygons inside many boxes, without a raster.

The edges of all boxes cut the plane into cells. Each edge of a polygon is cut where it crosses a line between cells; by
Green's theorem the signed areas beside the pieces add up to the area of the polygon in each cell, and sums over cells
give the boxes. The cost grows with the polygon's points and with the cells, not with their product: a million points
and a hundred thousand boxes are a matter of seconds.
"""

from __future__ import annotations

import numpy as np
import shapely

_CELLS = 4_000_000  # Of one band of boxes: 32 MB a field, however large the slide and small the stride.


def areas_in_boxes(
    geometry: shapely.Geometry, left: np.ndarray, top: np.ndarray, right: np.ndarray, bottom: np.ndarray
) -> np.ndarray:
    """Area of the part of a geometry inside each box.

    Args:
      geometry: Valid Polygon or MultiPolygon.
      left, top, right, bottom: float64 [n], the boxes; they may overlap.
    Returns:
      float64 [n], exact but for rounding (about 1e-5 square pixels on the largest slides).
    """
    left, top, right, bottom = (np.asarray(side, dtype=np.float64) for side in (left, top, right, bottom))
    found = np.zeros(len(left))
    if geometry.is_empty:
        return found
    x_min, y_min, x_max, y_max = geometry.bounds
    near = np.flatnonzero((left < x_max) & (right > x_min) & (top < y_max) & (bottom > y_min))
    if not len(near):
        return found
    edges = _edges(geometry)
    near = near[np.lexsort((left[near], top[near]))]
    # Of all bands: those of one band are never more.
    columns = len(np.unique(np.concatenate([left[near], right[near]])))
    for band in bands(top[near], bottom[near], columns):
        boxes = near[band]
        found[boxes] = _band_areas(edges, left[boxes], top[boxes], right[boxes], bottom[boxes])
    return found


def bands(top: np.ndarray, bottom: np.ndarray, columns: int) -> list[slice]:
    """Cuts boxes, sorted by their top, into runs whose lines make a lattice that fits into memory.

    Args:
      top, bottom: float64 [n].
      columns: Columns of the lattice.
    """
    rows = max(2, _CELLS // max(1, columns))
    runs, first = [], 0
    while first < len(top):
        last = len(top)
        while len(np.unique(np.concatenate([top[first:last], bottom[first:last]]))) > rows and last - first > 1:
            last = first + (last - first + 1) // 2
        runs.append(slice(first, last))
        first = last
    return runs


def _edges(geometry: shapely.Geometry) -> np.ndarray:
    """float64 [n, 4] of x0, y0, x1, y1, with the inside always on the same side."""
    polygons = shapely.get_parts(shapely.orient_polygons(geometry, exterior_cw=False))
    rings = shapely.get_rings(polygons[shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON])
    points = [shapely.get_coordinates(ring) for ring in rings]
    return np.concatenate([np.hstack([xy[:-1], xy[1:]]) for xy in points])


def _band_areas(
    edges: np.ndarray, left: np.ndarray, top: np.ndarray, right: np.ndarray, bottom: np.ndarray
) -> np.ndarray:
    xs, ys = np.unique(np.concatenate([left, right])), np.unique(np.concatenate([top, bottom]))
    cells = _cell_areas(edges, xs, ys)
    # Two running sums, with a leading zero: the sum over any box of cells is four look-ups.
    sums = np.zeros((len(ys), len(xs)))
    np.cumsum(cells, axis=0, out=cells)
    np.cumsum(cells, axis=1, out=sums[1:, 1:])
    (x0, x1), (y0, y1) = np.searchsorted(xs, (left, right)), np.searchsorted(ys, (top, bottom))
    return np.maximum(sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0], 0.0)


def _cell_areas(edges: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Area in each cell between neighbouring lines: float64 [len(ys) - 1, len(xs) - 1].

    An edge with the height dy fills the strip between itself and the left end of its row, with the sign of dy.
    """
    pieces = _cut(_of_band(edges, ys, xs[0]), xs, ys)
    x0, y0, x1, y1 = pieces.T
    column = np.searchsorted(xs, (x0 + x1) / 2, side="right") - 1
    row = np.searchsorted(ys, (y0 + y1) / 2, side="right") - 1
    kept = (row >= 0) & (row < len(ys) - 1) & (column >= 0)
    x0, y0, x1, y1, column, row = (values[kept] for values in (x0, y0, x1, y1, column, row))
    shape = (len(ys) - 1, len(xs))  # The last column is all that lies right of the last line.
    place = row * shape[1] + column
    heights = np.bincount(place, y1 - y0, shape[0] * shape[1]).reshape(shape)
    own = np.bincount(place, ((x0 + x1) / 2 - xs[column]) * (y1 - y0), shape[0] * shape[1]).reshape(shape)[:, :-1]
    # What lies in a column further right covers the whole width of this one.
    beyond = np.cumsum(heights[:, ::-1], axis=1)[:, ::-1][:, 1:]
    return own + beyond * np.diff(xs)


def _of_band(edges: np.ndarray, ys: np.ndarray, left: float) -> np.ndarray:
    low, high = np.minimum(edges[:, 1], edges[:, 3]), np.maximum(edges[:, 1], edges[:, 3])
    return edges[(low < ys[-1]) & (high > ys[0]) & (low < high) & (np.maximum(edges[:, 0], edges[:, 2]) > left)]


def _cut(edges: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Cuts edges at all lines that they cross."""
    for axis, lines in ((0, xs), (1, ys)):
        start, end = edges[:, axis], edges[:, axis + 2]
        first = np.searchsorted(lines, np.minimum(start, end), side="right")
        count = np.maximum(np.searchsorted(lines, np.maximum(start, end), side="left") - first, 0)
        crossing = count > 0
        if not crossing.any():
            continue
        edges = np.concatenate(
            [edges[~crossing], _cut_at(edges[crossing], axis, lines, first[crossing], count[crossing])]
        )
    return edges


def _cut_at(edges: np.ndarray, axis: int, lines: np.ndarray, first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Cuts each edge at `count` lines from `first` on; an edge and its pieces run the same way."""
    edge = np.repeat(np.arange(len(edges)), count + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(count + 1) - count - 1, count + 1)
    backwards = (edges[:, axis] > edges[:, axis + 2])[edge]
    ends = edges[edge]
    # The point at which each piece begins: the edge's own, or its crossing with the line before.
    line = np.where(backwards, (first + count)[edge] - step, first[edge] + step - 1)
    line = np.clip(line, 0, len(lines) - 1)
    along = (lines[line] - ends[:, axis]) / (ends[:, axis + 2] - ends[:, axis])
    begins = ends[:, :2].copy()
    inner = step > 0
    other = 1 - axis
    begins[inner, axis] = lines[line[inner]]
    begins[inner, other] += along[inner] * (ends[inner, other + 2] - ends[inner, other])
    pieces = np.hstack([begins, ends[:, 2:]])
    pieces[:-1][inner[1:], 2:] = begins[1:][inner[1:]]
    return pieces
