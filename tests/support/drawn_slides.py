"""Slides whose tissue and tumour are discs: what the recipe should make of them follows from distances alone."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np

from tests.support.mirax_files import write_mirax
from tests.support.slide_files import write_pyramid

PLANE_PX = 51_200  # Of the MIRAX slide; all but a thousandth of it was never scanned.
_IMAGE_PX = 512
_PINK, _VIOLET = (222, 130, 175), (140, 70, 160)


@dataclasses.dataclass(frozen=True)
class Disc:
    """A disc in level-0 pixels."""

    x: float
    y: float
    radius: float

    def holds(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x - self.x) ** 2 + (y - self.y) ** 2 < self.radius**2

    def ring(self) -> list[list[float]]:
        """As a polygon of 720 sides: 0.004% smaller."""
        turns = [2 * math.pi * step / 720 for step in range(720)]
        points = [[self.x + self.radius * math.cos(turn), self.y + self.radius * math.sin(turn)] for turn in turns]
        return [*points, points[0]]


@dataclasses.dataclass(frozen=True)
class DrawnSlide:
    """A slide: a disc of tissue, annotated as normal, with a disc of tumour in it.

    Attributes:
      path: The file.
      size_l0: Side of the plane.
      tissue, tumour: What is painted and annotated.
    """

    path: Path
    size_l0: int
    tissue: Disc
    tumour: Disc

    def true_masks(self, pixel: int) -> dict[str, np.ndarray]:
        """bool [n, n]: whether the centre of each pixel of so many level-0 pixels lies in the class."""
        centre = (np.arange(math.ceil(self.size_l0 / pixel)) + 0.5) * pixel
        x, y = np.meshgrid(centre, centre)
        tumour = self.tumour.holds(x, y)
        return {"normal": self.tissue.holds(x, y) & ~tumour, "tumor": tumour, "tissue": self.tissue.holds(x, y)}

    def true_labels(self, patch: int) -> dict[tuple[int, int], int]:
        """(x_l0, y_l0) of patches that are to be kept -> label. Those whose shares lie within 3% of a threshold of the
        recipe are left out: there, the tissue mask's own border decides."""
        factor = patch // 64
        shares = {
            name: mask.reshape(len(mask) // factor, factor, len(mask) // factor, factor).mean(axis=(1, 3))
            for name, mask in self.true_masks(64).items()
        }
        found = {}
        for row, column in np.argwhere(shares["tissue"] > 0):
            normal, tumour, tissue = (shares[name][row, column] for name in ("normal", "tumor", "tissue"))
            if abs(tissue - 0.30) < 0.03 or min(abs(normal - 0.5), abs(tumour - 0.5)) < 0.03:
                continue
            if max(normal, tumour) >= 0.5 and tissue >= 0.30:
                found[int(column) * patch, int(row) * patch] = int(tumour >= normal)
        return found

    def uncertain(self, patch: int) -> set[tuple[int, int]]:
        """Places that true_labels leaves out for being near a threshold."""
        factor = patch // 64
        blocks = {
            name: mask.reshape(len(mask) // factor, factor, len(mask) // factor, factor).mean(axis=(1, 3))
            for name, mask in self.true_masks(64).items()
        }
        near = (abs(blocks["tissue"] - 0.30) < 0.03) | (abs(blocks["normal"] - 0.5) < 0.03)
        near |= abs(blocks["tumor"] - 0.5) < 0.03
        return {(int(column) * patch, int(row) * patch) for row, column in np.argwhere(near)}

    def paint(self, left: int, top: int, width: int, height: int) -> np.ndarray:
        """Pixels of a box, uint8 [height, width, 3]."""
        x = np.arange(left, left + width, dtype=np.float32)[None] + 0.5
        y = np.arange(top, top + height, dtype=np.float32)[:, None] + 0.5
        pixels = np.full((height, width, 3), 245, np.uint8)
        texture = (((x // 8 + y // 8) % 2) * 12).astype(np.uint8)[..., None]
        for disc, colour in ((self.tissue, _PINK), (self.tumour, _VIOLET)):
            inside = disc.holds(x, y)
            pixels[inside] = (np.array(colour, np.uint8) - texture)[inside]
        return pixels


def mirax(folder: Path) -> DrawnSlide:
    """A sparse MIRAX slide of 51,200 x 51,200 pixels."""
    drawn = DrawnSlide(folder / "m1_0.mrxs", PLANE_PX, Disc(29_000, 21_500, 2_000), Disc(29_500, 21_200, 1_100))
    disc = drawn.tissue

    def photo(x: int, y: int, width: int, height: int) -> np.ndarray | None:
        reach = disc.radius + _IMAGE_PX
        if abs(x + width / 2 - disc.x) > reach or abs(y + height / 2 - disc.y) > reach:
            return None
        return drawn.paint(x, y, width, height)

    count = PLANE_PX // _IMAGE_PX
    write_mirax(drawn.path, photo, images=(count, count), image_px=_IMAGE_PX, levels=7, quality=90)
    return drawn


def tiff(folder: Path, name: str, *, shift: float = 0.0) -> DrawnSlide:
    """A TIFF slide of 4,096 x 4,096 pixels."""
    drawn = DrawnSlide(folder / name, 4_096, Disc(2_000 + shift, 2_100, 1_600), Disc(1_500 + shift, 2_300, 900))
    write_pyramid(drawn.path, drawn.paint(0, 0, 4_096, 4_096))
    return drawn


def annotate(folder: Path, slides: list[DrawnSlide]) -> None:
    """The first slide's annotations as the seed's CSV with JSON paths, the others' as QuPath writes them."""
    first, *others = slides
    lines = ["slide,label,path"]
    for label, disc in (("normal", first.tissue), ("tumor", first.tumour)):
        path = json.dumps(disc.ring()).replace('"', '""')
        lines.append(f'{first.path.name},{label},"{path}"')
    (folder / "paths.csv").write_text("\n".join(lines) + "\n")
    for slide in others:
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [disc.ring()]},
                "properties": {"classification": {"name": label}},
            }
            for label, disc in (("Normal", slide.tissue), ("Tumor", slide.tumour))
        ]
        text = json.dumps({"type": "FeatureCollection", "features": features})
        (folder / f"{slide.path.stem}.geojson").write_text(text)
