"""Rings of coordinates, as files hold them, -> valid polygons."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import shapely


class PolygonError(ValueError):
    """Coordinates that make no area, with the reason."""


def polygon_of_rings(rings: Any) -> tuple[shapely.Geometry, str | None]:
    """Makes a valid polygon.

    Args:
      rings: List of rings, the outer one first and then its holes; a ring is a list of [x, y] (more coordinates are
        ignored) or an array of them, and need not be closed.
    Returns:
      Polygon or MultiPolygon with an area, and a sentence about what was repaired, or None.
    Raises:
      PolygonError: the rings make no area.
    """
    if not isinstance(rings, list) or not rings:
        raise PolygonError("no coordinates")
    arrays = [_ring(ring, "the outline" if number == 0 else f"hole {number}") for number, ring in enumerate(rings)]
    polygon = shapely.Polygon(arrays[0], arrays[1:])
    if shapely.is_valid(polygon) and polygon.area > 0:
        return polygon, None
    reason = shapely.is_valid_reason(polygon)
    # "structure" keeps holes as holes where the outline only touches them; "linework" would fill some.
    repaired = areas(shapely.make_valid(polygon, method="structure", keep_collapsed=False))
    if repaired.area == 0:
        raise PolygonError(f"it encloses no area ({reason})")
    return repaired, f"invalid polygon repaired ({reason})"


def _ring(points: Any, name: str) -> np.ndarray:
    """float64 [n, 2], n >= 3 distinct points."""
    xy = points if isinstance(points, np.ndarray) else _numbers(points)
    if xy is None:
        raise PolygonError(f"{name} is not a list of [x, y] numbers")
    if not np.isfinite(xy).all():
        raise PolygonError(f"{name} has coordinates that are not finite")
    # Three are found at once in any real outline; only then is it not worth sorting a million.
    distinct = len(np.unique(xy[:100], axis=0))
    if distinct < 3 and (distinct := len(np.unique(xy, axis=0))) < 3:
        raise PolygonError(f"{name} has too few points ({distinct} distinct, 3 are needed)")
    return xy


def _numbers(points: Any) -> np.ndarray | None:
    """float64 [n, 2] of a list of lists of numbers, or None when it is none."""
    try:
        kinds = set(map(type, itertools.chain.from_iterable(points)))
        if not kinds <= {int, float}:
            # A third coordinate may be anything; the first two may not be texts or truth values.
            kinds = {type(value) for point in points for value in point[:2]}
            if not kinds <= {int, float}:
                return None
        return np.array([(point[0], point[1]) for point in points], dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return None


def areas(geometry: shapely.Geometry) -> shapely.Geometry:
    """The polygons of a geometry that may also hold lines and points; an empty polygon when it holds no area."""
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return geometry
    parts = shapely.get_parts(geometry)
    return shapely.union_all(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])
