"""Aperio-like slides for tests: tiled TIFF with Aperio's description, which OpenSlide opens as vendor "aperio"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from tests.support.slide_files import halve


def write_svs(
    path: Path, rgb: np.ndarray, *, mpp: float | str | None = 0.25, magnification: int | None = 40, levels: int = 3
) -> Path:
    """Writes `rgb` losslessly, with a thumbnail as second page, as scanners do.

    Args:
      path: Overwritten.
      rgb: uint8 [height, width, 3].
      mpp: As told in the description, as it is; None leaves it out.
      magnification: Of the objective; None leaves it out.
      levels: Each a quarter the side of the one before.
    """
    height, width = rgb.shape[:2]
    told = [f"AppMag = {magnification}"] if magnification is not None else []
    told += [f"MPP = {mpp}"] if mpp is not None else []
    head = f"Aperio Image Library v12.0.15 \r\n{width}x{height} [0,0 {width}x{height}] (256x256)"
    with tifffile.TiffWriter(path) as tiff:
        for level in range(levels):
            tiff.write(
                rgb,
                tile=(256, 256),
                photometric="rgb",
                compression="adobe_deflate",
                description="|".join([head, *told]),
                metadata=None,
                software=False,
            )
            if level == 0:
                step = max(1, max(height, width) // 256)
                tiff.write(
                    np.ascontiguousarray(rgb[::step, ::step]),
                    photometric="rgb",
                    rowsperstrip=16,
                    description=f"{head} -> {width // step}x{height // step}",
                    metadata=None,
                    software=False,
                )
            rgb = halve(halve(rgb))
    return path
