"""A slide with its patches in both tables, and a model that knows violet from pink without any training."""

import io
import uuid
from pathlib import Path

import numpy as np
from PIL import Image

import tfcass
from tests.support.mirax_files import write_mirax
from tests.support.slide_files import PINK, VIOLET, paint_tissue, write_pyramid
from tfcass import schema

SIDE_L0 = 512  # Of a patch: 64 px wide, taken at level 3.
LEVEL = 3
MPP = 0.25  # Micrometres per level-0 pixel.
GRID = 6  # Patches along a side of the slide.


def is_tumor(column: int, row: int) -> bool:
    """Two corners differ in shape, so that a mirrored or turned picture would be seen."""
    return (column >= 4 and row <= 1) or (column == 1 and row >= 3)


def write_slide(path: Path) -> Path:
    """A slide of GRID x GRID patches: violet where `is_tumor`, else pink, with a white row at the bottom."""
    boxes = {
        (c * SIDE_L0, r * SIDE_L0, (c + 1) * SIDE_L0, (r + 1) * SIDE_L0): VIOLET if is_tumor(c, r) else PINK
        for c, r in np.ndindex(GRID, GRID - 1)
    }
    return write_pyramid(path, paint_tissue(GRID * SIDE_L0, boxes))


def write_scanned_part(path: Path, corner_l0: tuple[int, int]) -> Path:
    """The same as a MIRAX slide whose scanned part begins at this corner of a larger plane."""
    left, top = corner_l0

    def paint(x_l0: int, y_l0: int, width_px: int, height_px: int) -> np.ndarray | None:
        c, r = (x_l0 - left) // SIDE_L0, (y_l0 - top) // SIDE_L0
        if not (0 <= c < GRID and 0 <= r < GRID - 1):
            return None
        return np.full((height_px, width_px, 3), VIOLET if is_tumor(c, r) else PINK, np.uint8)

    images = tuple((corner + (GRID + 4) * SIDE_L0) // 256 for corner in corner_l0)
    return write_mirax(path, paint, images=images)


def write_patches_of_slide(
    cluster: tfcass.Cluster,
    keyspace: str,
    slide: str,
    *,
    corner_l0: tuple[int, int] = (0, 0),
    level: int | None = LEVEL,
) -> dict[uuid.UUID, tuple[int, int]]:
    """Writes a row to both tables for each patch that shows tissue; returns (column, row) by key.

    With level None the rows say by mpp how large a patch is.
    """
    from cassandra.concurrent import execute_concurrent

    schema.create_tables(cluster, keyspace)
    places = {uuid.uuid5(uuid.NAMESPACE_OID, f"{slide} {c} {r}"): (c, r) for c, r in np.ndindex(GRID, GRID - 1)}
    with cluster.session() as session:
        meta = session.prepare(
            f"INSERT INTO {keyspace}.metadata_by_nat (patient_id, slide_num, label, x, y, patch_id, slide, level, mpp) "
            "VALUES ('p', 1, ?, ?, ?, ?, ?, ?, ?)"
        )
        data = session.prepare(f"INSERT INTO {keyspace}.data_by_uuid (patch_id, label, data) VALUES (?, ?, ?)")
        statements = []
        for key, (c, r) in places.items():
            label = int(is_tumor(c, r))
            x, y = corner_l0[0] + c * SIDE_L0, corner_l0[1] + r * SIDE_L0
            statements.append((meta, (label, x, y, key, slide, level, MPP * 2**LEVEL)))
            statements.append((data, (key, label, patch(VIOLET if label else PINK))))
        execute_concurrent(session, statements, raise_on_first_error=True)
    return places


def patch(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (SIDE_L0 >> LEVEL, SIDE_L0 >> LEVEL), colour).save(file, "JPEG", quality=90)
    return file.getvalue()


def save_model(path: Path, *, classes: int = 2, activation: str | None = None) -> Path:
    """Logits by redness: about (+3, -3) for pink, (-3, +3) for violet."""
    import keras

    inputs = keras.layers.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    dense = keras.layers.Dense(classes, activation=activation)
    model = keras.Model(inputs, dense(x))
    weights = np.zeros((3, classes), np.float32)
    weights[0, :2] = 22, -22
    bias = np.zeros(classes, np.float32)
    bias[:2] = -22 * (PINK[0] + VIOLET[0]) / 510, 22 * (PINK[0] + VIOLET[0]) / 510
    dense.set_weights([weights, bias])
    model.save(path)
    return path
