"""The table of stain statistics: one small row for each slide, written once, read by pipelines and by training."""

import json
import os
from collections.abc import Mapping
from typing import Any

from beam_pipelines.row_tables import make_table
from beam_pipelines.slides.annotations import slide_key
from beam_pipelines.slides.errors import OutputError
from beam_pipelines.slides.stain import fit_picture
from tfcass.cluster import Cluster
from tfcass.errors import OptionError
from tfcass.schema import describe_table
from tfcass.stain_statistics import DEFAULT_REFERENCE, STATISTICS, StainStatistics

COMMENT = "tfcass: how each slide is stained, from its tissue pixels"
COLUMNS: Mapping[str, str] = {
    "patient_id": "text",
    "slide_num": "int",
    "slide": "text",
    "patches": "int",  # Looked at.
    "pixels": "bigint",  # Of them, pixels of tissue that were counted.
    "note": "text",  # Why some numbers are null.
    **dict.fromkeys(STATISTICS, "double"),
}
_KEY = ("patient_id", "slide_num")

# A slide: (patient_id, slide_num).
SlideId = tuple[str, int]


def make_stain_table(cluster: Cluster, keyspace: str, name: str) -> None:
    """Makes the table unless it is there.

    Raises:
      OptionError: There is another table of this name.
      SchemaError, ClusterError: The server refuses it, or cannot be reached.
    """
    make_table(cluster, keyspace, name, COLUMNS, _KEY, 1, COMMENT)


def read_stain_table(cluster: Cluster, table: str) -> dict[SlideId, tuple[str, StainStatistics]]:
    """Reads "keyspace.table": slide -> (its file name, statistics).

    Raises:
      SchemaError, ClusterError: There is no such table, or no cluster.
    """
    described = describe_table(cluster, table)
    names = (*_KEY, "slide", "note", *STATISTICS)
    described.select(names)
    with cluster.session() as session:
        rows = session.execute(f"SELECT {', '.join(names)} FROM {described.cql_name}")
        found = (dict(zip(names, row, strict=True)) for row in rows)
        return {
            (row["patient_id"], row["slide_num"]): (row["slide"] or "", StainStatistics.from_columns(row))
            for row in found
        }


def stain_row(slide: SlideId, name: str, statistics: StainStatistics, *, patches: int, pixels: int) -> dict[str, Any]:
    """The row of a slide."""
    identity = {"patient_id": slide[0], "slide_num": slide[1], "slide": name, "patches": patches, "pixels": pixels}
    return {**identity, "note": statistics.note, **statistics.columns()}


def find_reference(text: str, slides: Mapping[SlideId, tuple[str, StainStatistics]]) -> StainStatistics:
    """What slides are brought to.

    Args:
      text: "default"; the path of a JSON file (`save_reference`) or of a picture; or the name of one of `slides`.
      slides: Those of the table.
    Raises:
      OptionError: it is none of these.
    """
    if text == "default":
        return DEFAULT_REFERENCE
    if os.path.exists(text):
        return _from_file(text)
    for name, statistics in slides.values():
        if name == text or slide_key(name) == text:
            return statistics
    known = ", ".join(sorted(name for name, _ in slides.values())[:5])
    raise OptionError(f"reference {text!r} is neither 'default', nor a file, nor a slide (slides: {known or 'none'})")


def save_reference(path: str | os.PathLike[str], statistics: StainStatistics) -> None:
    """Writes statistics as JSON, for --reference.

    Raises:
      OutputError: the file cannot be written.
    """
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**statistics.columns(), "note": statistics.note}, file, indent=2)
    except OSError as error:
        raise OutputError(f"cannot write {os.fspath(path)!r}: {error.strerror}") from None


def _from_file(path: str) -> StainStatistics:
    try:
        if path.endswith(".json"):
            with open(path, encoding="utf-8") as file:
                return StainStatistics.from_columns(json.load(file))
        import numpy as np
        from PIL import Image

        with Image.open(path) as image:
            return fit_picture(np.asarray(image.convert("RGB")))
    except KeyError as error:
        raise OptionError(f"reference {path!r} has no {error}; it needs {', '.join(STATISTICS)}") from None
    except (OSError, ValueError, TypeError) as error:
        raise OptionError(f"reference {path!r} cannot be used: {error}") from None
