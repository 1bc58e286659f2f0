"""A keyspace of small patches that a model can tell apart: smooth tissue, and tissue with dark nuclei."""

import io
import uuid

import numpy as np
from PIL import Image

import tfcass
from tfcass import schema

SIZE_PX = 64


def write_patches(
    cluster: tfcass.Cluster, keyspace: str, *, patients: int = 5, per_class: int = 12, encoding: str = "JPEG"
) -> int:
    """Writes `patients` x `per_class` patches of each of two classes to both tables; returns their number.

    `encoding` is a name of Pillow's.
    """
    from cassandra.concurrent import execute_concurrent

    schema.create_tables(cluster, keyspace)
    rng = np.random.default_rng(0)
    with cluster.session() as session:
        meta = session.prepare(
            f"INSERT INTO {keyspace}.metadata_by_nat (patient_id, slide_num, label, x, y, patch_id) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        data = session.prepare(f"INSERT INTO {keyspace}.data_by_uuid (patch_id, label, data) VALUES (?, ?, ?)")
        statements = []
        for patient, label, i in np.ndindex(patients, 2, per_class):
            key = uuid.uuid5(uuid.NAMESPACE_OID, f"{patient} {label} {i}")
            statements.append((meta, (f"p{patient}", 1, label, i * SIZE_PX, 0, key)))
            statements.append((data, (key, label, patch(rng, label, encoding))))
        execute_concurrent(session, statements, raise_on_first_error=True)
    return patients * 2 * per_class


def patch(rng: np.random.Generator, label: int, encoding: str) -> bytes:
    """A pink patch, with dark spots if `label` is 1."""
    pixels = rng.normal([225, 175, 205], 8, (SIZE_PX, SIZE_PX, 3))
    for y, x in rng.integers(2, SIZE_PX - 2, (40 * label, 2)):
        pixels[y - 2 : y + 3, x - 2 : x + 3] = [95, 60, 140]
    file = io.BytesIO()
    how = {"quality": 90} if encoding == "JPEG" else {}
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, encoding, **how)
    return file.getvalue()
