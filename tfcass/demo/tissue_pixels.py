"""A layout and two textures -> the pixels of a slide, block by block, as encoded tiles of a pyramid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tfcass.demo.tissue_layout import CELL_L0, Layout

TILE_PX = 256  # Of the file.
BLOCK_PX = 1024  # Made at once: some 30 MB of working memory.
MPP_L0 = 0.25
_SMALLEST_LEVEL_PX = 512  # The pyramid ends with the first level below this.
_JPEG_QUALITY = 85
_TISSUE_EDGE_L0 = 10.0  # Pixels over which tissue fades into glass,
_TUMOR_EDGE_L0 = 40.0  # and normal tissue into tumour.
_FRAY_L0 = 40.0  # Where much stain is, tissue reaches further out: a cut goes around cells and not through them.
_GRAIN = 2.2  # Standard deviation of the camera's noise, in grey values.
_GRAIN_VARIANTS = 8


def write_slide(
    path: Path, layout: Layout, textures: dict[str, np.ndarray], description: str, keep_going: Callable[[], None]
) -> None:
    """Writes a tiled JPEG TIFF with levels halved down to below 512 pixels, and mpp 0.25.

    Memory: the first reduced level (a quarter of the slide's pixels, 3 bytes each) and one strip of blocks.

    Args:
      path: Overwritten.
      layout: What lies where.
      textures: {"normal", "tumor"} -> stain amounts, uint8 [side, side, 2], tori.
      description: Kept in the file's ImageDescription.
      keep_going: Called between blocks; raises to stop.
    Raises:
      OSError: for instance because the disk is full.
    """
    size = layout.size_l0
    painter = Painter(layout, textures)
    half = np.empty((size // 2, size // 2, 3), np.uint8)
    with tifffile.TiffWriter(path, bigtiff=size > 60_000) as tiff:
        _write_level(tiff, painter.tiles(half, keep_going), size, 0, description)
        level = 1
        while True:
            _write_level(tiff, _tiles_of(half), len(half), level, None)
            if len(half) < _SMALLEST_LEVEL_PX:
                return
            keep_going()
            half, level = _halve(half), level + 1


def _write_level(
    tiff: tifffile.TiffWriter, tiles: Iterator[bytes], size: int, level: int, description: str | None
) -> None:
    tiff.write(
        tiles,
        shape=(size, size, 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        photometric="ycbcr",
        subsampling=(2, 2),
        compression="jpeg",
        resolution=(10_000 / (MPP_L0 * 2**level),) * 2,
        resolutionunit="CENTIMETER",
        subfiletype=1 if level else 0,
        description=description,
        metadata=None,
        software=False,
    )


class Painter:
    """Makes the pixels of one slide; every block is a function of the layout and its place alone."""

    def __init__(self, layout: Layout, textures: dict[str, np.ndarray]) -> None:
        rng = np.random.default_rng(layout.pixel_seed)
        self._layout = layout
        self._colours = layout.stain.table().reshape(-1, 3)
        self._textures = {label: _turn(texture, rng) for label, texture in sorted(textures.items())}
        self._grain = [
            np.rint(
                rng.normal(0, _GRAIN, (TILE_PX, TILE_PX, 1)) + rng.normal(0, _GRAIN / 3, (TILE_PX, TILE_PX, 3))
            ).astype(np.int16)
            for _ in range(_GRAIN_VARIANTS)
        ]
        glass = np.array(layout.stain.glass)
        self._glass = [np.clip(np.rint(glass) + grain, 0, 255).astype(np.uint8) for grain in self._grain]
        self._encoded_glass = [_encode(tile) for tile in self._glass]
        self._variant = rng.integers(0, _GRAIN_VARIANTS, (-(-layout.size_l0 // TILE_PX),) * 2)

    def tiles(self, half: np.ndarray, keep_going: Callable[[], None]) -> Iterator[bytes]:
        """Encoded tiles of level 0, row by row; fills `half`, uint8 [size // 2, size // 2, 3], with level 1."""
        size = self._layout.size_l0
        for top in range(0, size, BLOCK_PX):
            # Whole tiles, also past the slide's edge: TIFF stores them so.
            width = -(-size // TILE_PX) * TILE_PX
            height = min(BLOCK_PX, -(-(size - top) // TILE_PX) * TILE_PX)
            strip = np.empty((height, width, 3), np.uint8)
            is_glass = np.zeros((height // TILE_PX, width // TILE_PX), bool)
            for left in range(0, width, BLOCK_PX):
                keep_going()
                block = strip[:, left : left + BLOCK_PX]
                blank = self._paint(block, top, left)
                is_glass[:, left // TILE_PX : left // TILE_PX + block.shape[1] // TILE_PX] = blank
            reduced = _halve(strip)
            target = half[top // 2 : top // 2 + len(reduced)]
            target[:] = reduced[: len(target), : target.shape[1]]
            for row in range(is_glass.shape[0]):
                for column in range(is_glass.shape[1]):
                    if is_glass[row, column]:
                        yield self._encoded_glass[self._variant[top // TILE_PX + row, column]]
                    else:
                        yield _encode(strip[row * TILE_PX :][:TILE_PX, column * TILE_PX :][:, :TILE_PX])

    def _paint(self, block: np.ndarray, top: int, left: int) -> np.ndarray:
        """Fills a block; returns which of its tiles are nothing but glass, bool [rows, columns]."""
        shape = block.shape[:2]
        tissue = self._grow(self._layout.tissue, top, left, shape)
        is_tissue = tissue > -_TISSUE_EDGE_L0 - _FRAY_L0
        tiles = is_tissue.reshape(shape[0] // TILE_PX, TILE_PX, shape[1] // TILE_PX, TILE_PX).any(axis=(1, 3))
        if tiles.any():
            amounts = self._amounts(top, left, shape)
            fray = np.clip(amounts.sum(axis=2) * (_FRAY_L0 / 150) - _FRAY_L0, -_FRAY_L0, _FRAY_L0)
            share = np.clip((tissue + fray) / _TISSUE_EDGE_L0 + 0.5, 0, 1)
            amounts *= (share * self._grow(self._layout.strength, top, left, shape))[..., None]
            indices = np.minimum(amounts, 255).astype(np.uint16)
            block[:] = self._colours[indices[..., 0] * np.uint16(256) + indices[..., 1]]
        for row, column in np.ndindex(tiles.shape):
            tile = block[row * TILE_PX :][:TILE_PX, column * TILE_PX :][:, :TILE_PX]
            variant = self._variant[top // TILE_PX + row, left // TILE_PX + column]
            tile[:] = np.clip(tile + self._grain[variant], 0, 255) if tiles[row, column] else self._glass[variant]
        return ~tiles

    def _amounts(self, top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
        """float32 [height, width, 2]: stain amounts of normal tissue, tumour, and their blend at the border."""
        share = np.clip(self._grow(self._layout.tumor, top, left, shape) / _TUMOR_EDGE_L0 + 0.5, 0, 1)[..., None]
        if not share.any():
            return self._cut("normal", top, left, shape)
        if share.all() and share.min() == 1:
            return self._cut("tumor", top, left, shape)
        normal = self._cut("normal", top, left, shape)
        return normal + share * (self._cut("tumor", top, left, shape) - normal)

    def _cut(self, label: str, top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
        texture = self._textures[label]
        rows, columns = (
            np.arange(start, start + n) % len(texture) for start, n in zip((top, left), shape, strict=True)
        )
        return texture[rows[:, None], columns].astype(np.float32)

    def _grow(self, field: np.ndarray, top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
        """A field at each pixel of a block, float32 [height, width], linear between the centres of its cells."""
        row, column = top // CELL_L0, left // CELL_L0
        rows, columns = (
            -(-n // CELL_L0) + 2 for n in shape
        )  # One cell more on each side, so that blocks meet without a step.
        index = [
            np.clip(np.arange(first - 1, first - 1 + n), 0, len(field) - 1)
            for first, n in ((row, rows), (column, columns))
        ]
        cells = Image.fromarray(np.ascontiguousarray(field[np.ix_(*index)]))
        grown = cells.resize((columns * CELL_L0, rows * CELL_L0), Image.Resampling.BILINEAR)
        return np.asarray(grown)[CELL_L0 : CELL_L0 + shape[0], CELL_L0 : CELL_L0 + shape[1]]


def _turn(texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A torus shifted, turned and maybe mirrored: another slide shows other places side by side."""
    texture = np.roll(texture, tuple(rng.integers(0, len(texture), 2)), axis=(0, 1))
    texture = np.rot90(texture, int(rng.integers(4)))
    return np.ascontiguousarray(texture[:, ::-1] if rng.integers(2) else texture)


def _tiles_of(rgb: np.ndarray) -> Iterator[bytes]:
    for top in range(0, len(rgb), TILE_PX):
        for left in range(0, rgb.shape[1], TILE_PX):
            tile = rgb[top : top + TILE_PX, left : left + TILE_PX]
            missing = [(0, TILE_PX - n) for n in tile.shape[:2]]
            yield _encode(np.pad(tile, (*missing, (0, 0)), mode="edge"))


def _encode(tile: np.ndarray) -> bytes:
    pixels = np.ascontiguousarray(tile)
    return imagecodecs.jpeg8_encode(
        pixels, level=_JPEG_QUALITY, colorspace="rgb", outcolorspace="ycbcr", subsampling="420"
    )


def _halve(rgb: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 pixels, rounded; an odd last row or column is dropped."""
    height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
    halved = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, TILE_PX):  # In strips: the sums take twice the memory of the pixels.
        strip = rgb[top * 2 : min(top + TILE_PX, height) * 2, : width * 2]
        rows = strip[0::2].astype(np.uint16)
        rows += strip[1::2]
        halved[top : top + TILE_PX] = (rows[:, 0::2] + rows[:, 1::2] + np.uint16(2)) >> 2
    return halved
