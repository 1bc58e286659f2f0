"""The two tables that tfcass makes: which patches there are, and their bytes. What they hold, and their DDL.

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
    """

    cql_type: str
    comment: str


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
    metadata_table: str, data_table: str, label_types: tuple[str, ...]
) -> tuple[WantedTable, WantedTable]:
    """The metadata table and the data table, under these names.

    Raises:
      OptionError: A name is none that Cassandra takes.
    """
    return (
        WantedTable(
            name=new_name(metadata_table, "metadata_table"),
            columns=METADATA_COLUMNS,
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
