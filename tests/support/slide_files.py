"""Small slides for tests, written as tiled pyramidal TIFF that OpenSlide opens as generic-tiff."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile


def write_pyramid(path: Path, rgb: np.ndarray, mpp: float | None = 0.25, levels: int | None = None) -> Path:
    """Writes `rgb` losslessly.

    Args:
      path: Overwritten; its suffix does not matter to OpenSlide.
      rgb: uint8 [height, width, 3].
      mpp: Micrometres per pixel of level 0; None leaves the resolution out.
      levels: Number of levels, each half the one before; 1 is no pyramid, None goes down to below 512 pixels.
    """
    resolution = {} if mpp is None else {"resolution": (10_000 / mpp, 10_000 / mpp), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as tiff:
        level = 0
        while True:
            tiff.write(
                rgb,
                tile=(256, 256),
                photometric="rgb",
                compression="adobe_deflate",
                subfiletype=1 if level else 0,
                metadata=None,
                software=False,
                **(resolution if level == 0 else {}),
            )
            level += 1
            if level == levels or (levels is None and max(rgb.shape[:2]) < 512):
                return path
            rgb = halve(rgb)


def halve(rgb: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 pixels; an odd last row or column is dropped."""
    height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
    blocks = rgb[: height * 2, : width * 2].reshape(height, 2, width, 2, 3)
    return (blocks.mean(axis=(1, 3)) + 0.5).astype(np.uint8)


def paint_tissue(size_px: int, boxes: dict[tuple[int, int, int, int], tuple[int, int, int]]) -> np.ndarray:
    """White uint8 [size_px, size_px, 3] with coloured boxes {(left, top, right, bottom): (r, g, b)}."""
    rgb = np.full((size_px, size_px, 3), 255, np.uint8)
    for (left, top, right, bottom), colour in boxes.items():
        rgb[top:bottom, left:right] = colour
    return rgb


PINK = (220, 120, 170)  # Saturation 0.45: tissue to any threshold.
VIOLET = (150, 80, 170)
