"""Metadata rows of either kind, of tile_slides or ingest_images, and the bytes that belong to them."""

from typing import TYPE_CHECKING, Any

from tfcass.errors import SchemaError

if TYPE_CHECKING:
    from beam_pipelines.statements import Where
    from tfcass.cluster import Cluster
    from tfcass.schema import TableSchema

KEY = "patch_id"
_FACTS = ("label", "class_name", "subset", "source", "slide", "x", "y", "content", "spec")
SUFFIXES = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"II*\0": "tif", b"MM\0*": "tif", b"GIF8": "gif", b"BM": "bmp"}


def fact_columns(table: "TableSchema") -> tuple[str, ...]:
    """The columns of a metadata table that say what an image is, its key first.

    Raises:
      SchemaError: It has no patch_id or no label.
    """
    for name in (KEY, "label"):
        if name not in table.columns:
            raise SchemaError(f"table {table.name} has no column {name}: it is no metadata table of tfcass")
    return (KEY, *(name for name in _FACTS if name in table.columns))


def class_of(facts: dict[str, Any]) -> str:
    """The class by name, where the table has names, else its number as text."""
    return facts.get("class_name") or str(facts["label"])


def where_from(facts: dict[str, Any]) -> str:
    """For messages: the file, or the slide and place."""
    if facts.get("source"):
        return facts["source"]
    if facts.get("slide"):
        return f"{facts['slide']} x={facts.get('x')} y={facts.get('y')}"
    return ""


def suffix_of(data: bytes) -> str:
    """Of a file name for these bytes, by how they start; "bin" when they are no known image."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((suffix for head, suffix in SUFFIXES.items() if data.startswith(head)), "bin")


def names(value: str, flag: str) -> tuple[str, ...]:
    """A list of names in one flag, as in a,b."""
    from tfcass.errors import OptionError

    found = tuple(name.strip() for name in value.split(",") if name.strip())
    if not found or len(set(found)) < len(found):
        raise OptionError(f"{flag} {value!r} must name at least one table, and none twice")
    return found


def split_keys(folder: str, split: str) -> frozenset[bytes]:
    """The keys of a split that was saved, as 16 bytes each."""
    from tfcass.splits import Splits

    return frozenset(key.tobytes() for key in Splits.load(folder).keys(split))


def count_rows(cluster: "Cluster", table: str, consistency: str, *, where: "Where | None" = None) -> int:
    """Rows of a table, by token range: one COUNT of a large table would time out."""
    from cassandra.concurrent import execute_concurrent_with_args

    from beam_pipelines.statements import prepare_token_range
    from beam_pipelines.token_ranges import token_ranges
    from tfcass.schema import describe_table

    described = describe_table(cluster, table)
    with cluster.session() as session:
        count, values = prepare_token_range(session, described, [], consistency=consistency, where=where, count=True)
        ranges = [(part.start, part.stop - 1, *values) for part in token_ranges(64)]
        replies = execute_concurrent_with_args(session, count, ranges, concurrency=4)
        return sum(reply.result_or_exc.one()[0] for reply in replies)
