"""XML annotations -> records: ASAP's and Aperio ImageScope's, told apart by the root element.

ASAP       one Annotation a region, labelled by its group (or the group's own group), or by its name when it is in none.
Aperio     layers (Annotation) of Regions, labelled by the region's text, the layer's name, or "LineColor=65280" where
           neither says anything. A region with NegativeROA="1" is a hole in the others of its layer.

Both count from the corner of the whole plane. Files come from strangers: entities and external references are refused.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler

import defusedxml.sax
import numpy as np
from defusedxml.common import DefusedXmlException, EntitiesForbidden

from beam_pipelines.slides.annotation_records import LEVEL0, Content, FileError, Record, Unusable

_ELLIPSE_POINTS = 128  # Encloses 99.96% of the ellipse.
# Aperio's kinds of regions, and ASAP's, that enclose an area. The others are lines, rulers, arrows, points.
_APERIO_POLYGON, _APERIO_RECTANGLE, _APERIO_ELLIPSE = ("0", "polygon"), ("1", "rectangle"), ("2", "ellipse")
_ASAP_AREAS = ("polygon", "rectangle", "spline")


def xml_content(path: str) -> Content:
    """Reads a file.

    Raises:
      FileError: it is not well-formed, defines entities, or is neither ASAP's nor Aperio's.
      OSError: it cannot be read.
    """
    handler = _Handler()
    parser = defusedxml.sax.make_parser()
    parser.setContentHandler(handler)
    try:
        with open(path, "rb") as file:
            parser.parse(file)
    except EntitiesForbidden as error:
        raise FileError(
            f"defines the XML entity {error.name!r}, and is refused: entities can grow without end; "
            "save it again from the program that drew it"
        ) from None
    except DefusedXmlException as error:
        raise FileError(f"is refused: it refers to something outside of itself ({error})") from None
    except SAXParseException as error:
        raise FileError(f"malformed XML at line {error.getLineNumber()}: {error.getMessage()}") from None
    except (SAXException, ValueError) as error:
        raise FileError(f"malformed XML: {error}") from None
    stem = Path(path).stem
    if handler.root == "ASAP_Annotations":
        return Content("ASAP XML", LEVEL0, _asap_records(handler, stem))
    if handler.root == "Annotations":
        return Content("Aperio XML", LEVEL0, _aperio_records(handler, stem))
    raise FileError(f"its root is <{handler.root}>; expected ASAP's <ASAP_Annotations> or Aperio's <Annotations>")


@dataclasses.dataclass
class _Shape:
    """A region (Aperio) or annotation (ASAP): attributes of it and of its layer, and its points as texts."""

    attributes: Mapping[str, str]
    layer: int
    layer_attributes: Mapping[str, str]
    points: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)


class _Handler(ContentHandler):
    """Collects shapes and groups of both formats; a million points are a matter of seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.root = ""
        self.shapes: list[_Shape] = []
        self.groups: dict[str, str] = {}  # ASAP: group -> the group that it is part of.
        self._layer: Mapping[str, str] = {}
        self._layers = 0

    def startElement(self, name: str, attributes: Mapping[str, str]) -> None:
        if not self.root:
            self.root = name
        elif name in ("Coordinate", "Vertex"):
            if self.shapes:
                get = attributes.get
                self.shapes[-1].points.append((get("X", ""), get("Y", ""), get("Order", "")))
        elif name == "Annotation":
            self._layer = dict(attributes)
            self._layers += 1
            if self.root == "ASAP_Annotations":
                self.shapes.append(_Shape(self._layer, self._layers, {}))
        elif name == "Region":
            self.shapes.append(_Shape(dict(attributes), self._layers, self._layer))
        elif name == "Group":
            self.groups[attributes.get("Name", "")] = attributes.get("PartOfGroup", "")


def _asap_records(handler: _Handler, stem: str) -> Iterator[Record | Unusable]:
    for number, shape in enumerate(handler.shapes, start=1):
        where, kind = f"annotation {number}", shape.attributes.get("Type", "Polygon")
        if kind.lower() not in _ASAP_AREAS:
            yield Unusable(where, f"type {kind!r} has no area; only Polygon, Rectangle and Spline are used")
            continue
        ring = _ring(shape)
        if ring is None:
            yield Unusable(where, "has coordinates that are not numbers")
            continue
        note = "a spline is read as the polygon of its points" if kind.lower() == "spline" else ""
        yield Record(where, stem, _asap_labels(shape, handler.groups), [[ring]], note=note)


def _asap_labels(shape: _Shape, groups: Mapping[str, str]) -> tuple[str, ...]:
    """Its group, the group of that, and so on; its own name when it is in no group."""
    found: dict[str, None] = {}
    group = shape.attributes.get("PartOfGroup", "")
    while group and group != "None" and group not in found:
        found[group] = None
        group = groups.get(group, "")
    return tuple(found) or _texts(shape.attributes.get("Name"))


def _aperio_records(handler: _Handler, stem: str) -> Iterator[Record | Unusable]:
    for number, shape in enumerate(handler.shapes, start=1):
        where = f"region {number}"
        kind = shape.attributes.get("Type", "0").lower()
        if kind not in (*_APERIO_POLYGON, *_APERIO_RECTANGLE, *_APERIO_ELLIPSE):
            yield Unusable(where, f"region type {kind!r} has no area; only outlines, rectangles and ellipses are used")
            continue
        ring = _ring(shape)
        if ring is None:
            yield Unusable(where, "has coordinates that are not numbers")
            continue
        if len(ring) == 2 and kind not in _APERIO_POLYGON:  # Opposite corners of the box around it.
            ring = _ellipse(*ring) if kind in _APERIO_ELLIPSE else _box(*ring)
        yield Record(
            where,
            stem,
            _aperio_labels(shape),
            [[ring]],
            layer=str(shape.layer),
            negative=shape.attributes.get("NegativeROA", "0").lower() in ("1", "true"),
        )


def _aperio_labels(shape: _Shape) -> tuple[str, ...]:
    layer = shape.layer_attributes
    colour = layer.get("LineColor")
    named = (shape.attributes.get("Text"), layer.get("Name"))
    return _texts(*named, None if colour is None else f"LineColor={colour}")


def _texts(*values: str | None) -> tuple[str, ...]:
    return tuple(value for value in values if value and value.strip())


def _ring(shape: _Shape) -> np.ndarray | None:
    """float64 [n, 2], in the order that the file gives; None when a coordinate is no number."""
    if not shape.points:
        return np.empty((0, 2))
    try:
        xy = np.array([point[:2] for point in shape.points]).astype(np.float64)
        if all(point[2] for point in shape.points):
            order = np.array([point[2] for point in shape.points]).astype(np.float64)
            xy = xy[np.argsort(order, kind="stable")]
    except ValueError:
        return None
    return xy


def _ellipse(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    turn = np.linspace(0, 2 * math.pi, _ELLIPSE_POINTS, endpoint=False)
    return (one + other) / 2 + np.stack([np.cos(turn), np.sin(turn)], axis=1) * np.abs(other - one) / 2


def _box(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.array([one, (other[0], one[1]), other, (one[0], other[1])])
