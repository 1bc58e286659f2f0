"""A table of patches with their masks: discs of dark nuclei on pink tissue."""

import io
import uuid

import numpy as np
from PIL import Image

import tfcass
from tfcass import schema

SIZE_PX = 32


def write_masks(cluster: tfcass.Cluster, keyspace: str, *, patients: int = 4, patches: int = 8) -> None:
    """Writes `patients` x `patches` patches to metadata_by_nat and, with their masks, to data_by_uuid.

    Label 0 of the metadata has discs on the left half only, label 1 anywhere.
    """
    from cassandra.concurrent import execute_concurrent

    schema.create_tables(cluster, keyspace, label_type="blob")
    rng = np.random.default_rng(0)
    with cluster.session() as session:
        meta = session.prepare(
            f"INSERT INTO {keyspace}.metadata_by_nat (patient_id, slide_num, label, x, y, patch_id) "
            "VALUES (?, 1, ?, ?, 0, ?)"
        )
        data = session.prepare(f"INSERT INTO {keyspace}.data_by_uuid (patch_id, label, data) VALUES (?, ?, ?)")
        statements = []
        for patient, i in np.ndindex(patients, patches):
            key = uuid.uuid5(uuid.NAMESPACE_OID, f"mask {patient} {i}")
            image, mask = patch_with_mask(rng, half=i % 2 == 0)
            statements.append((meta, (f"p{patient}", i % 2, i * SIZE_PX, key)))
            statements.append((data, (key, png(mask), png(image))))
        execute_concurrent(session, statements, raise_on_first_error=True)


def patch_with_mask(rng: np.random.Generator, *, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [size, size, 3] and uint8 [size, size]: 1 in the discs, 255 (not annotated) in a strip at the top."""
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    for _ in range(3):
        centre = rng.integers(4, [SIZE_PX - 4, (SIZE_PX // 2 if half else SIZE_PX) - 4])
        mask[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= 25] = 1
    image = np.where(mask[..., None], [95, 60, 140], [225, 175, 205]) + rng.normal(0, 8, (SIZE_PX, SIZE_PX, 3))
    mask[:4] = 255
    return image.clip(0, 255).astype(np.uint8), mask


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, "PNG")
    return file.getvalue()
