"""Tables of metadata, as tfcass.read_rows gives them, made from plain lists."""

import uuid
from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def key_column(names: Sequence[object]) -> pa.Array:
    """One key per name: uuid5 of it."""
    return pa.array([uuid.uuid5(uuid.NAMESPACE_OID, str(name)).bytes for name in names], pa.binary(16))


def metadata(labels: Sequence[object], groups: Sequence[object] | None = None, **columns: Sequence[object]) -> pa.Table:
    """patch_id, label, patient_id (when given) and more columns; row i has the key of i."""
    table = {"patch_id": key_column(range(len(labels))), "label": pa.array(labels)}
    if pa.types.is_integer(table["label"].type):
        table["label"] = table["label"].cast(pa.int32())
    if groups is not None:
        table["patient_id"] = pa.array(groups)
    return pa.table({**table, **columns})


def patients(counts: Sequence[tuple[int, ...]]) -> pa.Table:
    """Patient p has counts[p][c] rows of class c: [(3, 1), (2, 2)] -> 8 rows of p0 and p1."""
    rows = [(c, f"p{p}") for p, of_class in enumerate(counts) for c, n in enumerate(of_class) for _ in range(n)]
    return metadata([label for label, _ in rows], [patient for _, patient in rows])


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))
