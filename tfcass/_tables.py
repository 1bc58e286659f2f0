"""The tables that tfcass makes: which patches there are, their bytes, and the slides they are from. Columns and DDL.

The columns are the contract between the pipelines that write and the training that reads.
"""

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType

from tfcass._describe import quoted
from tfcass.errors import OptionError


@dataclasses.dataclass(frozen=True)
class ColumnSpec:
    """A column that one of our tables needs.

    Attributes:
      cql_type: Its CQL type.
      comment: What a value means, with its unit.
      optional: Made with the table, and not missed where it is absent: training does without.
    """

    cql_type: str
    comment: str
    optional: bool = False


# One row per patch, found by where it was cut from. A partition is one class on one slide: thousands of small rows.
METADATA_COLUMNS: Mapping[str, ColumnSpec] = MappingProxyType(
    {
        "patient_id": ColumnSpec("text", "who the slide is of: splits keep a patient's patches together"),
        "slide_num": ColumnSpec("int", "the slide's number within the patient"),
        "label": ColumnSpec("int", "class of the patch: 0 normal, 1 tumour"),
        "x": ColumnSpec("int", "left edge, in level-0 pixels"),
        "y": ColumnSpec("int", "top edge, in level-0 pixels"),
        "patch_id": ColumnSpec("uuid", "key of the patch in the data table"),
        "slide": ColumnSpec("text", "file name of the slide"),
        "level": ColumnSpec("int", "level the pixels were taken at; downsample = 2**level"),
        "mpp": ColumnSpec("double", "micrometres per pixel of the patch; null when the slide does not say"),
        "tissue": ColumnSpec("float", "share of the patch that shows tissue, in [0, 1]"),
        "share_normal": ColumnSpec("float", "share annotated as normal, exact, in [0, 1]", optional=True),
        "share_tumor": ColumnSpec("float", "the same of tumour", optional=True),
        "inner_normal": ColumnSpec("float", "share of the inner third of the sides that is normal", optional=True),
        "inner_tumor": ColumnSpec("float", "the same of tumour", optional=True),
        "centre_label": ColumnSpec("int", "class at the centre; null where nothing is annotated", optional=True),
        "sharpness": ColumnSpec("float", "variance of the Laplacian over tissue: small is blurred", optional=True),
        "pen": ColumnSpec("float", "share of the patch in colours of pen marks", optional=True),
        "white": ColumnSpec("float", "share of the patch that is white", optional=True),
        "black": ColumnSpec("float", "share of the patch that is black", optional=True),
    }
)
_METADATA_KEY = ("patient_id", "slide_num", "label", "x", "y")  # The first three are the partition key.
_METADATA_PARTITION = 3

# One row per patch, found by its UUID alone.
DATA_COLUMNS: Mapping[str, ColumnSpec] = MappingProxyType(
    {
        "patch_id": ColumnSpec("uuid", "the patch: the same in the metadata table"),
        "label": ColumnSpec("int", "class of the patch; as a blob: a PNG mask, for segmentation"),
        "data": ColumnSpec("blob", "the encoded image (JPEG, PNG or TIFF)"),
    }
)
_DATA_KEY = ("patch_id",)

# One row per slide: where its patches come from, how they were cut, and what became of them. A partition is a patient.
SLIDE_COLUMNS: Mapping[str, ColumnSpec] = MappingProxyType(
    {
        "patient_id": ColumnSpec("text", "who the slide is of"),
        "slide_num": ColumnSpec("int", "the slide's number within the patient"),
        "slide": ColumnSpec("text", "file name of the slide"),
        "path": ColumnSpec("text", "path or URL that it was read from"),
        "content_id": ColumnSpec("text", "hash of the slide's content: enters the ids of its patches"),
        "vendor": ColumnSpec("text", "OpenSlide's name of the format"),
        "width": ColumnSpec("int", "pixels of level 0"),
        "height": ColumnSpec("int", "pixels of level 0"),
        "mpp_x": ColumnSpec("double", "micrometres per pixel of level 0; null when nobody says"),
        "mpp_y": ColumnSpec("double", "the same, downwards"),
        "mpp_source": ColumnSpec("text", "slide, or override (the table of mpp)"),
        "levels": ColumnSpec("text", "JSON list: downsample of each level of the file"),
        "options": ColumnSpec("text", "JSON: how it was cut and encoded, and by which classes"),
        "versions": ColumnSpec("text", "JSON: software that read it"),
        "metadata_table": ColumnSpec("text", "where its rows are"),
        "data_table": ColumnSpec("text", "where its patches are"),
        "status": ColumnSpec("text", "how its last run ended; 'begun' while it goes on or when it was cut short"),
        "planned": ColumnSpec("bigint", "patches that qualified by tissue and annotation"),
        "kept": ColumnSpec("bigint", "of them, those that both tables hold"),
        "low_quality": ColumnSpec("bigint", "of them, those whose pixels were rejected"),
        "failed": ColumnSpec("bigint", "of them, those with a dead letter"),
        "stored": ColumnSpec("bigint", "rows of the slide counted in the database after the run"),
        "rejected": ColumnSpec("text", "JSON: reason -> grid positions or patches left out"),
        "notes": ColumnSpec("text", "JSON list: what a user may want to know"),
        "recipe": ColumnSpec("text", "digest of file, annotations and options, once it is complete: a rerun skips it"),
        "stored_ids": ColumnSpec("text", "digest of the ids that were stored then"),
        "finished": ColumnSpec("timestamp", "when its last run ended"),
    }
)
_SLIDE_KEY = ("patient_id", "slide_num")

LABEL_TYPES = ("int", "blob")


@dataclasses.dataclass(frozen=True)
class WantedTable:
    """A table as it should be.

    Attributes:
      name: As stored: no quotes.
      columns: What it holds at least.
      key: Columns of its primary key; the first `partition` of them are the partition key.
      comment: For whoever looks at the live table.
      label_types: Types that `label` may have; the first is the one to create.
    """

    name: str
    columns: Mapping[str, ColumnSpec]
    key: tuple[str, ...]
    partition: int
    comment: str
    label_types: tuple[str, ...]

    def types(self, column: str) -> tuple[str, ...]:
        """The CQL types that this column may have; the first is the one to create."""
        return self.label_types if column == "label" else (self.columns[column].cql_type,)

    def create_cql(self, keyspace: str) -> str:
        """The statement that makes it, without a semicolon."""
        columns = ", ".join(f"{name} {self.types(name)[0]}" for name in self.columns)
        clustering = "".join(f", {name}" for name in self.key[self.partition :])
        return (
            f"CREATE TABLE IF NOT EXISTS {quoted(keyspace)}.{quoted(self.name)} ({columns}, "
            f"PRIMARY KEY (({', '.join(self.key[: self.partition])}){clustering})) "
            f"WITH comment = {literal(self.comment)}"
        )


def wanted_tables(
    metadata_table: str,
    data_table: str,
    label_types: tuple[str, ...],
    *,
    slides_table: str | None = None,
    more_columns: Mapping[str, ColumnSpec] = MappingProxyType({}),
) -> tuple[WantedTable, ...]:
    """The metadata table, the data table and, when it is named, the table of slides.

    Args:
      metadata_table, data_table, slides_table: Their names.
      label_types: Types that the data table's `label` may have.
      more_columns: What the metadata table has besides METADATA_COLUMNS.
    Raises:
      OptionError: A name is none that Cassandra takes.
    """
    slides = WantedTable(
        name=new_name("slides" if slides_table is None else slides_table, "slides_table"),
        columns=SLIDE_COLUMNS,
        key=_SLIDE_KEY,
        partition=1,
        comment="tfcass: one row per slide: where its patches come from and what became of them",
        label_types=(),
    )
    return (
        WantedTable(
            name=new_name(metadata_table, "metadata_table"),
            columns={**METADATA_COLUMNS, **more_columns},
            key=_METADATA_KEY,
            partition=_METADATA_PARTITION,
            comment="tfcass: one row per patch, by where it was cut from",
            label_types=("int",),
        ),
        WantedTable(
            name=new_name(data_table, "data_table"),
            columns=DATA_COLUMNS,
            key=_DATA_KEY,
            partition=1,
            comment="tfcass: one encoded patch per row, by UUID",
            label_types=label_types,
        ),
        *(() if slides_table is None else (slides,)),
    )


def literal(text: str) -> str:
    """A text as it goes into a statement."""
    return "'" + text.replace("'", "''") + "'"


_NEW_NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]{0,47}|"[A-Za-z0-9_]{1,48}"')


def new_name(name: str, what: str) -> str:
    """The name as it will be stored. Cassandra takes letters, digits and _ only, quoted or not, at most 48 of them."""
    if not isinstance(name, str) or not _NEW_NAME.fullmatch(name):
        raise OptionError(f"{what}={name!r} must be 1 to 48 letters, digits and _, starting with a letter")
    return name[1:-1] if name.startswith('"') else name.lower()
