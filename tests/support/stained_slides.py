"""Patches of real tissue, as different laboratories would have stained and scanned it."""

import uuid
from importlib.resources import files

import numpy as np
from PIL import Image

import tfcass
from beam_pipelines.slides.encode import encode

SIDE = 128
_LABORATORIES = {  # Optical density of each channel: gain and offset.
    "usual": ((1.0, 1.0, 1.0), 0.0),
    "pale": ((0.6, 0.6, 0.6), 0.0),
    "violet": ((0.7, 0.85, 0.45), 0.02),
}


def tissue(laboratory: str = "usual") -> np.ndarray:
    """A picture of a H&E section, uint8 [300, 500, 3], as a laboratory shows it."""
    path = files("stardist").joinpath("data/images/histo.jpg")
    with Image.open(str(path)) as image:
        rgb = np.asarray(image.convert("RGB"))
    gain, offset = _LABORATORIES[laboratory]
    density = -np.log((rgb + 1.0) / 256) * gain + offset
    return np.clip(np.rint(256 * np.exp(-density) - 1), 0, 255).astype(np.uint8)


def patches(laboratory: str, number: int = 6) -> list[np.ndarray]:
    """uint8 [SIDE, SIDE, 3] each; the last one is half glass."""
    picture = tissue(laboratory)
    corners = [(row, column) for row in (0, 150) for column in (0, 120, 240, 360)]
    cut = [picture[row : row + SIDE, column : column + SIDE].copy() for row, column in corners[:number]]
    cut[-1][:, SIDE // 2 :] = (244, 243, 242)
    return cut


def write_slides(
    cluster: tfcass.Cluster,
    keyspace: str,
    slides: dict[str, list[np.ndarray]],
    encoding: str = "png",
    labels: list[bytes] | None = None,
) -> dict[str, list[uuid.UUID]]:
    """Writes slides (name -> patches) to both tables; returns the ids. Each is slide 0 of a patient of its name.

    The data table's labels are 0 and 1 in turn, or those of `labels` for the patches of each slide.
    """
    tfcass.schema.create_tables(cluster, keyspace, label_type="int" if labels is None else "blob")
    ids: dict[str, list[uuid.UUID]] = {}
    with cluster.session() as session:
        for name, pictures in slides.items():
            for number, rgb in enumerate(pictures):
                patch_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {number}")
                ids.setdefault(name, []).append(patch_id)
                session.execute(
                    f"INSERT INTO {keyspace}.metadata_by_nat (patient_id, slide_num, label, x, y, patch_id, slide) "
                    "VALUES (%s, 0, %s, %s, 0, %s, %s)",
                    (name, number % 2, number, patch_id, f"{name}.tif"),
                )
                session.execute(
                    f"INSERT INTO {keyspace}.data_by_uuid (patch_id, label, data) VALUES (%s, %s, %s)",
                    (patch_id, number % 2 if labels is None else labels[number], encode(rgb, encoding)),
                )
    return ids
