"""Patches with two kinds of marks, each there or not: labels of several classes at once, in three forms."""

import io
import uuid

import numpy as np
from PIL import Image

import tfcass
from tfcass import schema

SIZE_PX = 32
CLASSES = ("nuclei", "fat")


def write_multilabel(cluster: tfcass.Cluster, keyspace: str, *, patients: int = 4, repeats: int = 3) -> None:
    """Writes all four combinations of classes `repeats` times for each patient.

    Columns of data_by_uuid: label (a bitmask), has_nuclei (boolean), has_fat (float), findings (a list of names).
    """
    from cassandra.concurrent import execute_concurrent

    schema.create_tables(cluster, keyspace)
    rng = np.random.default_rng(0)
    with cluster.session() as session:
        session.execute(f"ALTER TABLE {keyspace}.data_by_uuid ADD (has_nuclei boolean, has_fat float, findings text)")
        meta = session.prepare(
            f"INSERT INTO {keyspace}.metadata_by_nat (patient_id, slide_num, label, x, y, patch_id) "
            "VALUES (?, 1, ?, ?, 0, ?)"
        )
        data = session.prepare(
            f"INSERT INTO {keyspace}.data_by_uuid (patch_id, label, has_nuclei, has_fat, findings, data) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        statements = []
        for patient, bits, i in np.ndindex(patients, 4, repeats):
            key = uuid.uuid5(uuid.NAMESPACE_OID, f"multi {patient} {bits} {i}")
            nuclei, fat = bool(bits & 1), bool(bits & 2)
            names = "; ".join(name for name, there in zip(CLASSES, (nuclei, fat), strict=True) if there)
            statements.append((meta, (f"p{patient}", bits, i, key)))
            statements.append((data, (key, bits, nuclei, 0.7 * fat, names, patch(rng, nuclei, fat))))
        execute_concurrent(session, statements, raise_on_first_error=True)


def patch(rng: np.random.Generator, nuclei: bool, fat: bool) -> bytes:
    """Pink, with dark spots and white ones."""
    pixels = rng.normal([225, 150, 195], 6, (SIZE_PX, SIZE_PX, 3))
    for there, colour in ((nuclei, [90, 60, 140]), (fat, [252, 252, 252])):
        for y, x in rng.integers(3, SIZE_PX - 3, (8 * there, 2)):
            pixels[y - 3 : y + 3, x - 3 : x + 3] = colour
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()
