"""Random-access training data in Apache Cassandra, read by TensorFlow.

Patches (or any samples) are rows keyed by UUID. A split is a list of UUIDs, and `CassandraDataset` reads exactly
those, in that order:

    cluster = tfcass.Cluster(["10.0.0.1"], auth=tfcass.PasswordAuth("reader", password_env="CASS_PW"))
    rows = tfcass.read_rows("ks.metadata_by_nat", cluster=cluster)
    splits = tfcass.split(rows, ratios={"train": 8, "val": 1, "test": 1}, group_by=["patient_id"])
    ds = tfcass.CassandraDataset(splits.keys("train"), table="ks.data_by_uuid", cluster=cluster, batch_size=64)

cluster.py     Cluster, PasswordAuth, Tls: how a cluster is reached            start here
keys.py        UUIDs as uint8 [n, 16]
schema.py      the tables, and column types -> dtypes
_scan.py       scan, read_rows: whole tables, every row once
splits/        rows -> splits                     sharding/     the part of a split that one process reads
dataset.py     keys in, rows out                  options.py    how they are fetched      metrics.py   how that went
images.py      image bytes -> pixels, TIFF among them
training/      Keras and Horovod glue             prediction/   a model over whole slides: table, heatmap, QuPath
devcluster/    a real Cassandra on loopback       scripts.py    flags and errors of the scripts in examples/
errors.py      what all of it raises

This module only re-exports. A name is imported at its first use, so that `import tfcass` is quick and needs neither
TensorFlow nor cassandra-driver.
"""

import importlib
import importlib.metadata
import warnings
from typing import TYPE_CHECKING

from tfcass import _ops
from tfcass.errors import (
    AuthenticationError,
    ClusterError,
    DevClusterError,
    KeyFormatError,
    MissingExtraError,
    OpLibraryError,
    OptionError,
    SchemaError,
    SplitError,
    TfcassError,
    TlsError,
)

# These two share their module's name. Bound here, after the module was loaded, no later import puts the module in their
# place.
from tfcass.keys import keys
from tfcass.metrics import metrics

if TYPE_CHECKING:
    from tfcass import images, schema
    from tfcass._scan import read_rows, scan
    from tfcass.cluster import Cluster, PasswordAuth, Tls
    from tfcass.dataset import CassandraDataset, fetch
    from tfcass.options import AUTOTUNE, FetchOptions
    from tfcass.sharding import Shard
    from tfcass.splits import Splits, split

__all__ = [
    "AUTOTUNE",
    "AuthenticationError",
    "CassandraDataset",
    "Cluster",
    "ClusterError",
    "DevClusterError",
    "FetchOptions",
    "KeyFormatError",
    "MissingExtraError",
    "OpLibraryError",
    "OptionError",
    "PasswordAuth",
    "SchemaError",
    "Shard",
    "SplitError",
    "Splits",
    "TfcassError",
    "Tls",
    "TlsError",
    "fetch",
    "images",
    "keys",
    "metrics",
    "read_rows",
    "scan",
    "schema",
    "split",
]

# A warning and no error: `tfcass doctor`, the development cluster and the splits need no op. The op's first use raises.
try:
    _ops.check_versions()
except OpLibraryError as error:
    warnings.warn(str(error), RuntimeWarning, stacklevel=2)

# Where each lazy name lives.
_HOME = {
    "AUTOTUNE": "options",
    "CassandraDataset": "dataset",
    "Cluster": "cluster",
    "FetchOptions": "options",
    "PasswordAuth": "cluster",
    "Shard": "sharding",
    "Splits": "splits",
    "Tls": "cluster",
    "fetch": "dataset",
    "read_rows": "_scan",
    "scan": "_scan",
    "split": "splits",
}
_MODULES = {"images", "schema"}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name not in _HOME and name not in _MODULES:
        raise AttributeError(f"module 'tfcass' has no attribute {name!r}")
    try:
        if name in _MODULES:
            return importlib.import_module(f"tfcass.{name}")
        value = getattr(importlib.import_module(f"tfcass.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        from tfcass._extras import missing_extra

        raise (missing_extra(error, wanted_by=f"tfcass.{name}") or error) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", *(name for name in globals() if name.startswith("__"))])


def _version() -> str:
    try:
        return importlib.metadata.version("tfcass")
    except importlib.metadata.PackageNotFoundError:  # A checkout that was not installed.
        return "0+unknown"
