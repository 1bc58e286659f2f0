"""Image files of every kind that data sets hold."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

LEFT, RIGHT = (200, 30, 30), (20, 40, 220)  # Halves that survive JPEG, scaling and cropping.


def halves(width: int = 60, height: int = 40) -> np.ndarray:
    """uint8 [height, width, 3]: red on the left, blue on the right."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = LEFT, RIGHT
    return pixels


def encoded(image: Image.Image, format: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def noise(seed: int, side: int = 40) -> bytes:
    """A JPEG file like no other."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    return encoded(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), "JPEG", quality=95)


def kinds() -> dict[str, bytes]:
    """Name -> file; each shows halves(), as good as its kind can."""
    rgb = Image.fromarray(halves())
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn it a quarter to the right to look at it.
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(halves())))
    alpha = rgb.convert("RGBA")
    sixteen = halves().astype(np.uint16) << 8 | 0x55
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, sixteen, photometric="rgb")
    return {
        "plain.jpg": encoded(rgb, "JPEG", quality=95),
        "plain.png": encoded(rgb, "PNG"),
        "plain.bmp": encoded(rgb, "BMP"),
        "plain.webp": encoded(rgb, "WEBP", lossless=True),
        "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG", quality=95),
        "palette.gif": encoded(rgb.convert("P", palette=Image.Palette.ADAPTIVE), "GIF"),
        "alpha.png": encoded(alpha, "PNG"),
        "turned.jpg": encoded(turned, "JPEG", quality=95, exif=exif),
        "sixteen.tif": buffer.getvalue(),
    }


def class_folders(root: Path, counts: dict[str, int]) -> None:
    """Writes so many different JPEG files per class."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            (root / name / f"{i}.jpg").write_bytes(noise(1000 * number + i))
