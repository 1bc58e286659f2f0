"""Where tissue and tumour lie on a composed slide: smooth fields, and the outlines that a pathologist would draw.

Everything is a function of the seeds: the annotation files and the pixels are made from the same layout, in different
processes. Fields are kept at one value per CELL_L0 level-0 pixels and grow smoothly when a block of pixels is made.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import shapely
from scipy import ndimage
from skimage.measure import find_contours

from beam_pipelines.slides.polygons import areas
from tfcass.demo.tissue_stain import Stain

CELL_L0 = 32
_EDGE_MARGIN = 0.04  # Of the slide's side: no tissue this close to the glass's edge.
_ANNOTATION_MARGIN_L0 = 96  # A pathologist does not draw along the very edge of tissue or tumour.


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """One slide before it has pixels.

    Attributes:
      size_l0: Side in pixels.
      stain: Of the patient's laboratory.
      tissue, tumor: float32 [cells, cells], above 0 inside; one unit is about 1 level-0 pixel of distance to the
        border.
      strength: float32 [cells, cells], how strongly the tissue took the stain, around 1.
      foci: Number of tumour foci.
      regions: (label, polygon in level-0 pixels): the annotation.
      pixel_seed: Starts the random numbers of the pixel stage.
    """

    size_l0: int
    stain: Stain
    tissue: np.ndarray
    tumor: np.ndarray
    strength: np.ndarray
    foci: int
    regions: tuple[tuple[str, shapely.Geometry], ...]
    pixel_seed: tuple[int, ...]


def lay_out(seed: int, patient: int, slide_num: int, size_l0: int) -> Layout:
    """Lays out slide `slide_num` (from 1) of a patient.

    A patient's first slide always shows tumour, so that each patient has both classes; of the others about half do.
    """
    stain = Stain.random(np.random.default_rng([seed, patient]))  # One laboratory per patient.
    rng = np.random.default_rng([seed, patient, slide_num])
    cells = -(-size_l0 // CELL_L0)
    tissue = _tissue(rng, cells)
    foci = int(rng.integers(1, 4)) if slide_num == 1 else int(rng.choice([0, 2]))
    outlines = _foci(rng, tissue, foci)
    tumor = np.full((cells, cells), -1e6, np.float32)
    for outline in outlines:
        tumor = np.maximum(tumor, outline.field(cells))
    # Tumour grows into its surroundings unevenly; the pathologist's line is smoother than that.
    grown = tumor + CELL_L0 * _noise(rng, cells, 5) + 0.6 * CELL_L0 * _noise(rng, cells, 2)
    return Layout(
        size_l0=size_l0,
        stain=stain,
        tissue=tissue,
        tumor=grown.astype(np.float32),
        strength=(1 + 0.10 * _noise(rng, cells, 24) + 0.05 * _noise(rng, cells, 6)).astype(np.float32),
        foci=len(outlines),
        regions=tuple(_annotate(tissue, outlines, hasty=bool(rng.integers(2)))),
        pixel_seed=(seed, patient, slide_num, 1),
    )


@dataclasses.dataclass(frozen=True)
class _Outline:
    """A star-shaped, smooth closed line in cells: radius * (1 + waves(angle)) around (x, y)."""

    x: float
    y: float
    radius: float
    waves: tuple[tuple[float, float], ...]  # (amplitude, phase) of the 2nd, 3rd, ... harmonic.

    @classmethod
    def random(cls, rng: np.random.Generator, x: float, y: float, radius: float, roughness: float) -> _Outline:
        waves = tuple((float(rng.normal(0, roughness / k)), float(rng.uniform(0, 2 * np.pi))) for k in range(2, 8))
        return cls(x, y, radius, waves)

    def reach(self, angle: np.ndarray) -> np.ndarray:
        return self.radius * (1 + sum(a * np.cos(k * angle + p) for k, (a, p) in enumerate(self.waves, start=2)))

    def field(self, cells: int) -> np.ndarray:
        """float32 [cells, cells]: about the distance to the line in level-0 pixels, positive inside."""
        y, x = np.mgrid[:cells, :cells] + 0.5
        dx, dy = x - self.x, y - self.y
        return (CELL_L0 * (self.reach(np.arctan2(dy, dx)) - np.hypot(dx, dy))).astype(np.float32)

    def polygon_l0(self) -> shapely.Polygon:
        angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
        reach = self.reach(angle)
        return shapely.Polygon(
            CELL_L0 * np.column_stack([self.x + reach * np.cos(angle), self.y + reach * np.sin(angle)])
        )


def _noise(rng: np.random.Generator, cells: int, width: float) -> np.ndarray:
    """float64 [cells, cells]: smooth noise, mean 0, standard deviation 1, features about `width` cells wide."""
    noise = ndimage.gaussian_filter(rng.standard_normal((cells, cells)), width, mode="reflect")
    return (noise - noise.mean()) / noise.std()


def _tissue(rng: np.random.Generator, cells: int) -> np.ndarray:
    """One to three pieces of tissue with ragged borders and a few tears; float32 [cells, cells]."""
    pieces = int(rng.integers(1, 4))
    field = np.full((cells, cells), -1e6)
    turn = rng.uniform(0, 2 * np.pi)
    for piece in range(pieces):
        angle = turn + 2 * np.pi * piece / pieces
        away = 0.0 if pieces == 1 else rng.uniform(0.21, 0.25)
        x, y = (0.5 + away * np.array([np.cos(angle), np.sin(angle)])) * cells
        radius = cells * (rng.uniform(0.35, 0.39) if pieces == 1 else rng.uniform(0.20, 0.25))
        field = np.maximum(field, _Outline.random(rng, x, y, radius, 0.16).field(cells))
    y, x = np.mgrid[:cells, :cells] + 0.5
    to_edge = np.minimum(np.minimum(x, cells - x), np.minimum(y, cells - y))
    field = np.minimum(
        field, CELL_L0 * 0.8 * (to_edge - _EDGE_MARGIN * cells)
    )  # Before the noise, which hides the straight line.
    scale = CELL_L0 * cells / 320  # So that a small slide for a test looks like a large one.
    field += scale * (5.0 * _noise(rng, cells, cells / 40) + 2.0 * _noise(rng, cells, cells / 110))
    tears = np.abs(_noise(rng, cells, cells / 28)) - 0.035 * (_noise(rng, cells, cells / 12) - 0.7)
    field = np.minimum(field, 12 * CELL_L0 * tears)
    return np.minimum(field, CELL_L0 * (to_edge - 2)).astype(np.float32)


def _foci(rng: np.random.Generator, tissue: np.ndarray, count: int) -> list[_Outline]:
    """Tumour outlines deep in the tissue and apart from each other; fewer than `count` where they do not fit."""
    cells = len(tissue)
    depth = ndimage.distance_transform_edt(tissue > 0)
    outlines: list[_Outline] = []
    for _ in range(count):
        if depth.max() < 0.05 * cells:
            break
        y, x = _pick(rng, depth >= max(0.05 * cells, 0.6 * depth.max()))
        radius = rng.uniform(0.12, 0.17) * cells / np.sqrt(max(1, count - 1))
        outlines.append(_Outline.random(rng, x + 0.5, y + 0.5, radius, 0.21))
        rows, columns = np.mgrid[:cells, :cells]
        depth[np.hypot(rows - y, columns - x) < 1.9 * radius] = 0
    return outlines


def _pick(rng: np.random.Generator, where: np.ndarray) -> tuple[int, int]:
    places = np.argwhere(where)
    row, column = places[rng.integers(len(places))]
    return int(row), int(column)


def _annotate(tissue: np.ndarray, outlines: list[_Outline], *, hasty: bool) -> list[tuple[str, shapely.Geometry]]:
    """The tumour outlines on tissue, and the tissue that keeps away from them.

    A hasty pathologist draws around the tissue and over its gaps, so that some annotated patches show little tissue.
    """
    contour = _contour(tissue)
    drawn = [outline.polygon_l0() for outline in outlines]
    around = shapely.buffer(shapely.union_all(drawn), _ANNOTATION_MARGIN_L0)
    border = _hasty(contour) if hasty else shapely.buffer(contour, -_ANNOTATION_MARGIN_L0 / 3)
    slide = shapely.box(0, 0, *(CELL_L0 * cells for cells in tissue.shape))
    healthy = shapely.intersection(shapely.difference(border, around), slide)
    smallest = (16 * CELL_L0) ** 2  # Nobody outlines crumbs.
    regions: list[tuple[str, shapely.Geometry]] = []
    for label, shapes in (
        ("normal", [healthy]),
        ("tumor", [shapely.intersection(outline, contour) for outline in drawn]),
    ):
        for shape in shapes:
            parts = shapely.get_parts(areas(shapely.simplify(shape, CELL_L0 / 8)))
            regions += [(label, shapely.set_precision(part, 0.1)) for part in parts if part.area >= smallest]
    return regions


def _hasty(contour: shapely.Geometry) -> shapely.Geometry:
    return shapely.buffer(shapely.buffer(contour, 6 * _ANNOTATION_MARGIN_L0), -4 * _ANNOTATION_MARGIN_L0)


def _contour(field: np.ndarray) -> shapely.Geometry:
    """The area where a field is above 0, in level-0 pixels, holes included."""
    padded = np.pad(field, 1, constant_values=-1.0)
    rings = [
        CELL_L0 * (line[:, ::-1] - 0.5) for line in find_contours(padded, 0.0)
    ]  # Padded cell centre k lies at k - 0.5 cells.
    area = shapely.Polygon()
    for ring in sorted((shapely.make_valid(shapely.Polygon(r)) for r in rings if len(r) > 3), key=lambda p: -p.area):
        area = shapely.symmetric_difference(area, ring)  # A ring within a ring is a hole, one within that an island.
    return area
