"""What an annotation file says, before any of it is judged: the records that every reader yields."""

from __future__ import annotations

import dataclasses
from typing import Any

LEVEL0 = "level0"  # Origin at the corner of the whole scan plane: OpenSlide's frame.
BOUNDS = "bounds"  # Origin at the corner of the scanned box, `Slide.bounds_l0`; the same where a slide has none.
FRAMES = (LEVEL0, BOUNDS)


class FileError(Exception):
    """A whole file cannot be used, with the reason."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One region as the file has it, nothing checked.

    Attributes:
      where: "row 3" (the line on which it ends; the header is line 1), "feature 2", "annotation 5" (counted from 1).
      slide: Path, file name or name of the slide.
      labels: What the file calls it, the most particular name first; empty when it has none. Should be texts.
      polygons: Should be a list of polygons, each a list of rings, each a list or array of [x, y].
      layer: Regions of one layer belong together; a negative one is cut out of the others.
      negative: A hole in the regions of its layer.
      note: What was made of it although the file says something else, or "".
    """

    where: str
    slide: str
    labels: tuple[Any, ...]
    polygons: Any
    layer: str = ""
    negative: bool = False
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Unusable:
    """A row or feature in which no region is to be found; `harmless` when none was meant to be there."""

    where: str
    reason: str
    harmless: bool = False


@dataclasses.dataclass(frozen=True)
class Content:
    """A file's records.

    Attributes:
      format: "CSV", "QuPath GeoJSON", "GeoJSON", "ASAP XML" or "Aperio XML".
      frame: Where the origin of its coordinates is, by the convention of the program that writes this format.
      records: Iterable of Record and Unusable; may raise FileError on the way.
    """

    format: str
    frame: str
    records: Any
