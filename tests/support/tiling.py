"""Small slides with annotations, and runs of the tiling pipeline on them."""

import functools
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tfcass
from beam_pipelines.tiling_run import TilingRun
from tests.support.slide_files import PINK, paint_tissue, write_pyramid

STEP_L0 = 512  # Side of a patch in level-0 pixels at the default levels.


class Bench:
    """A folder with slides and annotations, and a keyspace to tile them into."""

    def __init__(self, folder: Path, cluster: tfcass.Cluster | None, keyspace: str) -> None:
        self.folder = folder
        self.cluster = cluster
        self.keyspace = keyspace
        self.output = folder / "out"
        for name in ("slides", "annotations"):
            (folder / name).mkdir()

    def slide(
        self, name: str, *, side: int = 4, tissue: int = 3, mpp: float | None = 0.25, levels: int | None = None
    ) -> Path:
        """Writes a slide of side x side patches, of which tissue x tissue, from the top left, show tissue.

        A mark in the last corner differs by name: slides with the same pixels would have the same patch ids.
        """
        path = self.folder / "slides" / name
        path.write_bytes(_slide_bytes(side, tissue, mpp, levels, zlib.crc32(name.encode()) % 250))
        return path

    def annotate(self, slide: str, **rings_by_label: Sequence[Sequence[float]]) -> Path:
        """Writes slide.geojson; rings in units of patches."""
        features = [
            {
                "type": "Feature",
                "properties": {"classification": {"name": label}},
                "geometry": {"type": "Polygon", "coordinates": [[[x * STEP_L0, y * STEP_L0] for x, y in ring]]},
            }
            for label, ring in rings_by_label.items()
        ]
        path = self.folder / "annotations" / f"{slide}.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return path

    def annotated_slide(self, stem: str, *, side: int = 4, tissue: int = 3, **settings: Any) -> Path:
        """A slide whose tissue is normal but for the first two patches, which are tumour."""
        self.annotate(stem, normal=square(0, 0, tissue, tissue), tumor=square(0, 0, 2, 1))
        return self.slide(f"{stem}.tif", side=side, tissue=tissue, **settings)

    def options(self, **changes: Any) -> TilingRun:
        settings: dict[str, Any] = {
            "slides": (str(self.folder / "slides"),),
            "annotations": (str(self.folder / "annotations" / "*"),)
            if any((self.folder / "annotations").iterdir())
            else (),
            "output": str(self.output),
            "keyspace": self.keyspace,
            "cluster": self.cluster,
            "workers": 1,
            "progress": False,
        }
        return TilingRun(**{**settings, **changes})

    def flags(self, *more: str) -> list[str]:
        """A command line with the same settings."""
        assert self.cluster is not None
        flags = ["--slides", str(self.folder / "slides"), "--annotations", str(self.folder / "annotations" / "*")]
        flags += ["--keyspace", self.keyspace, "--output", str(self.output)]
        flags += ["--host", self.cluster.contact_points[0], "--port", str(self.cluster.port)]
        return [*flags, *more]


@functools.cache  # Compressing a slide takes longer than tiling it.
def _slide_bytes(side: int, tissue: int, mpp: float | None, levels: int | None, mark: int) -> bytes:
    end = side * STEP_L0
    boxes = {(0, 0, tissue * STEP_L0, tissue * STEP_L0): PINK, (end - 64, end - 64, end, end): (mark, 120, 170)}
    with TemporaryDirectory() as folder:
        return write_pyramid(Path(folder) / "slide.tif", paint_tissue(end, boxes), mpp=mpp, levels=levels).read_bytes()


def stored(session: Any, keyspace: str) -> dict[str, list]:
    """All rows of both tables, sorted."""
    return {
        table: sorted(tuple(row) for row in session.execute(f"SELECT {columns} FROM {keyspace}.{table}"))
        for table, columns in (
            ("metadata_by_nat", "patch_id, slide, label, x, y"),
            ("data_by_uuid", "patch_id, label, data"),
        )
    }


def square(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
