"""Annotation files -> polygons, by slide. The formats are described in annotation_files.py, the classes in classes.py.

Coordinates are level-0 pixels, x to the right, y down. Where the origin is, a Region's `frame` says; `clip_to_slide`
brings all of them to the corner of the whole scan plane, once the slide is open.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import PureWindowsPath

import numpy as np
import shapely

from beam_pipelines.slides.annotation_files import read_content
from beam_pipelines.slides.annotation_records import BOUNDS, FRAMES, LEVEL0, FileError, Record, Unusable
from beam_pipelines.slides.classes import CLASSES, DEFAULT_CLASSES, EXCLUDE, ClassMap, UnknownLabel
from beam_pipelines.slides.errors import AnnotationError
from beam_pipelines.slides.polygons import PolygonError, areas, polygon_of_rings

__all__ = [
    "BOUNDS",
    "CLASSES",
    "EXCLUDE",
    "LEVEL0",
    "AnnotationFile",
    "AnnotationProblem",
    "Annotations",
    "Region",
    "check_frame",
    "clip_to_slide",
    "read_annotations",
    "shift",
    "slide_key",
]

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
      label: A class of the ClassMap, such as "normal" or "tumor"; or EXCLUDE.
      polygon: Valid shapely Polygon or MultiPolygon in level-0 pixels.
      frame: What they count from: LEVEL0, the corner of the whole plane, or BOUNDS, that of the scanned box.
    """

    label: str
    polygon: shapely.Geometry
    frame: str = LEVEL0


@dataclasses.dataclass(frozen=True)
class AnnotationProblem:
    """Something in an annotation file that was left out, or repaired.

    Attributes:
      file: The file's path.
      where: "row 3", "feature 2", or "" for the file as a whole. Rows count from 2, under the header; features from 1.
      reason: What is wrong, and what was done about it.
      repaired: True when nothing that was drawn is lost, False when a region is left out.
    """

    file: str
    where: str
    reason: str
    repaired: bool = False

    def __str__(self) -> str:
        return f"{self.file}{', ' if self.where else ''}{self.where}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class AnnotationFile:
    """A file that was read.

    Attributes:
      path: As given.
      format: Such as "QuPath GeoJSON".
      frame: LEVEL0 or BOUNDS: what its coordinates were taken to count from.
      regions: Number of regions that it gave.
    """

    path: str
    format: str
    frame: str
    regions: int


@dataclasses.dataclass(frozen=True)
class Annotations:
    """The regions of many slides, and what could not be used.

    Attributes:
      regions_by_slide: `slide_key` of the slide -> its regions, in file order.
      problems: In file order.
      files: Those that could be read.
    """

    regions_by_slide: Mapping[str, tuple[Region, ...]]
    problems: tuple[AnnotationProblem, ...]
    files: tuple[AnnotationFile, ...] = ()

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


def check_frame(frame: str) -> None:
    """Raises AnnotationError unless `frame` is one that read_annotations takes."""
    if frame not in ("auto", *FRAMES):
        raise AnnotationError(f"frame={frame!r} is not one of auto, {', '.join(FRAMES)}")


def read_annotations(
    files: Iterable[str | os.PathLike[str]],
    class_map: Mapping[str, str | None] | ClassMap = DEFAULT_CLASSES,
    *,
    frame: str = "auto",
) -> Annotations:
    """Reads annotation files. A bad row or file becomes a problem and does not keep the others from being read.

    Args:
      files: Paths of .csv, .geojson, .json and .xml files.
      class_map: A ClassMap; or label in the file, any case -> "normal", "tumor", EXCLUDE, or None to leave it out.
        Extend it with {**CLASSES, "gleason 4": "tumor"}.
      frame: What coordinates count from. "auto": what the program that writes the format counts from; "level0" or
        "bounds" says it for all files.
    Raises:
      AnnotationError: `class_map` maps to something else, or `frame` is none.
    """
    classes = ClassMap.from_mapping(class_map)
    check_frame(frame)
    regions: dict[str, list[Region]] = {}
    problems: list[AnnotationProblem] = []
    read: list[AnnotationFile] = []
    for file in files:
        reader = _FileReader(os.fspath(file), classes, frame)
        reader.read()
        problems += reader.problems
        for slide, region in reader.regions():
            regions.setdefault(slide_key(slide), []).append(region)
        if reader.summary is not None:
            read.append(reader.summary)
    return Annotations({slide: tuple(found) for slide, found in regions.items()}, tuple(problems), tuple(read))


def clip_to_slide(
    regions: Iterable[Region],
    width_l0: int,
    height_l0: int,
    bounds_l0: tuple[int, int, int, int] | None = None,
) -> tuple[list[Region], list[str]]:
    """Brings regions to the slide's plane and cuts them to it.

    Args:
      regions: In any frame.
      width_l0, height_l0: Size of the slide.
      bounds_l0: `Slide.bounds_l0`, to whose corner regions of the frame BOUNDS are moved.
    Returns:
      What is left, all in LEVEL0, and a sentence for each region that reaches outside; one more when most of the area
      does, as it does when another slide was annotated, or another scan of this one.
    """
    placed = _to_level0(regions, bounds_l0)
    frame = shapely.box(0, 0, width_l0, height_l0)
    kept: list[Region] = []
    problems: list[str] = []
    for number, region in enumerate(placed, start=1):
        if frame.covers(region.polygon):
            kept.append(region)
            continue
        inside = areas(shapely.intersection(region.polygon, frame))
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
    if problems and sum(r.polygon.area for r in kept) < 0.5 * sum(r.polygon.area for r in placed):
        right, bottom = np.max([region.polygon.bounds[2:] for region in placed], axis=0)
        problems.append(
            f"most of the annotated area lies outside: it was drawn on a slide of at least {right:.0f} x {bottom:.0f} "
            f"pixels, and this one has {width_l0} x {height_l0}; are these the annotations of this slide, at full size?"
        )
    return kept, problems


def shift(regions: Iterable[Region], dx_l0: float, dy_l0: float) -> list[Region]:
    """Moves regions, for instance by the corner of `Slide.bounds_l0` when QuPath drew them on a cropped MIRAX slide."""
    offset = (dx_l0, dy_l0)
    return [
        dataclasses.replace(region, polygon=shapely.transform(region.polygon, lambda xy: xy + offset))
        for region in regions
    ]


def _to_level0(regions: Iterable[Region], bounds_l0: tuple[int, int, int, int] | None) -> list[Region]:
    placed = []
    for region in regions:
        if region.frame == BOUNDS:
            (moved,) = shift([region], *bounds_l0[:2]) if bounds_l0 is not None else [region]
            region = dataclasses.replace(moved, frame=LEVEL0)
        placed.append(region)
    return placed


class _FileReader:
    """One file: its regions, and what is wrong with it."""

    def __init__(self, path: str, classes: ClassMap, frame: str) -> None:
        self.problems: list[AnnotationProblem] = []
        self.summary: AnnotationFile | None = None
        self._path = path
        self._classes = classes
        self._frame = frame
        self._found: list[tuple[Record, str, shapely.Geometry]] = []
        self._holes: list[tuple[Record, shapely.Geometry]] = []

    def read(self) -> None:
        try:
            content = read_content(self._path)
            if self._frame == "auto":
                self._frame = content.frame
            self.summary = AnnotationFile(self._path, content.format, self._frame, 0)
            for record in content.records:
                self._take(record)
        except FileError as error:
            self._complain("", str(error))
        for record, hole in self._holes:
            self._cut(record, hole)
        if self.summary is not None:
            self.summary = dataclasses.replace(self.summary, regions=len(self._found))

    def regions(self) -> Iterable[tuple[str, Region]]:
        """(slide, region), in file order."""
        for record, label, polygon in self._found:
            yield record.slide, Region(label, polygon, self._frame)

    def _take(self, record: Record | Unusable) -> None:
        """Turns one record into a region or hole, or into problems."""
        if isinstance(record, Unusable):
            self._complain(record.where, f"{record.reason}; left out", harmless=record.harmless)
            return
        try:
            name = None if record.negative else self._class_of(record)
            if name is None and not record.negative:
                return  # As the class map wants it.
            polygon = self._polygon(record)
        except (UnknownLabel, PolygonError) as error:
            self._complain(record.where, f"{error}; left out")
            return
        if record.note:
            self._complain(record.where, record.note, harmless=True)
        if record.negative:
            self._holes.append((record, polygon))
        else:
            self._found.append((record, name, polygon))

    def _class_of(self, record: Record) -> str | None:
        if not all(isinstance(label, str) for label in record.labels):
            shown = " or ".join(repr(label) for label in record.labels)
            raise UnknownLabel(f"label {shown} is not known to the class map: it is no text")
        return self._classes.class_of(record.labels)

    def _polygon(self, record: Record) -> shapely.Geometry:
        if not isinstance(record.polygons, list) or not record.polygons:
            raise PolygonError("no coordinates")
        parts = [polygon_of_rings(rings) for rings in record.polygons]
        for repair in dict.fromkeys(repair for _, repair in parts if repair):
            self._complain(record.where, repair, harmless=True)
        return parts[0][0] if len(parts) == 1 else areas(shapely.union_all([polygon for polygon, _ in parts]))

    def _cut(self, record: Record, hole: shapely.Geometry) -> None:
        """Cuts a negative region out of the others of its layer."""
        hit = False
        for number, (other, name, polygon) in enumerate(self._found):
            if other.layer == record.layer and shapely.intersects(polygon, hole):
                hit = True
                self._found[number] = (other, name, areas(shapely.difference(polygon, hole)))
        self._found = [found for found in self._found if not found[2].is_empty]
        if not hit:
            self._complain(record.where, "a hole (NegativeROA) that lies in no region of its layer", harmless=True)

    def _complain(self, where: str, reason: str, *, harmless: bool = False) -> None:
        self.problems.append(AnnotationProblem(self._path, where, reason, repaired=harmless))
