"""Tables: what a live one holds, which dtype a CQL type becomes, and the tables that tfcass makes.

    tfcass.schema.create_tables(cluster, "wsi")                         # once; harmless when repeated
    table = tfcass.schema.describe_table(cluster, "wsi.data_by_uuid")   # a TableSchema, from the live cluster
    tfcass.schema.check(cluster, "wsi")                                 # or an error that says what to ALTER

_describe.py   live tables and their types      _tables.py   our tables: columns, DDL      _create.py   made and checked
This module only re-exports.
"""

from tfcass._create import check, create_tables, create_wanted, find_problems
from tfcass._describe import Column, TableSchema, describe_table
from tfcass._tables import DATA_COLUMNS, METADATA_COLUMNS, SLIDE_COLUMNS, ColumnSpec, WantedTable

__all__ = [
    "DATA_COLUMNS",
    "METADATA_COLUMNS",
    "SLIDE_COLUMNS",
    "Column",
    "ColumnSpec",
    "TableSchema",
    "WantedTable",
    "check",
    "create_tables",
    "create_wanted",
    "describe_table",
    "find_problems",
]
