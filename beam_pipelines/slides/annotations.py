"""Annotation files -> polygons in level-0 pixels, by slide. The formats are described in annotation_files.py.

Coordinates are level-0 pixels, x to the right, y down, origin at the corner of the whole scan plane.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import PureWindowsPath
from types import MappingProxyType

import shapely

from beam_pipelines.slides.annotation_files import FileError, Record, Unusable, read_records
from beam_pipelines.slides.errors import AnnotationError
from beam_pipelines.slides.polygons import PolygonError, polygon_of_rings

CLASSES: Mapping[str, str] = MappingProxyType(
    {"normal": "normal", "benign": "normal", "tumor": "tumor", "tumour": "tumor", "cancer": "tumor"}
)
_SLIDE_SUFFIXES = (
    ".ome.tiff",
    ".ome.tif",
    ".tiff",
    ".tif",
    ".svs",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
    ".vms",
    ".vmu",
    ".svslide",
)
_SLIDE_SUFFIXES += (".dcm", ".czi", ".isyntax")


@dataclasses.dataclass(frozen=True)
class Region:
    """One annotated area.

    Attributes:
      label: "normal" or "tumor".
      polygon: Valid shapely Polygon or MultiPolygon in level-0 pixels.
    """

    label: str
    polygon: shapely.Geometry


@dataclasses.dataclass(frozen=True)
class AnnotationProblem:
    """Something in an annotation file that was left out, or repaired.

    Attributes:
      file: The file's path.
      where: "row 3", "feature 2", or "" for the file as a whole. Rows count from 2, under the header; features from 1.
      reason: What is wrong, and what was done about it.
      repaired: True when the region is used after repair, False when it is left out.
    """

    file: str
    where: str
    reason: str
    repaired: bool = False

    def __str__(self) -> str:
        return f"{self.file}{', ' if self.where else ''}{self.where}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Annotations:
    """The regions of many slides, and what could not be used.

    Attributes:
      regions_by_slide: `slide_key` of the slide -> its regions, in file order.
      problems: In file order.
    """

    regions_by_slide: Mapping[str, tuple[Region, ...]]
    problems: tuple[AnnotationProblem, ...]

    def of(self, slide: str | os.PathLike[str]) -> tuple[Region, ...]:
        """The regions of a slide given by path, file name or key; empty when it has none."""
        return self.regions_by_slide.get(slide_key(slide), ())


def slide_key(slide: str | os.PathLike[str]) -> str:
    """The name by which slides and annotations find each other: the file name less its suffix, if that is a slide's.

    Only known suffixes go: "TCGA-A1.0001" names a slide in many a CSV and must keep its ".0001".
    """
    name = PureWindowsPath(os.fspath(slide)).name  # Takes both kinds of separators: files come from Windows viewers.
    for suffix in _SLIDE_SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def read_annotations(files: Iterable[str | os.PathLike[str]], class_map: Mapping[str, str] = CLASSES) -> Annotations:
    """Reads annotation files. A bad row or file becomes a problem and does not keep the others from being read.

    Args:
      files: Paths of .csv, .geojson and .json files.
      class_map: Label in the file, any case -> "normal" or "tumor". Extend it with {**CLASSES, "gleason 4": "tumor"}.
    Raises:
      AnnotationError: `class_map` maps to something else.
    """
    classes = {label.strip().casefold(): name for label, name in class_map.items()}
    if bad := sorted({str(name) for name in classes.values() if name not in ("normal", "tumor")}):
        raise AnnotationError(f"the class map leads to {', '.join(bad)}; a label becomes 'normal' or 'tumor'")
    regions: dict[str, list[Region]] = {}
    problems: list[AnnotationProblem] = []
    for file in files:
        path = os.fspath(file)
        try:
            for record in read_records(path):
                _take(path, record, classes, regions, problems)
        except FileError as error:
            problems.append(AnnotationProblem(path, "", str(error)))
    return Annotations({slide: tuple(found) for slide, found in regions.items()}, tuple(problems))


def clip_to_slide(regions: Iterable[Region], width_l0: int, height_l0: int) -> tuple[list[Region], list[str]]:
    """Cuts regions to the slide; returns what is left, and a sentence for each region that reaches outside."""
    frame = shapely.box(0, 0, width_l0, height_l0)
    kept: list[Region] = []
    problems: list[str] = []
    for number, region in enumerate(regions, start=1):
        if frame.covers(region.polygon):
            kept.append(region)
            continue
        inside = shapely.intersection(region.polygon, frame)
        left, top, right, bottom = region.polygon.bounds
        share = inside.area / region.polygon.area
        what = f"region {number} ({region.label}, x {left:.0f} to {right:.0f}, y {top:.0f} to {bottom:.0f})"
        if share == 0:
            problems.append(f"{what} lies outside the slide of {width_l0} x {height_l0} pixels and is left out")
            continue
        problems.append(
            f"{what} reaches outside the slide of {width_l0} x {height_l0} pixels; {share:.1%} of it is used"
        )
        kept.append(Region(region.label, inside))
    return kept, problems


def shift(regions: Iterable[Region], dx_l0: float, dy_l0: float) -> list[Region]:
    """Moves regions, for instance by the corner of `Slide.bounds_l0` when QuPath drew them on a cropped MIRAX slide."""
    return [Region(r.label, shapely.transform(r.polygon, lambda xy: xy + (dx_l0, dy_l0))) for r in regions]


def _take(
    path: str,
    record: Record | Unusable,
    classes: Mapping[str, str],
    regions: dict[str, list[Region]],
    problems: list[AnnotationProblem],
) -> None:
    """Turns one record into a region, or into problems."""
    if isinstance(record, Unusable):
        problems.append(AnnotationProblem(path, record.where, f"{record.reason}; left out"))
        return
    name = classes.get(record.label.strip().casefold()) if isinstance(record.label, str) else None
    if name is None:
        known = ", ".join(sorted(classes))
        problems.append(
            AnnotationProblem(path, record.where, f"label {record.label!r} is not known (known: {known}); left out")
        )
        return
    try:
        if not isinstance(record.polygons, list) or not record.polygons:
            raise PolygonError("no coordinates")
        parts = [polygon_of_rings(rings) for rings in record.polygons]
    except PolygonError as error:
        problems.append(AnnotationProblem(path, record.where, f"{error}; left out"))
        return
    repairs = dict.fromkeys(repair for _, repair in parts if repair)
    problems.extend(AnnotationProblem(path, record.where, repair, repaired=True) for repair in repairs)
    region = Region(name, parts[0][0] if len(parts) == 1 else shapely.union_all([polygon for polygon, _ in parts]))
    regions.setdefault(slide_key(record.slide), []).append(region)
