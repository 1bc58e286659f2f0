"""Class-per-folder trees of small pictures that a model can tell apart."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("circle", "cross", "stripes")


def write_image_folders(folder: Path, *, per_class: int, seed: int) -> Path:
    """Writes folder/<class>/<i>.jpg, of different sizes and shapes."""
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            height, width = rng.integers(40, 70, 2)
            Image.fromarray(picture(rng, name, height, width)).save(folder / name / f"{i}.jpg", quality=92)
    return folder


def picture(rng: np.random.Generator, name: str, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width] - np.array([height / 2, width / 2])[:, None, None]
    marks = {
        "circle": x**2 + y**2 < 15**2,
        "cross": (abs(x) < 3) | (abs(y) < 3),
        "stripes": (x.astype(int) // 4) % 2 == 0,
    }[name]
    colour = {"circle": [200, 60, 60], "cross": [60, 160, 60], "stripes": [60, 60, 200]}[name]
    pixels = np.where(marks[..., None], colour, [235, 230, 220]) + rng.normal(0, 8, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8)
