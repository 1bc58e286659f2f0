"""The frozen settings of an ingest_images run. Imports no Beam, so that a command can check them at once."""

import dataclasses
from pathlib import Path

from beam_pipelines.row_writer import WriteOptions
from beam_pipelines.slides.encode import ENCODINGS, check_encoding
from beam_pipelines.standard_image import ImageSpec
from tfcass.cluster import Cluster
from tfcass.errors import OptionError

KEPT = "original"  # What stands for the encoding of files that are stored as they are.


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageRun:
    """One run of ingest_images.

    Attributes:
      images: Folders or URLs with a folder per class in them: the first folder below is the class, however deep a file
        lies.
      table: CSV with the columns path and label, and optionally subset and group; instead of `images`.
      root: Where relative paths of `table` start; None means the table's own folder.
      classes: CSV with the columns name and label, or a name per line; None numbers the names in their order.
      output: Folder or URL for summary.json and dead_letters.jsonl. Every worker writes to it.
      keyspace: Keyspace of all tables; made when absent.
      cluster: How the cluster is reached; may be None in a dry run.
      spec: What pictures are made into.
      encodings: Of the stored pictures: jpeg, png, tiff, one table each. Without meaning when pictures are kept.
      quality: Of JPEG, in [1, 100].
      subset: Stored with every image, such as "train"; a subset column of `table` goes first.
      metadata_table: Name of the table of facts.
      data_table: Name of the table of JPEG (or kept) bytes; those of other encodings end in _png and _tiff.
      write: Bounds and retries of the writes.
      workers: Processes of the local runner; 1 runs everything in this process.
      limit: The first so many files only; None means all.
      overwrite: Writes images again that are stored already, instead of skipping them.
      dry_run: Lists files and classes; opens no connection and no image.
      progress: Shows on stderr how far the run is.
      beam_flags: Further pipeline options. A runner or running mode in them replaces the local runner.
    Raises:
      OptionError: A field is outside what is accepted.
    """

    output: str
    images: tuple[str, ...] = ()
    table: str | None = None
    root: str | None = None
    classes: str | None = None
    keyspace: str = ""
    cluster: Cluster | None = None
    spec: ImageSpec = ImageSpec()
    encodings: tuple[str, ...] = ("jpeg",)
    quality: int = 90
    subset: str = ""
    metadata_table: str = "images_by_class"
    data_table: str = "data_by_uuid"
    write: WriteOptions = WriteOptions()
    workers: int = 2
    limit: int | None = None
    overwrite: bool = False
    dry_run: bool = False
    progress: bool = True
    beam_flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("images", "encodings", "beam_flags"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise OptionError(f"{name}={value!r} is a text; pass a tuple of texts: ({value!r},)")
            object.__setattr__(self, name, tuple(str(item) for item in value))
        # Workers may have another working directory.
        for name in ("output", "table", "root"):
            object.__setattr__(self, name, _absolute(getattr(self, name)))
        object.__setattr__(self, "images", tuple(_absolute(folder) for folder in self.images))
        if bool(self.images) == (self.table is not None):
            raise OptionError("pass either --images FOLDER, which has a folder per class, or --csv FILE")
        if self.root is not None and self.table is None:
            raise OptionError("--root is where the paths of a --csv start; there is no --csv")
        if not self.dry_run and self.cluster is None:
            raise OptionError("no cluster given; pass --host ADDRESS, or --dry-run to look at the files alone")
        if not self.dry_run and not self.keyspace:
            raise OptionError("no keyspace given; pass --keyspace NAME")
        for name in ("workers", "limit"):
            value = getattr(self, name)
            if (value is not None or name == "workers") and (not isinstance(value, int) or value < 1):
                raise OptionError(f"{name}={value!r} is not a whole number of at least 1")
        if not self.encodings or len(set(self.encodings)) < len(self.encodings):
            raise OptionError(f"encodings={self.encodings!r}: name each of {', '.join(ENCODINGS)} at most once")
        for encoding in self.encodings:
            check_encoding(encoding, self.quality)

    @property
    def tables(self) -> dict[str, str]:
        """Encoding -> name of its data table, without the keyspace."""
        if self.spec.size is None:
            return {KEPT: self.data_table}
        return {e: self.data_table if e == "jpeg" else f"{self.data_table}_{e}" for e in self.encodings}

    def full(self, table: str) -> str:
        """ "keyspace.table"."""
        return f"{self.keyspace}.{table}"


def _absolute(path: str | None) -> str | None:
    return path if path is None or "://" in path else str(Path(path).absolute())
