"""MIRAX slides for tests: an .mrxs file and its folder, which OpenSlide opens as vendor "mirax".

A MIRAX scanner takes photos, each at a position of its own, and cuts each into `divisions` x `divisions` images. Photos
may overlap; where nothing was photographed, nothing is stored. Images of the next level are four images halved and put
together, whether or not they come from one photo.

folder/Slidedat.ini   sizes, levels, names of the other files
folder/Index.dat      level -> image number -> place in a data file
folder/Data*.dat      JPEG images, one after the other; the first one also holds the positions of the photos
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np

# (x_l0, y_l0, width_px, height_px) -> uint8 [height, width, 3], or None where nothing was scanned.
Painter = Callable[[int, int, int, int], np.ndarray | None]

_INDEX_VERSION = b"01.02"
_POSITIONS_VERSION = 257


def write_mirax(
    path: Path,
    paint: Painter | np.ndarray,
    *,
    images: tuple[int, int],
    image_px: int = 256,
    levels: int = 6,
    mpp: tuple[float, float] | None = (0.25, 0.25),
    divisions: int = 1,
    overlap_px: int = 0,
    jitter_px: int = 0,
    background: tuple[int, int, int] = (255, 255, 255),
    data_files: int = 2,
    quality: int = 95,
    seed: int = 0,
) -> Path:
    """Writes a slide. Time and size follow what is painted, not the size of the plane.

    Args:
      path: Of the .mrxs file; its folder is path less the suffix.
      paint: Asked once for every photo: a function of the photo's box, or a picture that lies at (0, 0) and is
        scanned wherever a photo lies wholly inside it.
      images: Number of images across and down; a multiple of `divisions`.
      image_px: Side of an image.
      levels: Each half the one before.
      mpp: Micrometres per pixel (x, y) of level 0; None writes zeros, as broken exports do.
      divisions: Images per side of a photo.
      overlap_px: By which neighbouring photos overlap.
      jitter_px: Photos lie off their place by up to so many pixels.
      background: What viewers shall show where nothing was scanned.
      data_files: Images are dealt to so many files in turn.
      quality: Of the JPEG images, 4:4:4.
      seed: Of the jitter and of the slide's id.
    """
    if any(count % divisions for count in images):
        raise ValueError(f"images={images} is not a multiple of divisions={divisions}")
    painter = _painter_of(paint) if isinstance(paint, np.ndarray) else paint
    folder = path.with_suffix("")
    folder.mkdir(parents=True)
    path.write_bytes(b"\xff\xd8\xff\xd9")  # A picture for file managers; OpenSlide goes by the name alone.
    positions = _positions(images, image_px, divisions, overlap_px, jitter_px, seed)
    data = _DataFiles(folder, data_files)
    placed = data.add(struct.pack("<B", 0).join([b"", *(struct.pack("<ii", x, y) for x, y in positions)]), file=0)
    pyramid = _Pyramid(painter, positions, images, image_px, divisions, background, quality, levels, data)
    pyramid.write()
    data.close()
    slide_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{path.name} {seed}").hex
    (folder / "Slidedat.ini").write_text(
        _slidedat(slide_id, images, image_px, levels, mpp or (0, 0), divisions, overlap_px, background, data_files),
        encoding="utf-8-sig",
    )
    (folder / "Index.dat").write_bytes(_index(slide_id, pyramid.entries, placed))
    return path


def data_files_of(path: Path) -> list[Path]:
    """Data0000.dat and the rest of a slide."""
    return sorted(path.with_suffix("").glob("Data*.dat"))


def image_places(path: Path, level: int = 0) -> dict[int, tuple[Path, int, int]]:
    """Image number -> (data file, offset, length) of a level's images, to damage one of them."""
    index = (path.with_suffix("") / "Index.dat").read_bytes()
    files = data_files_of(path)

    def number_at(offset: int) -> int:
        return struct.unpack_from("<i", index, offset)[0]

    root = number_at(len(_INDEX_VERSION) + 32)
    page = number_at(number_at(root + 4 * level) + 4)
    entries = struct.iter_unpack("<iiii", index[page + 8 : page + 8 + 16 * number_at(page)])
    return {image: (files[file], offset, length) for image, offset, length, file in entries}


def _painter_of(picture: np.ndarray) -> Painter:
    height, width = picture.shape[:2]

    def paint(x: int, y: int, width_px: int, height_px: int) -> np.ndarray | None:
        if x < 0 or y < 0 or x + width_px > width or y + height_px > height:
            return None
        return picture[y : y + height_px, x : x + width_px]

    return paint


def _positions(
    images: tuple[int, int], image_px: int, divisions: int, overlap_px: int, jitter_px: int, seed: int
) -> list[tuple[int, int]]:
    """Corners of the photos, row by row."""
    step = image_px * divisions - overlap_px
    across, down = (count // divisions for count in images)
    jitter = np.random.default_rng(seed).integers(-jitter_px, jitter_px + 1, (down, across, 2))
    jitter[0, 0] = 0
    return [
        (max(0, column * step + int(jitter[row, column, 0])), max(0, row * step + int(jitter[row, column, 1])))
        for row in range(down)
        for column in range(across)
    ]


class _DataFiles:
    def __init__(self, folder: Path, count: int) -> None:
        self._files = [open(folder / f"Data{number:04}.dat", "wb") for number in range(count)]
        self._next = 0

    def add(self, data: bytes, file: int | None = None) -> tuple[int, int, int]:
        """Appends; returns (offset, length, number of the file)."""
        if file is None:
            file = self._next
            self._next = (self._next + 1) % len(self._files)
        offset = self._files[file].tell()
        self._files[file].write(data)
        return offset, len(data), file

    def close(self) -> None:
        for file in self._files:
            file.close()


class _Pyramid:
    """Paints, halves and stores images from the finest level up; holds one image a level at a time."""

    def __init__(
        self,
        painter: Painter,
        positions: list[tuple[int, int]],
        images: tuple[int, int],
        image_px: int,
        divisions: int,
        background: tuple[int, int, int],
        quality: int,
        levels: int,
        data: _DataFiles,
    ) -> None:
        self._painter, self._positions, self._images = painter, positions, images
        self._image_px, self._divisions, self._background = image_px, divisions, background
        self._quality, self._levels, self._data = quality, levels, data
        self._photo: tuple[int, np.ndarray | None] = (-1, None)
        self.entries: list[list[tuple[int, int, int, int]]] = [[] for _ in range(levels)]

    def write(self) -> None:
        step = 2 ** (self._levels - 1)
        for row in range(0, self._images[1], step):
            for column in range(0, self._images[0], step):
                self._image(self._levels - 1, column, row)
        for entries in self.entries:
            entries.sort()

    def _image(self, level: int, column: int, row: int) -> np.ndarray | None:
        """Stores the image of a level whose first image of level 0 is at (column, row)."""
        if column >= self._images[0] or row >= self._images[1]:
            return None
        pixels = self._part_of_photo(column, row) if level == 0 else self._halved(level, column, row)
        if pixels is not None:
            data = bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=self._quality, subsampling="444"))
            self.entries[level].append((row * self._images[0] + column, *self._data.add(data)))
        return pixels

    def _part_of_photo(self, column: int, row: int) -> np.ndarray | None:
        side = self._divisions
        number = row // side * (self._images[0] // side) + column // side
        if self._photo[0] != number:
            px = side * self._image_px
            self._photo = (number, self._painter(*self._positions[number], px, px))
        photo = self._photo[1]
        if photo is None:
            return None
        top, left = row % side * self._image_px, column % side * self._image_px
        return photo[top : top + self._image_px, left : left + self._image_px]

    def _halved(self, level: int, column: int, row: int) -> np.ndarray | None:
        step = 2 ** (level - 1)
        parts = [[self._image(level - 1, column + c * step, row + r * step) for c in (0, 1)] for r in (0, 1)]
        if all(part is None for line in parts for part in line):
            return None
        px = self._image_px
        whole = np.empty((2 * px, 2 * px, 3), np.uint8)
        whole[:] = self._background
        for r, line in enumerate(parts):
            for c, part in enumerate(line):
                if part is not None:
                    whole[r * px : (r + 1) * px, c * px : (c + 1) * px] = part
        sums = whole[::2, ::2].astype(np.uint16)
        for r, c in ((0, 1), (1, 0), (1, 1)):
            sums += whole[r::2, c::2]
        return ((sums + 2) // 4).astype(np.uint8)


def _slidedat(
    slide_id: str,
    images: tuple[int, int],
    image_px: int,
    levels: int,
    mpp: tuple[float, float],
    divisions: int,
    overlap_px: int,
    background: tuple[int, int, int],
    data_files: int,
) -> str:
    sections: dict[str, dict[str, object]] = {
        "GENERAL": {
            "SLIDE_VERSION": "01.02",
            "SLIDE_ID": slide_id,
            "SLIDE_NAME": "synthetic",
            "IMAGENUMBER_X": images[0],
            "IMAGENUMBER_Y": images[1],
            "OBJECTIVE_MAGNIFICATION": 40,
            "CameraImageDivisionsPerSide": divisions,
        },
        "HIERARCHICAL": {
            "HIER_COUNT": 1,
            "NONHIER_COUNT": 1,
            "INDEXFILE": "Index.dat",
            "HIER_0_NAME": "Slide zoom level",
            "HIER_0_COUNT": levels,
            **{f"HIER_0_VAL_{level}": f"ZoomLevel_{level}" for level in range(levels)},
            **{f"HIER_0_VAL_{level}_SECTION": f"LAYER_0_LEVEL_{level}_SECTION" for level in range(levels)},
            "NONHIER_0_NAME": "VIMSLIDE_POSITION_BUFFER",
            "NONHIER_0_COUNT": 1,
            "NONHIER_0_SECTION": "NONHIERLAYER_0_SECTION",
            "NONHIER_0_VAL_0": "default",
            "NONHIER_0_VAL_0_SECTION": "NONHIERLAYER_0_LEVEL_0_SECTION",
        },
        "DATAFILE": {
            "FILE_COUNT": data_files,
            **{f"FILE_{number}": f"Data{number:04}.dat" for number in range(data_files)},
        },
        "NONHIERLAYER_0_SECTION": {"VIMSLIDE_POSITION_DATA_FORMAT_VERSION": _POSITIONS_VERSION},
        "NONHIERLAYER_0_LEVEL_0_SECTION": {"VIMSLIDE_POSITION_DATA_FORMAT_VERSION": _POSITIONS_VERSION},
    }
    red, green, blue = background
    for level in range(levels):
        sections[f"LAYER_0_LEVEL_{level}_SECTION"] = {
            # Overlaps of later levels are those of level 0, halved as often.
            "OVERLAP_X": overlap_px / 2**level,
            "OVERLAP_Y": overlap_px / 2**level,
            "MICROMETER_PER_PIXEL_X": mpp[0] * 2**level,
            "MICROMETER_PER_PIXEL_Y": mpp[1] * 2**level,
            "IMAGE_FORMAT": "JPEG",
            "IMAGE_FILL_COLOR_BGR": blue << 16 | green << 8 | red,
            "DIGITIZER_WIDTH": image_px,
            "DIGITIZER_HEIGHT": image_px,
            "IMAGE_CONCAT_FACTOR": int(level > 0),
        }
    return "\n\n".join(
        "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in section.items())])
        for name, section in sections.items()
    )


def _index(slide_id: str, entries: list[list[tuple[int, int, int, int]]], positions: tuple[int, int, int]) -> bytes:
    """Chains of pointers into this file, each to a list of records."""
    index = bytearray(_INDEX_VERSION + slide_id.encode())
    root = len(index)
    index += bytes(8)  # Pointers to the levels and to the rest.

    def chain(pages: list[bytes]) -> int:
        """Appends pages and a table of pointers to them; returns where the table is."""
        pointers = []
        for page in pages:
            pointers.append(len(index))
            index.extend(struct.pack("<ii", 0, len(index) + 8) + page)
        table = len(index)
        index.extend(struct.pack(f"<{len(pointers)}i", *pointers))
        return table

    levels = chain(
        [struct.pack("<ii", len(level), 0) + b"".join(struct.pack("<iiii", *e) for e in level) for level in entries]
    )
    others = chain([struct.pack("<iiiiiii", 1, 0, 0, 0, *positions)])
    struct.pack_into("<ii", index, root, levels, others)
    return bytes(index)
