"""The op behind tfcass.scan(). Imports TensorFlow."""

from collections.abc import Mapping

import tensorflow as tf

from tfcass import _ops
from tfcass._arguments import FOUND
from tfcass._describe import Column
from tfcass.cluster import Cluster
from tfcass.options import FetchOptions


class ScanDataset(tf.data.Dataset):
    """Rows of a table, as tfcass.scan() describes them."""

    def __init__(
        self,
        cluster: Cluster,
        spec: str,
        options: FetchOptions,
        batch_size: int | None,
        dtypes: Mapping[Column, str],
    ) -> None:
        rows = tf.TensorShape([] if batch_size is None else [None])
        self._spec = {
            column.name: tf.TensorSpec(rows.concatenate(column.shape), getattr(tf, dtype))
            for column, dtype in dtypes.items()
        }
        if options.missing == "empty":
            self._spec[FOUND] = tf.TensorSpec(rows, tf.bool)
        # A dict is flattened sorted by name, and so does the op sort its components.
        flat_spec = tf.nest.flatten(self._spec)
        variant = _ops.library().tfcass_scan_dataset(
            cluster=cluster._canonical(),
            spec=spec,
            options=options._canonical(),
            batch_size=batch_size or 0,
            output_types=[component.dtype for component in flat_spec],
            output_shapes=[component.shape for component in flat_spec],
        )
        super().__init__(variant)

    def _inputs(self) -> list[tf.data.Dataset]:
        return []

    @property
    def element_spec(self) -> dict[str, tf.TensorSpec]:
        return self._spec
