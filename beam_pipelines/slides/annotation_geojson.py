"""GeoJSON -> records: what QuPath exports, and what other programs write in its place.

A FeatureCollection, a bare list of features, or one feature. Polygon, MultiPolygon or a GeometryCollection of them,
with holes. The label is `properties.classification`: its `name`, or `names` where classes are compound; "Tumor" and
"Positive" are looked up as "tumor: positive", which is how QuPath shows them, then each alone. The slide is
`properties.slide` of the feature, else the file's own name ("S1.geojson" and "S1.svs.geojson" both belong to slide S1).

QuPath counts from the corner of the scanned box (BOUNDS) unless told not to crop; a file without QuPath's marks counts
from the corner of the plane.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from beam_pipelines.slides.annotation_records import BOUNDS, LEVEL0, Content, FileError, Record, Unusable

# Found by QuPath, not drawn by a person; a full export has many thousands of them.
_DETECTIONS = ("detection", "cell", "tile")


def geojson_content(text: str, stem: str) -> Content:
    """The records of a GeoJSON text.

    Args:
      text: The file's content.
      stem: The file's name less its suffix: the slide, where a feature names none.
    Raises:
      FileError: it is not JSON, or holds no features.
    """
    try:
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"malformed JSON: {error}") from error
    features = root
    if isinstance(root, dict):
        features = root.get("features") if root.get("type") == "FeatureCollection" else [root]
    if not isinstance(features, list):
        raise FileError("holds no GeoJSON features; expected a FeatureCollection, a list of features or one feature")
    if any(_marked_by_qupath(feature) for feature in features):
        return Content("QuPath GeoJSON", BOUNDS, _records(features, stem))
    return Content("GeoJSON", LEVEL0, _records(features, stem))


def _records(features: list[Any], stem: str) -> Iterator[Record | Unusable]:
    detections = 0
    for number, feature in enumerate(features, start=1):
        if isinstance(feature, dict) and _properties(feature).get("objectType") in _DETECTIONS:
            detections += 1
        else:
            yield _record(f"feature {number}", feature, stem)
    if detections:
        yield Unusable("", f"{detections:,} detections are no annotations", harmless=True)


def _record(where: str, feature: Any, stem: str) -> Record | Unusable:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict):
        return Unusable(where, "not a GeoJSON feature with a geometry")
    properties = _properties(feature)
    polygons = _polygons(geometry)
    if polygons is None and geometry.get("type") != "MultiPolygon":
        return Unusable(where, f"geometry {geometry.get('type')!r} has no area; only Polygon and MultiPolygon are used")
    return Record(where, str(properties.get("slide") or stem), _labels(properties.get("classification")), polygons)


def _polygons(geometry: dict[str, Any]) -> Any:
    """List of polygons as the file has them, or None when the kind of geometry has no area."""
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "Polygon":
        return [coordinates]
    if kind == "MultiPolygon":
        return coordinates
    if kind == "GeometryCollection" and isinstance(geometry.get("geometries"), list):
        found = [_polygons(part) or [] for part in geometry["geometries"] if isinstance(part, dict)]
        return [polygon for polygons in found for polygon in polygons] or None
    return None


def _labels(classification: Any) -> tuple[Any, ...]:
    if not isinstance(classification, dict):
        return () if classification is None else (classification,)
    names = classification.get("names")
    if not isinstance(names, list) or not names:
        name = classification.get("name")
        if name is None:
            return ()
        # Older files have the compound name only.
        names = name.split(":") if isinstance(name, str) else [name]
    parts = [part.strip() if isinstance(part, str) else part for part in names]
    return (": ".join(map(str, parts)), *parts) if len(parts) > 1 else tuple(parts)


def _properties(feature: dict[str, Any]) -> dict[str, Any]:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _marked_by_qupath(feature: Any) -> bool:
    if not isinstance(feature, dict):
        return False
    properties = _properties(feature)
    classification = properties.get("classification")
    return (
        "objectType" in properties
        or "isLocked" in properties
        or str(feature.get("id", "")).startswith("Path")
        or (isinstance(classification, dict) and not classification.keys().isdisjoint(("color", "colorRGB")))
    )
