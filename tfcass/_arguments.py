"""Checks of arguments that CassandraDataset, fetch() and scan() share. Imports no TensorFlow."""

from collections.abc import Container

import numpy as np

from tfcass._describe import TableSchema
from tfcass.cluster import Cluster
from tfcass.errors import OptionError, SchemaError
from tfcass.options import FetchOptions

FOUND = "found"  # The column that missing="empty" adds.


def check_cluster(cluster: object) -> None:
    if not isinstance(cluster, Cluster):
        raise OptionError(f"cluster={cluster!r} must be a tfcass.Cluster, as in tfcass.Cluster(['127.0.0.1'])")


def check_options(options: object) -> None:
    if not isinstance(options, FetchOptions):
        raise OptionError(f"options={options!r} must be a tfcass.FetchOptions, as in FetchOptions(missing='skip')")


def check_batch_size(batch_size: object) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise OptionError(f"batch_size={batch_size!r} must be an integer of at least 1, or None")


def check_found(options: FetchOptions, columns: Container[str], table: TableSchema) -> None:
    """That the column which missing="empty" adds is not among those asked for."""
    if options.missing == "empty" and FOUND in columns:
        raise SchemaError(f"missing='empty' adds a column {FOUND!r}, and {table.name} has one; leave it out of columns")
