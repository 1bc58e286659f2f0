"""The tables of ingest_images: a row of facts per image, and its bytes in one table per encoding."""

import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tfcass.cluster import Cluster
from tfcass.schema import DATA_COLUMNS, ColumnSpec, WantedTable, create_wanted

# A class has up to a million images and a partition should not: each class is this many partitions.
BUCKETS = 16

IMAGE_COLUMNS: Mapping[str, ColumnSpec] = MappingProxyType(
    {
        "class_name": ColumnSpec("text", "the class by its name: a folder, or the label column of a table"),
        "bucket": ColumnSpec("int", "first byte of the id modulo 16: spreads a class over partitions"),
        "patch_id": ColumnSpec("uuid", "key of the image in the data tables"),
        "label": ColumnSpec("int", "the class by its number, in [0, classes)"),
        "subset": ColumnSpec("text", "as in 'train' or 'val' where the data set says; else empty"),
        "group_name": ColumnSpec("text", "what must not be torn apart by a split, such as a patient; else empty"),
        "source": ColumnSpec("text", "path or URL of the file"),
        "width": ColumnSpec("int", "of the file's picture in pixels, as it is looked at (after its EXIF rotation)"),
        "height": ColumnSpec("int", "likewise"),
        "format": ColumnSpec("text", "of the file, such as JPEG"),
        "mode": ColumnSpec("text", "pixels of the file in Pillow's words: RGB, L, CMYK, RGBA, P, I;16, ..."),
        "file_bytes": ColumnSpec("int", "size of the file"),
        "content": ColumnSpec("text", "SHA-256 of the file, in hex"),
        "spec": ColumnSpec("text", "what was done to the pixels; enters the id"),
    }
)


def bucket_of(image_id: uuid.UUID) -> int:
    """The partition of a class that an image is in."""
    return image_id.bytes[0] % BUCKETS


def create_image_tables(cluster: Cluster, keyspace: str, metadata_table: str, data_tables: Sequence[str]) -> None:
    """Makes keyspace and tables where they are absent, and checks those that are there; raises as create_wanted."""
    metadata = WantedTable(
        name=metadata_table,
        columns=IMAGE_COLUMNS,
        key=("class_name", "bucket", "patch_id"),
        partition=2,
        comment="tfcass: one row per image, by class",
        label_types=("int",),
    )
    data = [
        WantedTable(
            name=name,
            columns=DATA_COLUMNS,
            key=("patch_id",),
            partition=1,
            comment="tfcass: one encoded image per row, by UUID",
            label_types=("int",),
        )
        for name in data_tables
    ]
    create_wanted(cluster, keyspace, [metadata, *data])
