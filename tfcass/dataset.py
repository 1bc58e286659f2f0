"""Keys in, rows out: CassandraDataset for keys in memory, fetch() for a tf.data pipeline that makes keys.

Both are one op of the library in ops/kernels; this module asks the live schema what the op's output looks like. It
imports TensorFlow.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from urllib.parse import quote

import numpy as np
import tensorflow as tf

from tfcass import _ops
from tfcass._arguments import FOUND, check_batch_size, check_cluster, check_found, check_options
from tfcass.cluster import Cluster
from tfcass.errors import KeyFormatError, OptionError, SchemaError
from tfcass.keys import KEY_BYTES
from tfcass.metrics import Summary, dataset_counters, summarize
from tfcass.options import FetchOptions
from tfcass.schema import Column, TableSchema, describe_table

_READABLE = "blob, text, varchar, ascii, tinyint, smallint, int, bigint, float, double, boolean, uuid, timeuuid"


# Datasets of this process, to tell their metrics apart. Counted and not random: processes that build the same pipeline
# must get the same graph, by which tf.data service and checkpoints know it.
_ordinals = itertools.count(1)


class _FetchDataset(tf.data.Dataset):
    """Rows for a dataset of keys: the op itself."""

    def __init__(self, keys: tf.data.Dataset, plan: "_Plan") -> None:
        self._keys = keys
        self._metrics_id = f"{plan.table.name}/{next(_ordinals)}"
        self._spec = plan.element_spec(keys.element_spec)
        # A dict is flattened sorted by name, and so does the op sort its components.
        flat_spec = tf.nest.flatten(self._spec)
        variant = _ops.library().tfcass_fetch_dataset(
            input_dataset=keys._variant_tensor,
            cluster=plan.cluster._canonical(),
            table=plan.table.name,
            columns=[column.name for column in plan.columns],
            options=plan.options._canonical() + f"metrics_id={quote(self._metrics_id, safe='')}\n",
            output_types=[spec.dtype for spec in flat_spec],
            output_shapes=[spec.shape for spec in flat_spec],
        )
        super().__init__(variant)

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._keys]

    @property
    def element_spec(self) -> dict[str, tf.TensorSpec]:
        return self._spec

    def metrics(self) -> Summary:
        """How reading this dataset went in this process so far, over all its iterators, also within other datasets:

            ds = tfcass.CassandraDataset(...)
            for batch in ds.map(decode).prefetch(2): ...
            print(ds.metrics())  # Rows/s, latency, requests; and whether input or model is the bottleneck.

        See Summary for what it says where a .prefetch() follows. Workers of tf.data service count in their own process.
        """
        return summarize(dataset_counters(self._metrics_id))


class CassandraDataset(_FetchDataset):
    """Rows of a table, exactly those of the given keys, in their order: a tf.data.Dataset.

        ds = tfcass.CassandraDataset(keys, table="ks.data_by_uuid", cluster=cluster, batch_size=64)
        ds.element_spec  # {"data": string [None], "label": int32 [None], "patch_id": uint8 [None, 16]}

    An element is a dict of the key column and the asked columns. Reading runs ahead of the consumer across elements, so
    that the network's latency is hidden; .prefetch() is needed for what comes after only. Iterators can be saved by
    tf.train.Checkpoint: a checkpoint holds keys and a position, never row bytes.

    Dtypes by CQL type: blob, text, varchar, ascii -> string; tinyint, smallint, int, bigint -> int8 to int64; float,
    double -> float32, float64; boolean -> bool; uuid, timeuuid -> uint8 [16].

    Args:
      keys: uint8 [n, 16], as tfcass.keys() and Shard.keys() make them; one element a key. Or uint8 [n, B, 16]: one
        element of B rows each. n may be 0.
      table: "keyspace.table". Its primary key must be one uuid column.
      cluster: How to reach the cluster.
      columns: Names of the columns to read besides the key column, which is always there.
      batch_size: Keys of shape [n, 16] give elements of this many rows, the last of the rest. None: one row each,
        without a batch dimension. Batching here costs less than .batch() afterwards.
      options: How to fetch; None means FetchOptions().
    Raises:
      KeyFormatError: `keys` is not uint8 of such a shape.
      OptionError: `batch_size` or `options` is not what is accepted.
      SchemaError: The table or a column is unknown, or of a type that cannot be read; the message lists names near it.
      ClusterError, AuthenticationError, TlsError: The cluster cannot be reached.
      OpLibraryError: The op library is absent, or was built for another TensorFlow.

    While it is iterated, errors are TensorFlow's: NotFoundError (missing row or null, see FetchOptions.missing),
    UnavailableError, DeadlineExceededError, UnauthenticatedError, FailedPreconditionError (the table was changed).
    """

    def __init__(
        self,
        keys: np.ndarray,
        *,
        table: str,
        cluster: Cluster,
        columns: Sequence[str] = ("label", "data"),
        batch_size: int | None = None,
        options: FetchOptions | None = None,
    ) -> None:
        elements = _key_elements(_checked_keys(keys), batch_size)
        super().__init__(elements, _plan(table, cluster, columns, options))


def fetch(
    table: str,
    *,
    cluster: Cluster,
    columns: Sequence[str] = ("label", "data"),
    options: FetchOptions | None = None,
) -> Callable[[tf.data.Dataset], tf.data.Dataset]:
    """Turns a dataset of keys into one of rows: `keys_dataset.apply(tfcass.fetch("ks.data_by_uuid", cluster=cluster))`.

    The keys come from a pipeline: shuffled, repeated, interleaved, mapped. Elements of shape [16] give scalars, [B, 16]
    give B rows; B may differ between elements and be 0. Keys are pulled ahead of the consumer until
    FetchOptions.max_in_flight rows are on the way: an input that waits for its own output needs max_in_flight=1.

    The dataset may be read by other processes: a worker of tf.data's service, or what loads a saved graph. Such a
    process needs tfcass, of the same version, and loads its op with one call, `tfcass.metrics()`; it must reach the
    cluster under the same address, and find what the cluster's settings refer to: certificate files under the same
    paths, and the password where PasswordAuth says (`password_env`, `password_file`; a password given as a value stays
    in the process that it was given in).

    Args, Raises, errors while it is iterated: as in CassandraDataset.
    """
    plan = _plan(table, cluster, columns, options)
    return lambda keys: _FetchDataset(keys, plan)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """A query that fits the live table."""

    cluster: Cluster
    table: TableSchema
    columns: tuple[Column, ...]  # The key column first, then the asked columns.
    options: FetchOptions

    def element_spec(self, key_spec: tf.TensorSpec) -> dict[str, tf.TensorSpec]:
        """The spec of an element for keys of this spec."""
        rows = _row_shape(key_spec)
        if rows.rank and (self.options.missing == "skip" or not self.options.deterministic):
            rows = tf.TensorShape([None])  # Batches get shorter: by missing rows, or by a row that failed on its own.
        spec = {
            column.name: tf.TensorSpec(rows.concatenate(column.shape), getattr(tf, column.dtype))
            for column in self.columns
        }
        if self.options.missing == "empty":
            spec[FOUND] = tf.TensorSpec(rows, tf.bool)
        return spec


def _plan(table: str, cluster: Cluster, columns: Sequence[str], options: FetchOptions | None) -> _Plan:
    check_cluster(cluster)
    if options is None:
        options = FetchOptions()
    check_options(options)
    described = describe_table(cluster, table)
    key = described.uuid_key()
    asked = [column for column in described.select(columns) if column != key]
    for column in asked:
        if column.dtype is None:
            raise SchemaError(
                f"column {column.name} of {described.name} is {column.cql_type}, which has no TensorFlow dtype; "
                f"columns can be {_READABLE}"
            )
    check_found(options, [column.name for column in (key, *asked)], described)
    return _Plan(cluster, described, (key, *asked), options)


def _row_shape(key_spec: object) -> tf.TensorShape:
    """The shape that a column of plain values has for keys of this spec: [] or [B]."""
    accepted = "uint8 [16] or [B, 16], as tfcass.keys() makes them"
    if not isinstance(key_spec, tf.TensorSpec):
        raise KeyFormatError(f"an element of keys is {key_spec}: it must be one tensor, {accepted}")
    shape = key_spec.shape
    unfit = shape.rank is not None and (shape.rank not in (1, 2) or shape[-1] not in (None, KEY_BYTES))
    if key_spec.dtype != tf.uint8 or unfit:
        raise KeyFormatError(f"an element of keys is {key_spec.dtype.name} {shape}: keys must be {accepted}")
    return tf.TensorShape(None) if shape.rank is None else shape[:-1]


def _checked_keys(keys: object) -> np.ndarray:
    """`keys` as uint8 [n, 16] or [n, B, 16], or a KeyFormatError that says what they are instead."""
    accepted = "uint8 of shape [n, 16] or [n, B, 16]"
    how = "make keys of UUIDs with tfcass.keys(...)"
    if not isinstance(keys, np.ndarray | tf.Tensor):
        raise KeyFormatError(f"keys is a {type(keys).__name__}, not {accepted}; {how}")
    if isinstance(keys, tf.Tensor):
        if not hasattr(keys, "numpy"):
            raise KeyFormatError("keys is a symbolic tensor; in a graph, pass a dataset of keys to tfcass.fetch()")
        keys = keys.numpy()
    found = f"{keys.dtype} of shape {list(keys.shape)}"
    if keys.dtype.kind == "S":
        raise KeyFormatError(f"keys is {found}: numpy's bytes drop trailing zeros and so change keys; {how}")
    if keys.dtype.kind in "OU":
        raise KeyFormatError(f"keys is {found}, not {accepted}; {how}")
    if keys.dtype != np.uint8 or keys.ndim not in (2, 3) or keys.shape[-1] != KEY_BYTES:
        hint = "; one key is keys[None]" if keys.shape == (KEY_BYTES,) else ""
        raise KeyFormatError(f"keys is {found}, not {accepted}{hint}")
    return keys


def _key_elements(keys: np.ndarray, batch_size: int | None) -> tf.data.Dataset:
    """The dataset of key elements: slices of one tensor, however large it is."""
    if batch_size is None:
        return tf.data.Dataset.from_tensor_slices(keys)
    check_batch_size(batch_size)
    if keys.ndim != 2:
        raise OptionError(f"batch_size={batch_size} with keys of shape {list(keys.shape)}: these are batches already")
    whole = len(keys) // batch_size
    batches = tf.data.Dataset.from_tensor_slices(keys[: whole * batch_size].reshape(whole, batch_size, KEY_BYTES))
    rest = keys[whole * batch_size :]
    return batches.concatenate(tf.data.Dataset.from_tensors(rest)) if len(rest) else batches
